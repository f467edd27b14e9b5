"""The target column as class indices or as numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling_trainer.config.preprocessing import Preprocessing
from scaling_trainer.data.errors import DataError
from scaling_trainer.preprocess.classes import class_target, in_order
from scaling_trainer.preprocess.columns import Flags, Floats, as_numbers, as_text, missing
from scaling_trainer.preprocess.inputs import ClassTarget

_FIELD = "dataset.target"


@dataclass(frozen=True, slots=True)
class Classes:
    """A class index per row, and what the classes are called."""

    target: ClassTarget
    values: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Numbers:
    """A number per row, in the data's own unit."""

    values: Floats


def labelled(series: pd.Series, preprocessing: Preprocessing) -> Flags:
    """Which rows have a target. Raises DataError where some do not and may not be left out."""
    there = ~missing(series)
    if not there.all() and preprocessing.missing != "drop":
        message = (
            f"column {series.name!r} has no value in {int((~there).sum())} rows, first in row "
            f"{int(np.argmin(there)) + 1}: only preprocessing.missing: drop leaves them out"
        )
        raise DataError(_FIELD, message)
    return there


def read_classes(series: pd.Series, labels: tuple[str, ...]) -> Classes:
    """Give each class its index, in the order of `labels` or else in their own."""
    text = as_text(series, _FIELD)
    target = class_target(labels or in_order(text))
    places = pd.Index(target.labels, dtype=object).get_indexer(pd.Index(text, dtype=object))
    return Classes(target, places.astype(np.int64))


def read_numbers(series: pd.Series) -> Numbers:
    """Read numbers. Raises DataError that quotes what is none, and where all are one."""
    values = as_numbers(series, _FIELD)
    if len(values) > 1 and (values == values[0]).all():
        message = f"the target is {values[0]:g} in every row: there is nothing to learn"
        raise DataError(_FIELD, message)
    return Numbers(values)
