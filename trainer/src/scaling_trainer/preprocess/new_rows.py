"""New rows of a text file, read by the column types of the training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

import numpy as np
import pandas as pd

from scaling_trainer.preprocess.columns import named_column, refuse_where
from scaling_trainer.preprocess.inputs import (
    CategoryColumn,
    ImageInputs,
    Inputs,
    NumberColumn,
    RatingInputs,
    TableInputs,
    TokenInputs,
)
from scaling_trainer.preprocess.notation import Notation, indices_of, read_names, stripped


def required_columns(inputs: Inputs) -> tuple[str, ...]:
    """Name the columns that new rows must have, as far as the training knew their names."""
    match inputs:
        case TableInputs(columns=columns):
            return tuple(column.name for column in columns)
        case RatingInputs(user=user, item=item):
            return (user, item)
        case ImageInputs() | TokenInputs():
            return ()
        case _:
            assert_never(inputs)


def read_as_learned(frame: pd.DataFrame, inputs: Inputs, notation: Notation) -> pd.DataFrame:
    """Read the known columns by their fitted types. Other frames stay as they are.

    Raises DataError that names a column which is missing, occurs twice, or holds no numbers.
    """
    match inputs:
        case TableInputs(columns=columns):
            read = {column.name: _read(frame, column, notation) for column in columns}
        case RatingInputs():
            read = {
                name: read_names(stripped(named_column(frame, name)), notation)
                for name in required_columns(inputs)
            }
        case ImageInputs() | TokenInputs():
            return frame
        case _:
            assert_never(inputs)
    return pd.DataFrame(read)


def _read(
    frame: pd.DataFrame, column: NumberColumn | CategoryColumn, notation: Notation
) -> pd.Series:
    texts = stripped(named_column(frame, column.name))
    if isinstance(column, CategoryColumn):
        return read_names(texts, notation, names=False)
    values = notation.numbers(texts)
    bad = np.isnan(values) & ~notation.is_missing(texts)
    refuse_where(pd.Series(texts, dtype=object), column.name, bad, "is not a number")
    return pd.Series(values)


def unseen_categories(inputs: Inputs, frame: pd.DataFrame) -> Iterator[str]:
    """Count, for each column of categories, the rows with a category unknown to the training."""
    if not isinstance(inputs, TableInputs):
        return
    for column in inputs.columns:
        if isinstance(column, CategoryColumn):
            texts = frame[column.name]
            unseen = texts[(indices_of(texts, column.categories) < 0) & texts.notna().to_numpy()]
            if len(unseen):
                yield (
                    f"{column.name}: {len(unseen)} of {len(texts)} rows hold a value that training "
                    f"never saw, first {unseen.iloc[0]!r}"
                )
