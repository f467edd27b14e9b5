"""Columns of a frame as numbers or as text, from any type that a file gives."""

from __future__ import annotations

from typing import cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import infer_dtype, is_float_dtype

from scaling_trainer.data_error import DataError

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

# The square of a larger number does not fit a float, and the sums of scaling would be NaN.
LARGEST = 1e30
# Above this bound, two whole numbers may be the same float.
LARGEST_EXACT = 2**53
_SHOWN = 10

_NUMERIC = ("integer", "floating", "mixed-integer-float", "decimal", "boolean")
_TEXT = ("string", "mixed-integer", "categorical")


def named_column(frame: pd.DataFrame, name: str) -> pd.Series:
    """Give a column by name. Raises DataError if the column is missing or occurs twice."""
    if name not in frame.columns:
        columns = ", ".join(str(other) for other in frame.columns[:_SHOWN])
        more = ", ..." if len(frame.columns) > _SHOWN else ""
        message = f"the column is missing; there are: {columns}{more}"
        raise DataError(name, message)
    if list(frame.columns).count(name) > 1:
        raise DataError(name, "the column stands there more than once")
    return frame[name]


def is_missing(series: pd.Series) -> Flags:
    """Flag rows without a value."""
    return cast("Flags", series.isna().to_numpy(dtype=np.bool_))


def is_text(series: pd.Series, name: str) -> bool:
    """Tell text from numbers (and truth values). Raises DataError for other types, as dates."""
    held = infer_dtype(series, skipna=True)
    if held in _TEXT:
        return True
    if held in _NUMERIC or held == "empty":
        return False
    message = f"the column holds {held}: numbers, truth values and text are allowed"
    raise DataError(name, message)


def as_numbers(series: pd.Series, name: str) -> Floats:
    """Give a column as numbers, with NaN for a missing value.

    Raises DataError that quotes the first value that is no number, or too large a number.
    """
    # In a mixed column, truth values count as 0 and 1, and text that spells a number as the number.
    numbers: pd.Series = pd.to_numeric(series, errors="coerce")
    values = numbers.to_numpy(dtype=np.float64, na_value=np.nan)
    refuse_where(series, name, np.isnan(values) & ~is_missing(series), "is not a number")
    refuse_where(series, name, np.abs(np.nan_to_num(values)) > LARGEST, f"is beyond {LARGEST:g}")
    return values


def refuse_where(series: pd.Series, name: str, bad: Flags, reason: str) -> None:
    """Raise DataError that quotes the first flagged value, if a row is flagged."""
    if bad.any():
        row = int(np.argmax(bad))
        (value,) = series.iloc[row : row + 1].tolist()  # as Python's own type
        message = f"{value!r} in row {row + 1} {reason}"
        raise DataError(name, message)


def as_text(series: pd.Series, name: str) -> pd.Series:
    """Give a column as text, with None for a missing value. Whole floats lose their `.0`.

    A missing value turns a column of whole numbers into floats. Without the `.0` a label is the
    same text in both. Whole numbers of any length keep their digits.
    """
    if not is_text(series, name) and is_float_dtype(series):
        as_numbers(series, name)  # refuses unusable numbers
    text = series.astype(object).map(_spelled, na_action="ignore")
    return text.astype(object).where(series.notna().to_numpy(), None).reset_index(drop=True)


def _spelled(value: object) -> str:
    plain = cast("object", value.item()) if isinstance(value, np.generic) else value
    return str(int(plain)) if isinstance(plain, float) and plain.is_integer() else str(plain)
