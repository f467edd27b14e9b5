"""Tables and ratings in text files: each column is read as numbers or as names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from scaling_trainer.config.base import Task
from scaling_trainer.config.data import Delimited, Ratings, Table
from scaling_trainer.data.delimited import Form, RawTable, read_delimited
from scaling_trainer.data.infer_notation import find_notation
from scaling_trainer.data.listing import counted
from scaling_trainer.data.source import Provenance, RatingSource, RowSource
from scaling_trainer.data_error import DataError
from scaling_trainer.preprocess.columns import EXACT, column, refuse_where
from scaling_trainer.preprocess.notation import Notation, Texts, as_names, stripped

_CODE = re.compile(r"[+-]?0\d+", re.ASCII)
_DATE = re.compile(
    r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}\b.*|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}\b.*", re.ASCII
)
_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
_MOSTLY = 0.5


@dataclass(slots=True)
class Findings:
    """What was found about columns that a person may want read in another way."""

    numbers: list[str] = field(default_factory=list[str])
    categories: list[str] = field(default_factory=list[str])
    marks: list[str] = field(default_factory=list[str])
    by_column: dict[str, str] = field(default_factory=dict[str, str])

    def notes(self) -> Iterator[str]:
        """Say it, a sentence for each kind."""
        if self.categories:
            yield f"read as categories: {counted(self.categories)}; dataset.numeric changes it"
        if self.numbers:
            yield f"read as numbers: {counted(self.numbers)}; dataset.categorical changes it"
        if self.marks:
            yield f"counted as missing: {counted(self.marks)}; dataset.missing_values changes it"


def read_feature(
    name: str, texts: Texts, settings: Table, notation: Notation, findings: Findings
) -> pd.Series:
    """Give a feature as float64 with NaN, or as texts with None where there is no value."""
    if name in settings.categorical:
        return as_names(texts, notation, names=False)
    if name in settings.numeric:
        return read_numbers(name, texts, notation)
    there = ~notation.is_missing(texts)
    values = notation.numbers(texts)
    bad = there & np.isnan(values)
    some = texts[there]
    why = _why_not_numbers(some, texts[bad], settings.max_unreadable)
    if why is None:
        if bad.any():
            said = f"{name} ({int(bad.sum())} of {len(some)} are none: {_quoted(texts[bad])})"
            findings.numbers.append(said)
            findings.by_column[name] = f"{said}; dataset.categorical reads them as categories"
        return pd.Series(np.where(there, values, np.nan))
    if why:
        findings.categories.append(f"{name} ({why})")
    marks = texts[~there & (texts != "")]
    if len(marks):
        findings.marks.append(f"{_quoted(marks)} in {name}")
    return as_names(texts, notation, names=False)


def read_numbers(name: str, texts: Texts, notation: Notation) -> pd.Series:
    """Give numbers as float64, NaN where there is no value; refuse what is no number."""
    values = notation.numbers(texts)
    bad = np.isnan(values) & ~notation.is_missing(texts)
    refuse_where(pd.Series(texts, dtype=object), name, bad, "is not a number")
    return pd.Series(values)


def name_notes(name: str, texts: Texts, notation: Notation) -> Iterator[str]:
    """Say where a name is what others write for a missing value."""
    if notation.missing is not None:
        return
    marks = texts[notation.is_missing(texts) & (texts != "")]
    if len(marks):
        yield (
            f"{_quoted(marks)} is a name among others in {len(marks)} rows of {name}: "
            "dataset.missing_values changes it"
        )


def notation_note(notation: Notation, decimal: str | None, thousands: str | None) -> str:
    """Say what was found out about numbers, where it is not the usual; else nothing."""
    found: list[str] = []
    if decimal is None and notation.decimal != ".":
        found.append(f"{notation.decimal!r} before decimals (dataset.decimal)")
    if thousands is None and notation.thousands:
        found.append(f"{notation.thousands!r} between thousands (dataset.thousands)")
    return f"numbers are read with {' and '.join(found)}" if found else ""


def _why_not_numbers(some: Texts, bad: Texts, share: float) -> str | None:
    """Say why texts are no numbers: None where they are, nothing where everybody sees it."""
    if len(some) == 0:
        return None
    different = list(dict.fromkeys(some))
    code = next((text for text in different if _CODE.fullmatch(text) or _is_long(text)), None)
    if len(bad) <= share * len(some):
        return None if code is None else f"codes as {code!r}"
    if all(_DATE.fullmatch(text) for text in different):
        return f"dates as {different[0]!r}"
    if len(bad) < _MOSTLY * len(some):
        return f"{len(bad)} of {len(some)} are no numbers: {_quoted(bad)}"
    return "" if code is None else f"codes as {code!r}"


def _is_long(text: str) -> bool:
    return _WHOLE.fullmatch(text) is not None and abs(int(text[:400])) > EXACT


def _quoted(texts: Texts) -> str:
    different: Sequence[str] = [repr(text) for text in dict.fromkeys(texts)]
    return counted(different)


TARGET = "dataset.target"


def feature_names(frame: pd.DataFrame, dataset: Table) -> tuple[str, ...]:
    """Name the columns to learn from. Raises DataError where there are none."""
    names = dataset.features or tuple(
        name for name in map(str, frame.columns) if name != dataset.target
    )
    if not names:
        message = f"{dataset.path} has no column beside the target"
        raise DataError(path="dataset.path", message=message)
    return names


def read_table(dataset: Table, path: Path, task: Task) -> RowSource:
    """Read features and target. Raises DataError that names the column which cannot be used."""
    raw = read_delimited(path, Form.of(dataset, (dataset.target, *dataset.features)))
    target = stripped(column(raw.frame, dataset.target))
    texts = {name: stripped(column(raw.frame, name)) for name in feature_names(raw.frame, dataset)}
    named = task == "classification"
    numbers = {name: each for name, each in texts.items() if name not in dataset.categorical}
    every = numbers if named else {**numbers, dataset.target: target}
    notation = find_notation(every, dataset, dataset.max_unreadable)
    findings = Findings()
    features = pd.DataFrame(
        {
            name: read_feature(name, each, dataset, notation, findings)
            for name, each in texts.items()
        }
    )
    notes = (*_notes(raw, dataset, notation, {dataset.target: target} if named else {}),)
    return RowSource(
        features,
        (as_names(target, notation) if named else read_numbers(TARGET, target, notation)).rename(
            dataset.target
        ),
        provenance=Provenance(
            (*notes, *findings.notes()), _left_out(raw, dataset), findings.by_column, notation
        ),
    )


def read_ratings(dataset: Ratings, path: Path) -> RatingSource:
    """Read users and items as names and ratings as numbers."""
    names = (dataset.user, dataset.item, dataset.rating)
    raw = read_delimited(path, Form.of(dataset, names))
    users, items, given = (stripped(column(raw.frame, name)) for name in names)
    notation = find_notation({dataset.rating: given}, dataset, 0.0)
    frame = pd.DataFrame(
        {
            dataset.user: as_names(users, notation),
            dataset.item: as_names(items, notation),
            dataset.rating: read_numbers(dataset.rating, given, notation),
        }
    )
    called = {dataset.user: users, dataset.item: items}
    notes = tuple(_notes(raw, dataset, notation, called))
    provenance = Provenance(notes, _left_out(raw, dataset), notation=notation)
    return RatingSource(frame, *names, provenance=provenance)


def _left_out(raw: RawTable, dataset: Delimited) -> dict[str, int]:
    return {"broken": raw.broken} if dataset.broken == "skip" else {}


def _notes(
    raw: RawTable, dataset: Delimited, notation: Notation, named: dict[str, Texts]
) -> Iterator[str]:
    yield from raw.notes
    said = notation_note(notation, dataset.decimal, dataset.thousands)
    if said:
        yield said
    for name, texts in named.items():
        yield from name_notes(name, texts, notation)
