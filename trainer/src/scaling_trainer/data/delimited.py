"""Tables in text files: the rows as texts. Other modules decide what a text means."""

from __future__ import annotations

import csv
import re
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import TextIO

import pandas as pd

from scaling_trainer.config.data import Broken, Delimited
from scaling_trainer.data.opening import (
    LONGEST_BOM,
    decoding_error,
    encoding_notes,
    encoding_of,
    nul_error,
    open_unpacked,
)
from scaling_trainer.data_error import DataError

SEPARATORS = (",", ";", "\t", "|", " ")
_ROWS_LOOKED_AT = 20
# The first line by which one spreadsheet tells another the separator.
_DECLARED = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Layout:
    """How the rows of a file are written."""

    separator: str
    skips_blanks: bool
    """Blanks stand after separators, before quotes."""
    lines_before: int = 0
    """Lines before the header."""


def infer_layout(lines: Sequence[str], setting: str | None, wanted: Sequence[str]) -> Layout:
    """Infer the separator from a file's first lines: it splits the header into the wanted names.

    If several separators do so, or none does, the rows decide: with the right separator every row
    has as many values as the header.
    """
    declared = _DECLARED.fullmatch(lines[0]) if lines else None
    before = 0 if declared is None else 1
    body = list(lines[before:])
    separator = setting or (
        declared.group(1) if declared is not None else _infer_separator(body, wanted)
    )
    blanks = re.compile(re.escape(separator) + r'[ \t]+"')
    return Layout(separator, any(map(blanks.search, body)), before)


def _infer_separator(lines: Sequence[str], wanted: Sequence[str]) -> str:
    tables = {sign: rows_of(lines[:_ROWS_LOOKED_AT], sign) for sign in SEPARATORS}
    named = [
        sign
        for sign, rows in tables.items()
        if rows and set(wanted) <= {name.strip() for name in rows[0]}
    ]
    even = [
        sign
        for sign, rows in tables.items()
        if rows and len(rows[0]) > 1 and {len(row) for row in rows} == {len(rows[0])}
    ]
    both = [sign for sign in named if sign in even]
    return next(iter((*both, *named, *even)), SEPARATORS[0])


def rows_of(lines: Sequence[str], separator: str) -> list[list[str]]:
    """Split lines into rows. Unreadable lines give no rows."""
    try:
        rows = list(csv.reader(lines, delimiter=separator, skipinitialspace=True))
    except csv.Error:
        return []
    return [row for row in rows if row]


_PATH = "dataset.path"
_ROWS_AT_ONCE = 20_000
_LINES_LOOKED_AT = 100
# A longer line has lost its line end. The bound keeps it from filling the memory.
_LONGEST_LINE = 16 * 2**20
_INDEX_NAMES = ("", "Unnamed: 0")


@dataclass(frozen=True, slots=True)
class TextTable:
    """Texts by column; two columns may have the same name. `broken` counts rows left out."""

    frame: pd.DataFrame
    notes: tuple[str, ...] = ()
    broken: int = 0


@dataclass(slots=True)
class _RowCollector:
    """The rows that have been read so far."""

    path: Path
    width: int
    on_broken: Broken
    keeps_blank: bool
    columns: list[list[pd.Series]] = field(default_factory=list[list[pd.Series]])
    blank: int = 0
    broken: int = 0

    def take(self, numbered: Sequence[tuple[int, list[str]]]) -> None:
        """Keep rows with as many values as the header. An error names the number of the line."""
        fitting = (self._fitting(line, row) for line, row in numbered)
        kept = [row for row in fitting if row is not None]
        if kept:
            # Arrow's strings take a fraction of the memory of Python's strings.
            chunk = [pd.Series(list(values), dtype="string") for values in zip(*kept, strict=True)]
            self.columns.append(chunk)

    def _fitting(self, line: int, row: list[str]) -> list[str] | None:
        if len(row) == self.width and (self.keeps_blank or any(row)):
            return row
        if not any(row) and not (row and self.keeps_blank):
            self.blank += bool(row)
            return None
        if len(row) > self.width and not any(row[self.width :]):
            return row[: self.width]
        if self.on_broken == "skip":
            self.broken += 1
            return None
        message = (
            f"{self.path.name} has rows with {_compared(row, self.width)} values than the header "
            f"has columns: line {line} has {len(row)}, the header {self.width}; set dataset.broken "
            "to skip, or dataset.separator"
        )
        raise DataError(_PATH, message)


def _compared(row: Sequence[str], width: int) -> str:
    return "more" if len(row) > width else "fewer"


