"""Tables in text files: rows of texts, as they stand there. What they mean is decided elsewhere."""

from __future__ import annotations

import csv
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import TextIO

import pandas as pd

from scaling_trainer.config.data import Broken, Delimited
from scaling_trainer.data.compressed import open_expanded
from scaling_trainer.data.encodings import LONGEST_MARK, encoding_of, holds_nul, told, undecodable
from scaling_trainer.data.errors import DataError
from scaling_trainer.data.separators import Layout, find_layout

_PATH = "dataset.path"
_ROWS_AT_ONCE = 20_000
_LINES_LOOKED_AT = 100
# A line longer than this has lost its end, and is not to fill the memory.
_LONGEST_LINE = 16 * 2**20
_INDEX_NAMES = ("", "Unnamed: 0")


@dataclass(frozen=True, slots=True)
class RawTable:
    """Texts by column; two columns may have one name. `broken` counts rows that were left out."""

    frame: pd.DataFrame
    notes: tuple[str, ...] = ()
    broken: int = 0


@dataclass(slots=True)
class _Rows:
    """What has been read of a file so far."""

    path: Path
    width: int
    on_broken: Broken
    keeps_blank: bool
    columns: list[list[pd.Series]] = field(default_factory=list[list[pd.Series]])
    blank: int = 0
    broken: int = 0

    def take(self, numbered: Sequence[tuple[int, list[str]]]) -> None:
        """Keep rows of as many values as the header; line numbers tell where one has others."""
        fitting = (self._fitting(line, row) for line, row in numbered)
        kept = [row for row in fitting if row is not None]
        if kept:
            # Arrow's strings take a fraction of the memory of Python's.
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
class Form:
    """How a table is to be read: settings as the configuration has them, None to be found out.

    `wanted` are columns that it is known to have.
    """

    wanted: tuple[str, ...]
    separator: str | None = None
    encoding: str | None = None
    broken: Broken = "refuse"
    keeps_blank: bool = False
    """Keep rows of empty texts: each row has its place in an answer."""

    @staticmethod
    def of(settings: Delimited, wanted: Sequence[str]) -> Form:
        """Take what the configuration of a data set says."""
        return Form(tuple(wanted), settings.separator, settings.encoding, settings.broken)


def read_delimited(path: Path, form: Form) -> RawTable:
    """Read a table of texts.

    Raises DataError where it is no such table, with the line and the setting that may be wrong.
    """
    with _open(path, form.encoding) as (file, codec):
        lines = _lines(path, file)
        first = list(islice(lines, _LINES_LOOKED_AT))
        if not any(line.strip() for line in first):
            raise DataError(_PATH, f"{path.name} cannot be read as csv: it is empty")
        layout = find_layout(first, form.separator, form.wanted)
        reader = csv.reader(
            (line for place in (first[layout.lines_before :], lines) for line in place),
            delimiter=layout.separator,
            skipinitialspace=layout.skips_blanks or layout.separator == " ",
        )
        names = [name.strip() for name in next(row for row in reader if row)]
        rows = _Rows(path, len(names), form.broken, form.keeps_blank)
        numbered = ((reader.line_num + layout.lines_before, row) for row in reader)
        while some := list(islice(numbered, _ROWS_AT_ONCE)):
            rows.take(some)
    notes = (*told(codec, form.encoding), *_told_of(layout, form.separator), *_told_of_rows(rows))
    return _named(_frame(rows), names, path, notes, rows.broken)


@contextmanager
def _open(path: Path, setting: str | None) -> Generator[tuple[TextIO, str]]:
    """Open a text with its codec, and put its reader's complaints in a sentence."""
    codec = "utf-8"
    try:
        with open_expanded(path) as file:
            codec = encoding_of(file.read(LONGEST_MARK), setting)
        with open_expanded(path) as file, TextIOWrapper(file, codec, newline="") as text:
            yield text, codec
    except UnicodeError as error:
        raise undecodable(path, codec, str(error).split(": ")[-1]) from error
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
            raise holds_nul(path, number)
        if len(line) == _LONGEST_LINE:
            message = f"{path.name}: line {number} has more than {_LONGEST_LINE:,} characters"
            raise DataError(_PATH, message)
        yield line


def _frame(rows: _Rows) -> pd.DataFrame:
    if not rows.columns:
        raise DataError(_PATH, f"{rows.path.name} has no rows below its header")
    columns = zip(*rows.columns, strict=True)
    return pd.concat([pd.concat(parts, ignore_index=True) for parts in columns], axis=1)


def _named(
    frame: pd.DataFrame, names: list[str], path: Path, notes: tuple[str, ...], broken: int
) -> RawTable:
    """Leave out columns without a name that hold row numbers or nothing; refuse others."""
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
    return RawTable(left, notes, broken)


def _told_of(layout: Layout, setting: str | None) -> tuple[str, ...]:
    if setting is not None or layout.separator == ",":
        return ()
    return (f"values are separated by {layout.separator!r}: dataset.separator changes it",)


def _told_of_rows(rows: _Rows) -> Iterator[str]:
    if rows.broken:
        yield f"{rows.broken} rows with more or fewer values than the header were left out"
    if rows.blank:
        yield f"{rows.blank} rows without any value were left out"
