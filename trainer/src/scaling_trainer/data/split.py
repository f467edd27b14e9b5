"""Splits rows into the training, validation and test part."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import (  # pyright: ignore[reportMissingTypeStubs] # it ships none
    train_test_split,  # pyright: ignore[reportUnknownVariableType] # it ships no types
)

from scaling_trainer.config.data import Split
from scaling_trainer.data_error import DataError

Places = NDArray[np.int64]

PARTS = ("training", "validation", "test")
_separate = cast("Callable[..., tuple[Places, Places]]", train_test_split)


def sizes(rows: int, split: Split) -> tuple[int, int, int]:
    """Round the shares to rows (or tokens) of each part. Raises DataError if a part is empty."""
    validation, test = round(rows * split.validation), round(rows * split.test)
    counts = (rows - validation - test, validation, test)
    for part, size in zip(PARTS, counts, strict=True):
        if size < 1:
            message = (
                f"the {part} part would be empty: {rows} rows are split with "
                f"validation {split.validation:g} and test {split.test:g}"
            )
            raise DataError(path="dataset", message=message)
    return counts


def split_rows(rows: int, split: Split) -> tuple[Places, Places, Places]:
    """Draw the indices of training, validation and test rows.

    The split depends on the seed and the number of rows alone, so that all trials score the same
    rows. Raises DataError if a part would be empty.
    """
    _, validation_size, test_size = sizes(rows, split)
    places = np.arange(rows, dtype=np.int64)
    rest, test = _separate(places, test_size=test_size, random_state=split.seed)
    train, validation = _separate(rest, test_size=validation_size, random_state=split.seed)
    return train, validation, test


def split_classes(
    classes: NDArray[np.int64], labels: tuple[str, ...], split: Split
) -> tuple[Places, Places, Places]:
    """Draw the indices of training, validation and test rows, stratified by class.

    Raises DataError for fewer than two classes, and for a class that is not in every part.
    """
    if len(labels) < 2:  # noqa: PLR2004 # one class has nothing to be told from
        message = f"classes found: {len(labels)}; a classification needs at least 2"
        raise DataError(path="dataset.target", message=message)
    wanted = sizes(len(classes), split)
    counts = np.bincount(classes, minlength=len(labels))
    if min(wanted) < len(labels) or counts.min() < len(PARTS):
        raise _thin_class(int(counts.argmin()), counts, labels, split)
    places = np.arange(len(classes), dtype=np.int64)
    rest, test = _draw(places, wanted[2], split.seed, classes)
    left = np.bincount(classes[rest], minlength=len(labels))
    # A class with one row left cannot be in two parts.
    if left.min() < 2:  # noqa: PLR2004 # the two parts
        raise _thin_class(int(left.argmin()), counts, labels, split)
    train, validation = _draw(rest, wanted[1], split.seed, classes)
    for part in (train, validation, test):
        counts_of_part = np.bincount(classes[part], minlength=len(labels))
        if counts_of_part.min() < 1:
            raise _thin_class(int(counts_of_part.argmin()), counts, labels, split)
    return train, validation, test


def _draw(
    places: Places, count: int, seed: int, classes: NDArray[np.int64]
) -> tuple[Places, Places]:
    return _separate(places, test_size=count, random_state=seed, stratify=classes[places])


def _thin_class(
    thin: int, counts: NDArray[np.int64], labels: tuple[str, ...], split: Split
) -> DataError:
    message = (
        f"class {labels[thin]!r} has {counts[thin]} of {counts.sum()} rows, too few to be in the "
        f"training, validation and test part with validation {split.validation:g} "
        f"and test {split.test:g}"
    )
    return DataError(path="dataset.target", message=message)