@dataclass(frozen=True, slots=True)
class TextFormat:
    """How to read a table: the settings of the configuration; None means to infer it.

    `wanted` are columns that the table is known to have.
    """

    wanted: tuple[str, ...]
    separator: str | None = None
    encoding: str | None = None
    broken: Broken = "refuse"
    keeps_blank: bool = False
    """Keep rows of empty texts: a prediction answers each row by its place."""

    @staticmethod
    def from_settings(settings: Delimited, wanted: Sequence[str]) -> TextFormat:
        """Read the settings of a data set."""
        return TextFormat(tuple(wanted), settings.separator, settings.encoding, settings.broken)


def read_delimited(path: Path, form: TextFormat) -> TextTable:
    """Read a table of texts.

    Raises DataError with the line and the setting that may be wrong.
    """
    with _open(path, form.encoding) as (file, codec):
        lines = _lines(path, file)
        first = list(islice(lines, _LINES_LOOKED_AT))
        if not any(line.strip() for line in first):
            raise DataError(_PATH, f"{path.name} cannot be read as csv: it is empty")
        layout = infer_layout(first, form.separator, form.wanted)
        reader = csv.reader(
            (line for place in (first[layout.lines_before :], lines) for line in place),
            delimiter=layout.separator,
            skipinitialspace=layout.skips_blanks or layout.separator == " ",
        )
        names = [name.strip() for name in next(row for row in reader if row)]
        rows = _RowCollector(path, len(names), form.broken, form.keeps_blank)
        numbered = ((reader.line_num + layout.lines_before, row) for row in reader)
        while batch := list(islice(numbered, _ROWS_AT_ONCE)):
            rows.take(batch)
    notes = (
        *encoding_notes(codec, form.encoding),
        *_separator_notes(layout, form.separator),
        *_row_notes(rows),
    )
    return _with_names(_frame(rows), names, path, notes, rows.broken)


@contextmanager
def _open(path: Path, setting: str | None) -> Generator[tuple[TextIO, str]]:
    """Open a text with its codec. The reader's errors become a DataError."""
    codec = "utf-8"
    try:
        with open_unpacked(path) as file:
            codec = encoding_of(file.read(LONGEST_BOM), setting)
        with open_unpacked(path) as file, TextIOWrapper(file, codec, newline="") as text:
            yield text, codec
    except UnicodeError as error:
        raise decoding_error(path, codec, str(error).split(": ")[-1]) from error
    except csv.Error as error:
        message = f"{path.name} cannot be read as csv: {error}; is a quote left open?"
        raise DataError(_PATH, message) from error
    except OSError as error:
        raise DataError(_PATH, f"{path.name} cannot be read: {error.strerror}") from error


def _lines(path: Path, file: TextIO) -> Iterator[str]:
    number = 0
    while line := file.readline(_LONGEST_LINE):
        number += 1
        if "\0" in line:
            raise nul_error(path, number)
        if len(line) == _LONGEST_LINE:
            message = f"{path.name}: line {number} has more than {_LONGEST_LINE:,} characters"
            raise DataError(_PATH, message)
        yield line


def _frame(rows: _RowCollector) -> pd.DataFrame:
    if not rows.columns:
        raise DataError(_PATH, f"{rows.path.name} has no rows below its header")
    columns = zip(*rows.columns, strict=True)
    return pd.concat([pd.concat(parts, ignore_index=True) for parts in columns], axis=1)


def _with_names(
    frame: pd.DataFrame, names: list[str], path: Path, notes: tuple[str, ...], broken: int
) -> TextTable:
    """Leave out unnamed columns of row numbers or empty texts. Refuse other unnamed columns."""
    kept: list[int] = []
    for place, name in enumerate(names):
        if name and not (place == 0 and name in _INDEX_NAMES):
            kept.append(place)
        elif place == 0:
            notes = (*notes, "the first column has no name: it numbers the rows, and is no feature")
        elif (frame.iloc[:, place].str.strip() != "").any():
            message = f"{path.name}: column {place + 1} has no name in the header"
            raise DataError(_PATH, message)
    left = frame.iloc[:, kept]
    left.columns = pd.Index([names[place] for place in kept])
    return TextTable(left, notes, broken)


def _separator_notes(layout: Layout, setting: str | None) -> tuple[str, ...]:
    if setting is not None or layout.separator == ",":
        return ()
    return (f"values are separated by {layout.separator!r}: dataset.separator changes it",)


def _row_notes(rows: _RowCollector) -> Iterator[str]:
    if rows.broken:
        yield f"{rows.broken} rows with more or fewer values than the header were left out"
    if rows.blank:
        yield f"{rows.blank} rows without any value were left out"
