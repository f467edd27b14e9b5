"""Finds incomplete, duplicate, outlying and oddly labelled rows of the training part."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors  # pyright: ignore[reportMissingTypeStubs] # it ships none

from scaling_trainer.config.preprocessing import Outliers
from scaling_trainer.preprocess.columns import Flags, Floats

Features = pd.DataFrame | NDArray[np.generic]

NEIGHBOURS = 5
_FLAG_VALUES = 2  # a column of two values is a flag: its rarer value is no outlier


def is_incomplete(features: Features) -> Flags:
    """Flag rows with a missing value."""
    match features:
        case pd.DataFrame():
            return features.isna().any(axis=1).to_numpy(dtype=np.bool_)
        case _:
            pixels = features.reshape(len(features), -1)
            return cast("Flags", np.isnan(pixels.astype(np.float64)).any(axis=1))


def is_duplicate(features: Features, target: NDArray[Any]) -> Flags:
    """Flag rows that equal an earlier row, target included."""
    match features:
        case pd.DataFrame():
            return features.assign(**{"": target}).duplicated().to_numpy(dtype=np.bool_)
        case _:
            keys = [row.tobytes() for row in features]
            frame = pd.DataFrame({"pixels": keys, "target": target})
            return frame.duplicated().to_numpy(dtype=np.bool_)


def is_outlier(features: pd.DataFrame, outliers: Outliers) -> Flags:
    """Flag rows in which a column of numbers lies beyond the threshold.

    z-score: |value - mean| > threshold x standard deviation. iqr: outside
    [Q1 - threshold x IQR, Q3 + threshold x IQR]. Columns of text, of one or two values, and without
    spread are skipped, and so are missing values.
    """
    far = np.zeros(len(features), dtype=np.bool_)
    for name in features.columns:
        series = features[name]
        if series.dtype == np.float64 and series.nunique() > _FLAG_VALUES:
            far |= _beyond(series.to_numpy(), outliers)
    return far


def _beyond(values: Floats, outliers: Outliers) -> Flags:
    match outliers.method:
        case "z-score":
            mean, spread = np.nanmean(values), np.nanstd(values)
            low, high = mean, mean
        case "iqr":
            low, high = np.nanquantile(values, [0.25, 0.75])
            spread = high - low
    # A spread as small as rounding errors belongs to a constant column.
    if spread <= 10 * np.finfo(np.float64).eps * np.nanmax(np.abs(values)):
        return np.zeros(len(values), dtype=np.bool_)
    reach = outliers.threshold * spread
    return (values < low - reach) | (values > high + reach)


def count_label_noise(inputs: NDArray[np.float32], classes: NDArray[np.int64]) -> int:
    """Count rows whose five nearest neighbours (Euclidean) all carry another label."""
    rows = inputs.reshape(len(inputs), -1)
    search = cast("Any", NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(rows) - 1)))
    # Without an argument a row is not its own neighbour.
    near = cast("NDArray[np.int64]", search.fit(rows).kneighbors(return_distance=False))
    return int((classes[near] != classes[:, None]).all(axis=1).sum())
