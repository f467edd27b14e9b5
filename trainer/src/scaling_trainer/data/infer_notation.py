"""Inferring how a file writes its numbers, where the file makes it clear."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from scaling_trainer.config.data import Delimited
from scaling_trainer.data_error import DataError
from scaling_trainer.preprocess.notation import Notation, Texts

# Distinct values of a column that are examined: the values of one file are alike.
_MOST_EXAMINED = 10_000
_BLANKS = " \u00a0\u2009\u202f"
_APOSTROPHES = "'\u2019"
_LIKE_A_NUMBER = re.compile(
    rf"[+\-\u2212]?\d[\d.,{_BLANKS}{_APOSTROPHES}]*(?:[eE][+-]?\d+)?", re.ASCII
)
_MARKS = re.compile(rf"[.,{_BLANKS}{_APOSTROPHES}]")
_OTHER = {".": ",", ",": "."}
_GROUP = 3


@dataclass(slots=True)
class _Votes:
    """How often each sign stands before decimals, or between thousands.

    `unclear` are signs that may be either, each with the column and the value that holds it.
    """

    decimal: Counter[str] = field(default_factory=Counter[str])
    thousands: Counter[str] = field(default_factory=Counter[str])
    unclear: dict[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])

    def add(self, name: str, value: str) -> None:
        """Count the signs of one value: `1.234,5` has a decimal comma, `1,234` may have one."""
        mantissa = re.split("[eE]", value)[0].lstrip("+-\u2212")
        marks = [_canonical(mark) for mark in _MARKS.findall(mantissa)]
        between = [mark for mark in marks if mark in " '"]
        self.thousands.update(between)
        match [mark for mark in marks if mark in ".,"]:
            case []:
                return
            case [mark]:
                before, _, after = mantissa.rpartition(mark)
                grouped = len(after) == _GROUP and 1 <= len(before) <= _GROUP and before[0] != "0"
                if grouped:
                    self.unclear.setdefault(mark, (name, value))
                else:
                    self.decimal[mark] += 1
            case several:
                first, last = several[0], several[-1]
                self.decimal[_OTHER[first]] += 1
                self.thousands[first] += 1
                if first != last:
                    self.decimal[last] += 1


def infer_notation(columns: Mapping[str, Texts], settings: Delimited, share: float) -> Notation:
    """Infer the signs of a file's numbers that the settings do not name.

    `share` of a column's values may be no numbers. Raises DataError if a column can be read in two
    ways and no other column decides.
    """
    configured = Notation(
        settings.decimal or ".", settings.thousands or "", settings.missing_values
    )
    if settings.decimal is not None and settings.thousands is not None:
        return configured
    different = {name: _different(values, configured) for name, values in columns.items()}
    odd = {name for name, values in different.items() if _is_odd(values, share)}
    if not odd and settings.decimal is None and settings.thousands is None:
        return configured
    votes = _Votes()
    for name, values in different.items():
        for value in values[:_MOST_EXAMINED]:
            if _LIKE_A_NUMBER.fullmatch(value) and (name in odd or "." in value):
                votes.add(name, value)
    decimal = settings.decimal or _decimal(settings.thousands, votes)
    thousands = settings.thousands or _thousands(decimal, votes)
    return replace(configured, decimal=decimal, thousands=thousands)


def _different(values: Texts, notation: Notation) -> Texts:
    distinct = pd.Series(values).drop_duplicates().to_numpy(dtype=object)
    return distinct[~notation.is_missing(distinct)]


def _is_odd(values: Texts, share: float) -> bool:
    """Whether distinct values look like numbers, and not all are plain numbers."""
    plain = int((~np.isnan(Notation().numbers(values))).sum())
    if plain == len(values):
        return False
    alike = sum(_LIKE_A_NUMBER.fullmatch(value) is not None for value in values)
    return alike > plain and alike >= (1 - share) * len(values)


def _canonical(mark: str) -> str:
    return " " if mark in _BLANKS else "'" if mark in _APOSTROPHES else mark


def _decimal(thousands: str | None, votes: _Votes) -> str:
    if thousands in _OTHER:
        return _OTHER[thousands]
    if not votes.decimal and "," in votes.unclear:
        name, value = votes.unclear[","]
        message = (
            f"{value!r} may be {value.replace(',', '')} or {value.replace(',', '.')}: set "
            "dataset.thousands to ',' or dataset.decimal to ','"
        )
        raise DataError(name, message)
    # If both occur, the point wins: a column with commas is then read as names, and a note says so.
    return "," if votes.decimal["."] == 0 and votes.decimal[","] else "."


def _thousands(decimal: str, votes: _Votes) -> str:
    signs = {sign: count for sign, count in votes.thousands.items() if sign != decimal}
    if signs:
        return max(signs, key=lambda sign: signs[sign])
    other = _OTHER[decimal]
    return other if other in votes.unclear and not votes.decimal[other] else ""
