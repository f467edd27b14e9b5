"""From raw features and targets to usable values, or a DataError."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_integer_dtype

from scaling_trainer.config.preprocessing import Preprocessing
from scaling_trainer.data_error import DataError
from scaling_trainer.preprocess.cleaning import Features
from scaling_trainer.preprocess.columns import (
    LARGEST,
    LARGEST_EXACT,
    Flags,
    Floats,
    as_numbers,
    as_text,
    is_missing,
    is_text,
)
from scaling_trainer.preprocess.fit import class_target, in_order
from scaling_trainer.preprocess.inputs import ClassTarget

_PIXEL_TYPES = "buif"  # numpy's letters for truth values, unsigned, signed and floating numbers


def usable_features(
    features: Features,
    on_missing: Literal["error", "drop", "mean", "median"],
    gap_notes: Mapping[str, str] | None = None,
) -> Features:
    """Check features. Give columns as float64 or as text, and images as they are.

    `gap_notes` add a sentence to the error for a column with gaps. Raises DataError that names the
    column, or the first row, that cannot be used.
    """
    if not isinstance(features, pd.DataFrame):
        return _images(features, on_missing)
    return pd.DataFrame(
        {
            name: _column(features[name], name, on_missing, (gap_notes or {}).get(name))
            for name in map(str, features.columns)
        }
    )


def _column(series: pd.Series, name: str, on_missing: str, gap_note: str | None) -> pd.Series:
    empty = is_missing(series)
    if empty.any() and on_missing == "error":
        message = (
            f"the column has no value in {int(empty.sum())} rows, first in row "
            f"{int(np.argmax(empty)) + 1}: set preprocessing.missing to drop, mean or median"
        )
        raise DataError(name, message if gap_note is None else f"{message}; {gap_note}")
    if is_text(series, name) or _is_long(series):
        return as_text(series, name)
    return pd.Series(as_numbers(series, name))


def _is_long(series: pd.Series) -> bool:
    """Whether a column holds whole numbers that a float cannot tell apart. These are codes."""
    if not is_integer_dtype(series):
        return False
    values = series.dropna()
    return len(values) > 0 and bool(values.max() > LARGEST_EXACT or values.min() < -LARGEST_EXACT)


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


_FIELD = "dataset.target"


@dataclass(frozen=True, slots=True)
class ClassValues:
    """A class index per row, and the names of the classes."""

    target: ClassTarget
    values: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class NumberValues:
    """A number per row, in the data's own unit."""

    values: Floats


def has_target(series: pd.Series, preprocessing: Preprocessing) -> Flags:
    """Which rows have a target. Raises DataError if some have none and may not be left out."""
    present = ~is_missing(series)
    if not present.all() and preprocessing.missing != "drop":
        message = (
            f"column {series.name!r} has no value in {int((~present).sum())} rows, first in row "
            f"{int(np.argmin(present)) + 1}: only preprocessing.missing: drop leaves them out"
        )
        raise DataError(_FIELD, message)
    return present


def read_class_target(series: pd.Series, labels: tuple[str, ...]) -> ClassValues:
    """Give each row the index of its class, in the order of `labels` or else sorted."""
    text = as_text(series, _FIELD)
    target = class_target(labels or in_order(text))
    places = pd.Index(target.labels, dtype=object).get_indexer(pd.Index(text, dtype=object))
    return ClassValues(target, places.astype(np.int64))


def read_number_target(series: pd.Series) -> NumberValues:
    """Read numbers. Raises DataError if a value is no number, or if all values are equal."""
    values = as_numbers(series, _FIELD)
    if len(values) > 1 and (values == values[0]).all():
        message = f"the target is {values[0]:g} in every row: there is nothing to learn"
        raise DataError(_FIELD, message)
    return NumberValues(values)
