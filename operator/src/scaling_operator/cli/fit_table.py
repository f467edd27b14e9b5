"""From anybody's CSV to points, or to everything that is wrong with it.

The delimiter is the comma, semicolon or tab that the header has most of. A row keeps the number of
its line in the file, so that every later message can name it.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import numpy as np

from scaling_operator.api.problems import InvalidSpec, Problem, shown, suggestion
from scaling_operator.cli.fit_options import Columns
from scaling_operator.law.points import (
    Points,
    grouped,
    points_from_flops,
    points_from_sizes,
    points_from_tokens,
)
from scaling_trainer.csv_cells import as_written
from scaling_trainer.reading import FolderInPlace, NotText, TooLarge, UnreadableFile, read_text

MAX_BYTES = 16 * 1024 * 1024
MAX_ROWS = 100_000
SHOWN_PROBLEMS = 20
DELIMITERS = (",", ";", "\t")

Row = tuple[int, list[str]]


@dataclass(frozen=True, slots=True)
class _Table:
    """The cells below a header: rows with the number of the line that each ends on."""

    path: Path
    header: list[str]
    rows: list[Row]


def read_points(path: Path, columns: Columns) -> Points:
    """Read the named columns as float64. Raises InvalidSpec with what is wrong, by line."""
    table = _parsed(path, _text(path))
    size, tokens, flops, loss, group = _numbers(table, columns)
    if tokens is not None:
        points = points_from_tokens(size or [], tokens, loss or [], flops=flops)
    elif flops is not None:
        points = points_from_flops(size or [], flops, loss or [])
    else:
        points = points_from_sizes(size or [], loss or [])
    if group is not None:
        points = grouped(points, group)
    lines = np.array([line for line, _ in table.rows], dtype=np.int64)
    return replace(points, row=lines)


def _text(path: Path) -> str:
    try:
        return read_text(path, MAX_BYTES)
    except FolderInPlace:
        _refuse(str(path), "is a directory; name a CSV file in it")
    except TooLarge as error:
        _refuse(str(path), f"{error.reason}; one line per run is enough")
    except NotText as error:
        _refuse(str(path), f"{error.reason}; save it as UTF-8")
    except UnreadableFile as error:
        _refuse(str(path), error.reason)


def _parsed(path: Path, text: str) -> _Table:
    if "\0" in text:
        _refuse(str(path), "holds a NUL byte; it is no CSV text")
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(DELIMITERS, key=first.count)
    rows = list(_rows(path, text, delimiter))
    if not rows:
        _refuse(str(path), "is empty; the first line names the columns")
    (line, header), *below = rows
    names = [name.strip() for name in header]
    if not below:
        _refuse(f"{path}:{line}", "has a header and no rows below it")
    if len(below) > MAX_ROWS:
        _refuse(str(path), f"has {len(below)} rows; at most {MAX_ROWS} can be fitted")
    return _Table(path, names, below)


def _rows(path: Path, text: str, delimiter: str) -> Iterator[Row]:
    """Yield rows that are not blank."""
    reader = csv.reader(text.splitlines(keepends=True), delimiter=delimiter, strict=True)
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                yield reader.line_num, [as_written(cell) for cell in row]
    except csv.Error as error:
        _refuse(f"{path}:{reader.line_num}", f"is no CSV: {error}")


def _numbers(table: _Table, columns: Columns) -> list[list[float] | None]:
    """Return the columns N, D, C, L and group, None where no column is named."""
    named = (
        ("--parameters", columns.parameters),
        ("--tokens", columns.tokens),
        ("--flops", columns.flops),
        ("--loss", columns.loss),
        ("--group", columns.group),
    )
    places = _places(table, named)
    ragged = [
        Problem(f"{table.path}:{line}", f"{len(row)} cells; the header has {len(table.header)}")
        for line, row in table.rows
        if len(row) != len(table.header)
    ]
    if ragged:
        _refuse_all(ragged)
    problems: list[Problem] = []
    result: list[list[float] | None] = []
    for option, name in named:
        if name is None:
            result.append(None)
            continue
        cells = [(line, row[places[option]].strip()) for line, row in table.rows]
        if option == "--group" and all(cell and _number(cell) is None for _, cell in cells):
            result.append(_labels([cell for _, cell in cells]))
            continue
        result.append(_column(table.path, name.strip(), cells, problems))
    if problems:
        _refuse_all(problems)
    return result


def _places(table: _Table, named: Sequence[tuple[str, str | None]]) -> dict[str, int]:
    places: dict[str, int] = {}
    problems: list[Problem] = []
    seen: dict[int, str] = {}
    header = f"{table.path}:1"
    for option, name in named:
        if name is None:
            continue
        count = table.header.count(name.strip())
        if count != 1:
            known = [column for column in table.header if column]
            what = f"no column {shown(name)}; {suggestion(name, known)}"
            if count:
                what = f"{count} columns are named {shown(name)}; rename all but one"
            problems.append(Problem(header, f"{option}: {what}"))
            continue
        place = table.header.index(name.strip())
        if option != "--group" and place in seen:
            what = f"{shown(name)} is the column of {seen[place]} already"
            problems.append(Problem(header, f"{option}: {what}"))
        seen.setdefault(place, option)
        places[option] = place
    if problems:
        _refuse_all(problems)
    return places


def _column(
    path: Path, name: str, cells: Sequence[tuple[int, str]], problems: list[Problem]
) -> list[float]:
    values: list[float] = []
    for line, cell in cells:
        value = _number(cell)
        if value is None:
            what = f"{shown(cell)} is no number{_hint(cell)}" if cell else "is empty"
            problems.append(Problem(f"{path}:{line}", f"{name}: {what}"))
        values.append(float("nan") if value is None else value)
    return values


def _hint(cell: str) -> str:
    """Say how a number with a comma, a space or a unit is written here."""
    if any(_number(cell.replace(mark, "")) is not None for mark in (",", " ", "_")):
        return ": a number has a decimal point, and nothing between thousands"
    factors = {"k": "e3", "m": "e6", "b": "e9", "g": "e9", "t": "e12"}
    number, unit = cell[:-1].strip(), cell[-1].lower()
    plain = unit in factors and _number(number) is not None
    return f": write {number}{factors[unit]}" if plain else ""


def _labels(cells: Sequence[str]) -> list[float]:
    """Give numbers to budgets that have names instead of FLOPs, from 1."""
    codes: dict[str, float] = {}
    return [codes.setdefault(cell, len(codes) + 1.0) for cell in cells]


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _refuse(path: str, message: str) -> NoReturn:
    raise InvalidSpec((Problem(path, message),))


def _refuse_all(problems: Sequence[Problem]) -> NoReturn:
    more = len(problems) - SHOWN_PROBLEMS
    shortened = tuple(problems[:SHOWN_PROBLEMS])
    if more > 0:
        shortened += (Problem(problems[0].path.rpartition(":")[0], f"{more} more like these"),)
    raise InvalidSpec(shortened)
