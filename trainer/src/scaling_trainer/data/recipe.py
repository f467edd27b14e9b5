"""The part of a configuration that decides what the data are."""

from __future__ import annotations

from dataclasses import dataclass

from scaling_trainer.config.base import Task
from scaling_trainer.config.data import Dataset
from scaling_trainer.config.preprocessing import Preprocessing, Shape, unsuitable
from scaling_trainer.data.errors import DataError


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is learned, from which data, prepared how. Equal recipes give equal data."""

    task: Task
    dataset: Dataset
    preprocessing: Preprocessing


def refuse_unsuitable(recipe: Recipe, shape: Shape) -> None:
    """Raise DataError for the first preprocessing that has no meaning for data of this shape."""
    for field, sentence in unsuitable(recipe.preprocessing, shape, recipe.task):
        raise DataError(path=f"preprocessing.{field}", message=sentence)
