"""Fitting on the training part: fill values, categories, scales and classes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, assert_never, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn import preprocessing as scalers  # pyright: ignore[reportMissingTypeStubs] # it ships none

from scaling_trainer.config.preprocessing import Preprocessing
from scaling_trainer.data_error import DataError
from scaling_trainer.metric_names import word_of
from scaling_trainer.preprocess.columns import Floats
from scaling_trainer.preprocess.inputs import (
    CategoryColumn,
    ClassTarget,
    Column,
    ImageInputs,
    NumberColumn,
    NumberTarget,
    TableInputs,
)

Scaling = Literal["none", "standard", "min-max", "robust"]

# A category is one input of the model. A column with more texts than this holds names or prose.
MOST_CATEGORIES = 1000


def fit_table(train: pd.DataFrame, preprocessing: Preprocessing) -> TableInputs:
    """Fit the columns of the training part: numbers are float64, texts are objects."""
    return TableInputs(
        tuple(
            _fit_number(train[name], name, preprocessing)
            if train[name].dtype == np.float64
            else _fit_category(train[name], name, preprocessing)
            for name in map(str, train.columns)
        )
    )


def _fit_number(series: pd.Series, name: str, preprocessing: Preprocessing) -> Column:
    values = series.to_numpy(dtype=np.float64)
    fill = None
    if preprocessing.missing in ("mean", "median"):
        _refuse_empty(series, name)
        fill = float(series.mean() if preprocessing.missing == "mean" else series.median())
        values = np.where(np.isnan(values), fill, values)
    offset, factor = fit_scale(values[:, None], preprocessing.scaling)
    return NumberColumn(name, fill, offset[0], factor[0])


def _fit_category(series: pd.Series, name: str, preprocessing: Preprocessing) -> Column:
    """Fit the categories. The most frequent one fills a missing value: text has no mean."""
    counts = series.value_counts()
    categories = tuple(sorted(str(category) for category in counts.index))
    if len(categories) > MOST_CATEGORIES:
        message = (
            f"the column holds {len(categories)} different texts, at most {MOST_CATEGORIES} can be "
            "categories: name the columns to learn from in dataset.features"
        )
        raise DataError(name, message)
    _refuse_empty(series, name)
    if preprocessing.missing not in ("mean", "median"):
        return CategoryColumn(name, categories)
    most = counts.max()
    return CategoryColumn(name, categories, min(str(text) for text in counts.index[counts == most]))


def _refuse_empty(series: pd.Series, name: str) -> None:
    if series.isna().all():
        raise DataError(name, "the column has no value in the training part")


def fit_images(train: NDArray[np.generic], maximum: float, scaling: Scaling) -> ImageInputs:
    """Fit one scale per channel on the training images (rows, channels, height, width)."""
    channels, height, width = train.shape[1:]
    pixels = train.astype(np.float64).transpose(0, 2, 3, 1).reshape(-1, channels) / maximum
    offset, factor = fit_scale(pixels, scaling)
    return ImageInputs(channels, height, width, maximum, offset, factor)


def fit_number_target(train: Floats, scaling: Scaling) -> NumberTarget:
    """Fit the scale of a regression's target."""
    offset, factor = fit_scale(train[:, None], scaling)
    return NumberTarget(offset[0], factor[0])


def fit_scale(values: Floats, scaling: Scaling) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Fit scikit-learn's scaler: an offset and a factor per column.

    A scaled value is (value - offset) / factor. A constant column gets factor 1, so that it becomes
    0 instead of NaN.
    """
    match scaling:
        case "none":
            columns = values.shape[1]
            return (0.0,) * columns, (1.0,) * columns
        case "standard":
            fitted = cast("Any", scalers.StandardScaler()).fit(values)
            offset, factor = fitted.mean_, fitted.scale_
        case "min-max":
            fitted = cast("Any", scalers.MinMaxScaler()).fit(values)
            offset, factor = fitted.data_min_, 1 / fitted.scale_
        case "robust":
            fitted = cast("Any", scalers.RobustScaler()).fit(values)
            offset, factor = fitted.center_, fitted.scale_
        case _:
            assert_never(scaling)
    return tuple(map(float, offset)), tuple(map(float, factor))


def class_target(labels: Iterable[str]) -> ClassTarget:
    """Give each label a unique name that fits a metric's name (`val_recall_<name>`)."""
    ordered = tuple(labels)
    names: dict[str, None] = {}
    for label in ordered:
        plain = word_of(label).strip("_") or "class"
        name, number = plain, 1
        while name in names:
            number += 1
            name = f"{plain}_{number}"
        names[name] = None
    return ClassTarget(ordered, tuple(names))


def in_order(labels: Iterable[str]) -> list[str]:
    """Sort labels, numbers by size."""
    different = set(labels)
    try:
        return sorted(different, key=lambda label: (float(label), label))
    except ValueError:  # at least one is no number
        return sorted(different)
