"""New rows of a text file, read by the types that training learned."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

import numpy as np
import pandas as pd

from scaling_trainer.preprocess.columns import column, refuse_where
from scaling_trainer.preprocess.inputs import (
    CategoryColumn,
    ImageInputs,
    Inputs,
    NumberColumn,
    RatingInputs,
    TableInputs,
    TokenInputs,
)
from scaling_trainer.preprocess.notation import Notation, as_names, places_of, stripped


def column_names(inputs: Inputs) -> tuple[str, ...]:
    """Name the columns that new rows need to have, as far as they are known by name."""
    match inputs:
        case TableInputs(columns=columns):
            return tuple(known.name for known in columns)
        case RatingInputs(user=user, item=item):
            return (user, item)
        case ImageInputs() | TokenInputs():
            return ()
        case _:
            assert_never(inputs)


def read_as_learned(frame: pd.DataFrame, inputs: Inputs, notation: Notation) -> pd.DataFrame:
    """Read columns of texts by their learned types; others stay as they are.

    Raises DataError that names a column which is missing, stands twice, or holds no numbers.
    """
    match inputs:
        case TableInputs(columns=columns):
            read = {known.name: _read(frame, known, notation) for known in columns}
        case RatingInputs():
            read = {
                name: as_names(stripped(column(frame, name)), notation)
                for name in column_names(inputs)
            }
        case ImageInputs() | TokenInputs():
            return frame
        case _:
            assert_never(inputs)
    return pd.DataFrame(read)


def _read(frame: pd.DataFrame, known: NumberColumn | CategoryColumn, by: Notation) -> pd.Series:
    texts = stripped(column(frame, known.name))
    if isinstance(known, CategoryColumn):
        return as_names(texts, by, names=False)
    values = by.numbers(texts)
    bad = np.isnan(values) & ~by.is_missing(texts)
    refuse_where(pd.Series(texts, dtype=object), known.name, bad, "is not a number")
    return pd.Series(values)


def never_seen(inputs: Inputs, frame: pd.DataFrame) -> Iterator[str]:
    """Count, for each column of categories, the rows with one that training never saw."""
    if not isinstance(inputs, TableInputs):
        return
    for known in inputs.columns:
        if isinstance(known, CategoryColumn):
            texts = frame[known.name]
            unseen = texts[(places_of(texts, known.categories) < 0) & texts.notna().to_numpy()]
            if len(unseen):
                yield (
                    f"{known.name}: {len(unseen)} of {len(texts)} rows hold a value that training "
                    f"never saw, first {unseen.iloc[0]!r}"
                )
