"""From anybody's CSV file to points, or to everything that is wrong with the file.

The delimiter is the comma, semicolon or tab that occurs most often in the header. A row keeps the
number of its line in the file, so that every later message can name the line.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import numpy as np

from scaling_operator.api.problems import InvalidSpec, Problem, shown, suggestion
from scaling_operator.cli.fit_request import Columns
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
    """The cells below a header: rows, each with the number of the line on which the row ends."""

    path: Path
    header: list[str]
    rows: list[Row]


def read_points(path: Path, columns: Columns) -> Points:
    """Read the named columns as float64. Raises InvalidSpec with what is wrong, by line."""
    table = _parsed(path, _text(path))
    sizes, tokens, flops, losses, group = _numbers(table, columns)
    if tokens is not None:
        points = points_from_tokens(sizes or [], tokens, losses or [], flops=flops)
    elif flops is not None:
        points = points_from_flops(sizes or [], flops, losses or [])
    else:
        points = points_from_sizes(sizes or [], losses or [])
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
    (line, header), *data_rows = rows
    names = [name.strip() for name in header]
    if not data_rows:
        _refuse(f"{path}:{line}", "has a header and no rows below it")
    if len(data_rows) > MAX_ROWS:
        _refuse(str(path), f"has {len(data_rows)} rows; at most {MAX_ROWS} can be fitted")
    return _Table(path, names, data_rows)


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
    names = {
        "--parameters": columns.parameters,
        "--tokens": columns.tokens,
        "--flops": columns.flops,
        "--loss": columns.loss,
        "--group": columns.group,
    }
    positions = _positions(table, names)
    _check_widths(table)
    problems: list[Problem] = []
    numbers: list[list[float] | None] = []
    for option, name in names.items():
        if name is None:
            numbers.append(None)
            continue
        cells = [(line, row[positions[option]].strip()) for line, row in table.rows]
        if option == "--group" and all(cell and _number(cell) is None for _, cell in cells):
            numbers.append(_labels([cell for _, cell in cells]))
            continue
        numbers.append(_column(table.path, name.strip(), cells, problems))
    if problems:
        _refuse_all(problems)
    return numbers


def _check_widths(table: _Table) -> None:
    """Refuse rows with more or fewer cells than the header."""
    width = len(table.header)
    problems = [
        Problem(f"{table.path}:{line}", f"{len(row)} cells; the header has {width}")
        for line, row in table.rows
        if len(row) != width
    ]
    if problems:
        _refuse_all(problems)


def _positions(table: _Table, names: Mapping[str, str | None]) -> dict[str, int]:
    """Find the position of the column that each option names."""
    positions: dict[str, int] = {}
    problems: list[Problem] = []
    option_at: dict[int, str] = {}
    header = f"{table.path}:1"
    for option, name in names.items():
        if name is None:
            continue
        count = table.header.count(name.strip())
        if count != 1:
            named_columns = [column for column in table.header if column]
            message = f"no column {shown(name)}; {suggestion(name, named_columns)}"
            if count:
                message = f"{count} columns are named {shown(name)}; rename all but one"
            problems.append(Problem(header, f"{option}: {message}"))
            continue
        position = table.header.index(name.strip())
        if option != "--group" and position in option_at:
            message = f"{shown(name)} is the column of {option_at[position]} already"
            problems.append(Problem(header, f"{option}: {message}"))
        option_at.setdefault(position, option)
        positions[option] = position
    if problems:
        _refuse_all(problems)
    return positions


def _column(
    path: Path, name: str, cells: Sequence[tuple[int, str]], problems: list[Problem]
) -> list[float]:
    values: list[float] = []
    for line, cell in cells:
        value = _number(cell)
        if value is None:
            message = f"{shown(cell)} is no number{_hint(cell)}" if cell else "is empty"
            problems.append(Problem(f"{path}:{line}", f"{name}: {message}"))
        values.append(float("nan") if value is None else value)
    return values


def _hint(cell: str) -> str:
    """Say how to write a number that has a comma, a space or a unit."""
    if any(_number(cell.replace(mark, "")) is not None for mark in (",", " ", "_")):
        return ": a number has a decimal point, and nothing between thousands"
    factors = {"k": "e3", "m": "e6", "b": "e9", "g": "e9", "t": "e12"}
    number, unit = cell[:-1].strip(), cell[-1].lower()
    plain = unit in factors and _number(number) is not None
    return f": write {number}{factors[unit]}" if plain else ""


def _labels(cells: Sequence[str]) -> list[float]:
    """Give numbers from 1 to the budgets that have names instead of FLOPs."""
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
