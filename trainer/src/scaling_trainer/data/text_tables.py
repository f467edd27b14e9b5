"""Tables and ratings in text files: each column read as what it is for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from scaling_trainer.config.base import Task
from scaling_trainer.config.data import Delimited, Ratings, Table
from scaling_trainer.data.column_types import (
    Findings,
    read_feature,
    read_numbers,
    told_of_names,
    told_of_notation,
)
from scaling_trainer.data.delimited import Form, RawTable, read_delimited
from scaling_trainer.data.errors import DataError
from scaling_trainer.data.notation import find_notation
from scaling_trainer.data.source import Provenance, RatingSource, RowSource
from scaling_trainer.preprocess.columns import column
from scaling_trainer.preprocess.names import as_names
from scaling_trainer.preprocess.notation import Notation, Texts, stripped

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
    said = told_of_notation(notation, dataset.decimal, dataset.thousands)
    if said:
        yield said
    for name, texts in named.items():
        yield from told_of_names(name, texts, notation)
