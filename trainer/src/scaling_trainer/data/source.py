"""A data set before cleaning, splitting and scaling, and the settings that decide about them."""

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
    """The task, the data set and its preprocessing. Equal recipes give equal data."""

    task: Task
    dataset: Dataset
    preprocessing: Preprocessing


def refuse_unsuitable(recipe: Recipe, shape: Shape) -> None:
    """Raise DataError for the first preprocessing that has no meaning for data of this shape."""
    for setting, sentence in unsuitable(recipe.preprocessing, shape, recipe.task):
        raise DataError(path=f"preprocessing.{setting}", message=sentence)


@dataclass(frozen=True, slots=True)
class Provenance:
    """How the data were read: notes for the user, and the notation for files to predict.

    `left_out` counts rows or files by cause. `gap_notes` explain the gaps of a column.
    """

    notes: tuple[str, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict[str, int])
    gap_notes: Mapping[str, str] = field(default_factory=dict[str, str])
    notation: Notation = field(default_factory=Notation)


@dataclass(frozen=True, slots=True)
class RowSource:
    """Rows with a target.

    `features` is a frame, or pixels (rows, channels, height, width) that run from 0 to `maximum`.
    `labels` are the classes in order, if they are known before reading.
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
    """Ratings, and all users and items, including those without a rating."""

    frame: pd.DataFrame
    user: str
    item: str
    rating: str
    users: tuple[str, ...] = ()
    items: tuple[str, ...] = ()
    provenance: Provenance = field(default_factory=Provenance)


Source = RowSource | TextSource | RatingSource
