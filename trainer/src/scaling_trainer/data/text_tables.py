"""Tables and ratings in text files: each column is read as numbers or as names.

Names are classes, users, items and categories. A name is never turned into a number. A column holds
categories if it holds texts, more than a share of texts, or codes (`007`, or whole numbers that a
float cannot tell apart).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from scaling_trainer.config.base import Task
from scaling_trainer.config.data import Delimited, Ratings, Table
from scaling_trainer.data.delimited import TextFormat, TextTable, read_delimited
from scaling_trainer.data.infer_notation import infer_notation
from scaling_trainer.data.listing import first_few
from scaling_trainer.data.source import Provenance, RatingSource, RowSource
from scaling_trainer.data_error import DataError
from scaling_trainer.preprocess.columns import LARGEST_EXACT, named_column, refuse_where
from scaling_trainer.preprocess.notation import Notation, Texts, read_names, stripped

_CODE = re.compile(r"[+-]?0\d+", re.ASCII)
_DATE = re.compile(
    r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}\b.*|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}\b.*", re.ASCII
)
_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
_MOSTLY = 0.5


@dataclass(slots=True)
class TypeNotes:
    """How columns were read, for users who may want them read in another way."""

    numbers: list[str] = field(default_factory=list[str])
    categories: list[str] = field(default_factory=list[str])
    marks: list[str] = field(default_factory=list[str])
    gap_notes: dict[str, str] = field(default_factory=dict[str, str])

    def notes(self) -> Iterator[str]:
        """Give a sentence for each kind of note."""
        if self.categories:
            yield f"read as categories: {first_few(self.categories)}; dataset.numeric changes it"
        if self.numbers:
            yield f"read as numbers: {first_few(self.numbers)}; dataset.categorical changes it"
        if self.marks:
            yield f"counted as missing: {first_few(self.marks)}; dataset.missing_values changes it"


def read_feature(
    name: str, texts: Texts, settings: Table, notation: Notation, type_notes: TypeNotes
) -> pd.Series:
    """Give a feature as float64 with NaN, or as texts with None where there is no value."""
    if name in settings.categorical:
        return read_names(texts, notation, names=False)
    if name in settings.numeric:
        return read_numbers(name, texts, notation)
    present = ~notation.is_missing(texts)
    values = notation.numbers(texts)
    unreadable = present & np.isnan(values)
    filled = texts[present]
    reason = _why_not_numbers(filled, texts[unreadable], settings.max_unreadable)
    if reason is None:
        if unreadable.any():
            examples = _quoted(texts[unreadable])
            note = f"{name} ({int(unreadable.sum())} of {len(filled)} are none: {examples})"
            type_notes.numbers.append(note)
            type_notes.gap_notes[name] = f"{note}; dataset.categorical reads them as categories"
        return pd.Series(np.where(present, values, np.nan))
    if reason:
        type_notes.categories.append(f"{name} ({reason})")
    marks = texts[~present & (texts != "")]
    if len(marks):
        type_notes.marks.append(f"{_quoted(marks)} in {name}")
    return read_names(texts, notation, names=False)


def read_numbers(name: str, texts: Texts, notation: Notation) -> pd.Series:
    """Give numbers as float64, with NaN for a missing value. Refuse a text that is no number."""
    values = notation.numbers(texts)
    bad = np.isnan(values) & ~notation.is_missing(texts)
    refuse_where(pd.Series(texts, dtype=object), name, bad, "is not a number")
    return pd.Series(values)


def name_notes(name: str, texts: Texts, notation: Notation) -> Iterator[str]:
    """Say which names look like marks of a missing value."""
    if notation.missing is not None:
        return
    marks = texts[notation.is_missing(texts) & (texts != "")]
    if len(marks):
        yield (
            f"{_quoted(marks)} is a name among others in {len(marks)} rows of {name}: "
            "dataset.missing_values changes it"
        )


def notation_note(notation: Notation, decimal: str | None, thousands: str | None) -> str:
    """Say which signs were inferred, where they are not the usual ones; else nothing."""
    signs: list[str] = []
    if decimal is None and notation.decimal != ".":
        signs.append(f"{notation.decimal!r} before decimals (dataset.decimal)")
    if thousands is None and notation.thousands:
        signs.append(f"{notation.thousands!r} between thousands (dataset.thousands)")
    return f"numbers are read with {' and '.join(signs)}" if signs else ""


def _why_not_numbers(filled: Texts, unreadable: Texts, share: float) -> str | None:
    """Say why texts are not numbers. None: they are; the empty text: the reason is plain."""
    if len(filled) == 0:
        return None
    distinct = list(dict.fromkeys(filled))
    code = next((text for text in distinct if _CODE.fullmatch(text) or _is_long(text)), None)
    if len(unreadable) <= share * len(filled):
        return None if code is None else f"codes as {code!r}"
    if all(_DATE.fullmatch(text) for text in distinct):
        return f"dates as {distinct[0]!r}"
    if len(unreadable) < _MOSTLY * len(filled):
        return f"{len(unreadable)} of {len(filled)} are no numbers: {_quoted(unreadable)}"
    return "" if code is None else f"codes as {code!r}"


def _is_long(text: str) -> bool:
    return _WHOLE.fullmatch(text) is not None and abs(int(text[:400])) > LARGEST_EXACT


def _quoted(texts: Texts) -> str:
    quoted: Sequence[str] = [repr(text) for text in dict.fromkeys(texts)]
    return first_few(quoted)


TARGET = "dataset.target"


def feature_names(frame: pd.DataFrame, dataset: Table) -> tuple[str, ...]:
    """Name the columns to learn from. Raises DataError if there are none."""
    names = dataset.features or tuple(
        name for name in map(str, frame.columns) if name != dataset.target
    )
    if not names:
        message = f"{dataset.path} has no column beside the target"
        raise DataError(path="dataset.path", message=message)
    return names


def read_table(dataset: Table, path: Path, task: Task) -> RowSource:
    """Read features and target. Raises DataError that names the column which cannot be used."""
    raw = read_delimited(
        path, TextFormat.from_settings(dataset, (dataset.target, *dataset.features))
    )
    target = stripped(named_column(raw.frame, dataset.target))
    texts = {
        name: stripped(named_column(raw.frame, name)) for name in feature_names(raw.frame, dataset)
    }
    named = task == "classification"
    numbers = {
        name: column_texts
        for name, column_texts in texts.items()
        if name not in dataset.categorical
    }
    number_columns = numbers if named else {**numbers, dataset.target: target}
    notation = infer_notation(number_columns, dataset, dataset.max_unreadable)
    type_notes = TypeNotes()
    features = pd.DataFrame(
        {
            name: read_feature(name, column_texts, dataset, notation, type_notes)
            for name, column_texts in texts.items()
        }
    )
    notes = (*_notes(raw, dataset, notation, {dataset.target: target} if named else {}),)
    return RowSource(
        features,
        (read_names(target, notation) if named else read_numbers(TARGET, target, notation)).rename(
            dataset.target
        ),
        provenance=Provenance(
            (*notes, *type_notes.notes()), _left_out(raw, dataset), type_notes.gap_notes, notation
        ),
    )


def read_ratings(dataset: Ratings, path: Path) -> RatingSource:
    """Read users and items as names and ratings as numbers."""
    names = (dataset.user, dataset.item, dataset.rating)
    raw = read_delimited(path, TextFormat.from_settings(dataset, names))
    users, items, values = (stripped(named_column(raw.frame, name)) for name in names)
    notation = infer_notation({dataset.rating: values}, dataset, 0.0)
    frame = pd.DataFrame(
        {
            dataset.user: read_names(users, notation),
            dataset.item: read_names(items, notation),
            dataset.rating: read_numbers(dataset.rating, values, notation),
        }
    )
    names_of_rows = {dataset.user: users, dataset.item: items}
    notes = tuple(_notes(raw, dataset, notation, names_of_rows))
    provenance = Provenance(notes, _left_out(raw, dataset), notation=notation)
    return RatingSource(frame, *names, provenance=provenance)


def _left_out(raw: TextTable, dataset: Delimited) -> dict[str, int]:
    return {"broken": raw.broken} if dataset.broken == "skip" else {}


def _notes(
    raw: TextTable, dataset: Delimited, notation: Notation, named: dict[str, Texts]
) -> Iterator[str]:
    yield from raw.notes
    said = notation_note(notation, dataset.decimal, dataset.thousands)
    if said:
        yield said
    for name, texts in named.items():
        yield from name_notes(name, texts, notation)
