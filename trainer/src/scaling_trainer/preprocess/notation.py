"""How a text file writes numbers, names and missing values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Texts = NDArray[np.object_]

MISSING_MARKS = (
    *("NA", "N/A", "n/a", "#N/A", "<NA>", "#NA", "#N/A N/A", "NaN", "nan", "-nan", "-NaN"),
    *("NULL", "null", "None", "1.#IND", "1.#QNAN", "-1.#IND", "-1.#QNAN"),
)
"""What pandas takes for a missing value; the empty text is always one."""

TRUTH = {
    **dict.fromkeys(("True", "TRUE", "true"), "1"),
    **dict.fromkeys(("False", "FALSE", "false"), "0"),
}

# Signs that stand between thousands where the setting says a blank or an apostrophe.
_ALIKE = {" ": " \u00a0\u2009\u202f", "'": "'\u2019"}
_MINUS = "\u2212"


@dataclass(frozen=True, slots=True)
class Notation:
    """How a file writes numbers, and what it writes where there is no value.

    `missing` None: `MISSING_MARKS`, except in names of classes, users and items.
    """

    decimal: Literal[".", ","] = "."
    thousands: Literal["", ",", ".", " ", "'"] = ""
    missing: tuple[str, ...] | None = None

    def numbers(self, texts: Texts) -> NDArray[np.float64]:
        """Read numbers (and truth values as 1 and 0); NaN where a text is none."""
        values = _plain(texts) if self.decimal == "." else np.full(len(texts), np.nan)
        left = np.isnan(values)
        if left.any():
            form = self._form()
            values[left] = _plain(_objects(self._unified(text, form) for text in texts[left]))
        return values

    def is_missing(self, texts: Texts, *, names: bool = False) -> NDArray[np.bool_]:
        """Which texts stand for no value. `names`: texts that name something, as classes do."""
        marks = self.missing if self.missing is not None else () if names else MISSING_MARKS
        return pd.Series(texts).isin(["", *marks]).to_numpy(dtype=np.bool_)

    def _form(self) -> re.Pattern[str]:
        between = f"[{re.escape(_ALIKE.get(self.thousands, self.thousands))}]"
        groups = rf"\d{{1,3}}(?:{between}\d{{2,3}})*{between}\d{{3}}|" if self.thousands else ""
        decimals = rf"(?:{re.escape(self.decimal)}(\d*))?"
        return re.compile(rf"([+-]?)({groups}\d*){decimals}([eE][+-]?\d+)?", re.ASCII)

    def _unified(self, text: str, form: re.Pattern[str]) -> str:
        """Write a number as Python does; what is none becomes the empty text."""
        if text in TRUTH:
            return TRUTH[text]
        match = form.fullmatch(text.replace(_MINUS, "-"))
        if match is None:
            return ""
        sign, whole, decimals, exponent = (part or "" for part in match.groups())
        digits = "".join(sign for sign in whole if sign.isdigit())
        return f"{sign}{digits}.{decimals}{exponent}" if digits or decimals else ""


def _plain(texts: Texts) -> NDArray[np.float64]:
    return cast("NDArray[np.float64]", pd.to_numeric(texts, errors="coerce")).astype(np.float64)


def stripped(series: pd.Series) -> Texts:
    """Give the texts of a column without the blanks around them; None becomes the empty text."""
    return _objects("" if text is None else str(text).strip() for text in series)


def _objects(texts: Iterable[str]) -> Texts:
    # Not np.array: of texts alone it would make an array of their longest length.
    return pd.Series(list(texts), dtype=object).to_numpy()


# What a table program makes of a column of whole numbers in which a value is missing.
_WHOLE_AS_FLOAT = re.compile(r"[+-]?\d+\.0", re.ASCII)


def read_names(texts: Texts, notation: Notation, *, names: bool = True) -> pd.Series:
    """Give texts without blanks around them, None where there is no value.

    Where every one is a whole number with `.0`, it is left out, as a text: no digit is lost.
    """
    series = pd.Series(texts, dtype=object)
    present = ~notation.is_missing(texts, names=names)
    if present.any() and all(_WHOLE_AS_FLOAT.fullmatch(text) for text in series[present].unique()):
        series = series.str.removesuffix(".0").astype(object)
    return series.where(present, None)


def indices_of(texts: pd.Series, names: Sequence[str]) -> NDArray[np.int64]:
    """Give the place of each text among the known ones, -1 where it is none of them.

    A whole number that a table program has given a `.0` is found without it.
    """
    index_of = {name: index for index, name in enumerate(names)}

    def find(text: object) -> int:
        if text not in index_of and isinstance(text, str) and _WHOLE_AS_FLOAT.fullmatch(text):
            return index_of.get(text.removesuffix(".0"), -1)
        return index_of.get(cast("str", text), -1)

    return np.fromiter((find(text) for text in texts), dtype=np.int64, count=len(texts))
