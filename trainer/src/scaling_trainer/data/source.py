"""What a data set is before anything was done to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling_trainer.config.base import Task
from scaling_trainer.config.data import Dataset
from scaling_trainer.config.preprocessing import Preprocessing, Shape, unsuitable
from scaling_trainer.data_error import DataError
from scaling_trainer.preprocess.notation import Notation


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is learned, from which data, prepared how. Equal recipes give equal data."""

    task: Task
    dataset: Dataset
    preprocessing: Preprocessing


def refuse_unsuitable(recipe: Recipe, shape: Shape) -> None:
    """Raise DataError for the first preprocessing that has no meaning for data of this shape."""
    for setting, sentence in unsuitable(recipe.preprocessing, shape, recipe.task):
        raise DataError(path=f"preprocessing.{setting}", message=sentence)


@dataclass(frozen=True, slots=True)
class Provenance:
    """How the data were read: what a person is told, and what a file to predict is read by.

    `left_out` counts rows or files by cause, `by_column` says more about a column with gaps.
    """

    notes: tuple[str, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict[str, int])
    gap_notes: Mapping[str, str] = field(default_factory=dict[str, str])
    notation: Notation = field(default_factory=Notation)


@dataclass(frozen=True, slots=True)
class RowSource:
    """Rows with a target.

    `features` is a frame, or pixels (rows, channels, height, width) that run from 0 to `maximum`.
    `labels` are the classes in order where they are known beforehand.
    """

    features: pd.DataFrame | NDArray[np.generic]
    target: pd.Series
    maximum: float = 1.0
    labels: tuple[str, ...] = ()
    provenance: Provenance = field(default_factory=Provenance)


@dataclass(frozen=True, slots=True)
class TextSource:
    """A text as UTF-8."""

    content: bytes
    provenance: Provenance = field(default_factory=Provenance)


@dataclass(frozen=True, slots=True)
class RatingSource:
    """Ratings, and every user and item there is, also those that nobody rated."""

    frame: pd.DataFrame
    user: str
    item: str
    rating: str
    users: tuple[str, ...] = ()
    items: tuple[str, ...] = ()
    provenance: Provenance = field(default_factory=Provenance)


Source = RowSource | TextSource | RatingSource
