"""Features as they were read → numbers and text, or a clear sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_integer_dtype

from scaling_trainer.data.errors import DataError
from scaling_trainer.preprocess.cleaning import Features
from scaling_trainer.preprocess.columns import EXACT, LARGEST, as_numbers, as_text, is_text, missing

_PIXEL_TYPES = "buif"  # numpy's letters for truth values, unsigned, signed and floating numbers


def readable(
    features: Features,
    on_missing: Literal["error", "drop", "mean", "median"],
    told: Mapping[str, str] | None = None,
) -> Features:
    """Give columns as float64 or as text, and images as they are, once they are known to be usable.

    `told` says more about a column with gaps. Raises DataError that names the column, or the first
    row, that is not.
    """
    if not isinstance(features, pd.DataFrame):
        return _images(features, on_missing)
    return pd.DataFrame(
        {
            name: _column(features[name], name, on_missing, (told or {}).get(name))
            for name in map(str, features.columns)
        }
    )


def _column(series: pd.Series, name: str, on_missing: str, told: str | None) -> pd.Series:
    empty = missing(series)
    if empty.any() and on_missing == "error":
        message = (
            f"the column has no value in {int(empty.sum())} rows, first in row "
            f"{int(np.argmax(empty)) + 1}: set preprocessing.missing to drop, mean or median"
        )
        raise DataError(name, message if told is None else f"{message}; {told}")
    if is_text(series, name) or _is_long(series):
        return as_text(series, name)
    return pd.Series(as_numbers(series, name))


def _is_long(series: pd.Series) -> bool:
    """Whether a column holds whole numbers that a float cannot tell apart: they are codes."""
    if not is_integer_dtype(series):
        return False
    values = series.dropna()
    return len(values) > 0 and bool(values.max() > EXACT or values.min() < -EXACT)


def _images(images: NDArray[np.generic], on_missing: str) -> NDArray[np.generic]:
    if images.dtype.kind not in _PIXEL_TYPES:
        message = f"holds {images.dtype}: numbers are needed"
        raise DataError(path="dataset.inputs", message=message)
    flat = images.reshape(len(images), -1)
    unusable = ~(np.abs(np.nan_to_num(flat)) <= LARGEST).all(axis=1)
    empty = (
        np.isnan(flat).any(axis=1) if images.dtype.kind == "f" else np.zeros(len(flat), np.bool_)
    )
    if unusable.any():
        message = f"row {int(np.argmax(unusable)) + 1} has a value beyond {LARGEST:g}"
        raise DataError(path="dataset.inputs", message=message)
    if empty.any() and on_missing == "error":
        message = (
            f"{int(empty.sum())} rows have missing values, first row {int(np.argmax(empty)) + 1}: "
            "set preprocessing.missing to drop"
        )
        raise DataError(path="dataset.inputs", message=message)
    return images
