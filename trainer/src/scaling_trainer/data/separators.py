"""Finding out what stands between the values of a row."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass

SEPARATORS = (",", ";", "\t", "|", " ")
_ROWS_LOOKED_AT = 20
# What a spreadsheet writes first, to tell another one what separates.
_DECLARED = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Layout:
    """How the rows of a file are written."""

    separator: str
    skips_blanks: bool
    """Blanks stand behind separators, before quotes."""
    lines_before: int = 0
    """Lines before the header."""


def find_layout(lines: Sequence[str], setting: str | None, wanted: Sequence[str]) -> Layout:
    """Find the separator in a file's first lines: by it the header names what is wanted.

    Where several do, or none, the rows decide: all have as many values as the header.
    """
    declared = _DECLARED.fullmatch(lines[0]) if lines else None
    before = 0 if declared is None else 1
    body = list(lines[before:])
    separator = setting or (declared.group(1) if declared is not None else _found(body, wanted))
    blanks = re.compile(re.escape(separator) + r'[ \t]+"')
    return Layout(separator, any(map(blanks.search, body)), before)


def _found(lines: Sequence[str], wanted: Sequence[str]) -> str:
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
    """Read some lines; what cannot be read gives no rows."""
    try:
        rows = list(csv.reader(lines, delimiter=separator, skipinitialspace=True))
    except csv.Error:
        return []
    return [row for row in rows if row]
