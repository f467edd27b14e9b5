"""A prepared data set: three parts of tensors, and how rows become tensors.

Many trials of one process may share a `Prepared`: no code changes its tensors in place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import torch

from scaling_trainer.preprocess import Preprocessor

Augment = Callable[[torch.Tensor, torch.Generator], torch.Tensor]


class InputKind(StrEnum):
    """The shape of the inputs. The model has to accept this shape."""

    TABLE = "table"
    """Rows of numbers: float32 (rows, features)."""
    IMAGES = "images"
    """Images: float32 (rows, channels, height, width)."""
    TOKENS = "tokens"
    """One contiguous text: int64 (tokens,), each a byte."""
    RATINGS = "ratings"
    """Pairs of a user's and an item's index: int64 (rows, 2)."""


@dataclass(frozen=True, slots=True)
class Subset:
    """One part of a split data set: training, validation or test.

    `targets` holds class indices, int64 (rows,), or scaled numbers, float32 (rows, 1). For tokens
    `targets` is empty: the trainer shifts the inputs by one.
    """

    inputs: torch.Tensor
    targets: torch.Tensor


@dataclass(frozen=True, slots=True)
class Prepared:
    """A data set, cleaned, split and scaled.

    `classes` are names fit for a metric's name (`val_recall_<class>`). `cardinalities` are (users,
    items) for ratings and (256,) for tokens. `removed` counts training rows by cause. `augment`
    changes a batch of training images at random. `notes` say how the data were read.
    """

    kind: InputKind
    train: Subset
    validation: Subset
    test: Subset
    classes: tuple[str, ...]
    cardinalities: tuple[int, ...]
    removed: Mapping[str, int]
    preprocessor: Preprocessor
    augment: Augment | None
    notes: tuple[str, ...] = ()
