"""How a text file writes numbers, names and missing values.

Names are classes, users, items and categories. A name stays a text at every step and never becomes
a number.
"""

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
"""The texts that pandas reads as a missing value. The empty text always is a missing value."""

TRUTH = {
    **dict.fromkeys(("True", "TRUE", "true"), "1"),
    **dict.fromkeys(("False", "FALSE", "false"), "0"),
}

# Signs between thousands that count as the setting's blank or apostrophe.
_ALIKE = {" ": " \u00a0\u2009\u202f", "'": "'\u2019"}
_MINUS = "\u2212"


@dataclass(frozen=True, slots=True)
class Notation:
    """How a file writes numbers and missing values.

    `missing` None: `MISSING_MARKS`, except in names of classes, users and items.
    """

    decimal: Literal[".", ","] = "."
    thousands: Literal["", ",", ".", " ", "'"] = ""
    missing: tuple[str, ...] | None = None

    def numbers(self, texts: Texts) -> NDArray[np.float64]:
        """Read numbers, and truth values as 1 and 0. Any other text becomes NaN."""
        values = _plain(texts) if self.decimal == "." else np.full(len(texts), np.nan)
        left = np.isnan(values)
        if left.any():
            form = self._form()
            values[left] = _plain(_objects(self._unified(text, form) for text in texts[left]))
        return values

    def is_missing(self, texts: Texts, *, names: bool = False) -> NDArray[np.bool_]:
        """Flag texts that mark a missing value. `names`: the texts are names, such as classes."""
        marks = self.missing if self.missing is not None else () if names else MISSING_MARKS
        return pd.Series(texts).isin(["", *marks]).to_numpy(dtype=np.bool_)

    def _form(self) -> re.Pattern[str]:
        between = f"[{re.escape(_ALIKE.get(self.thousands, self.thousands))}]"
        groups = rf"\d{{1,3}}(?:{between}\d{{2,3}})*{between}\d{{3}}|" if self.thousands else ""
        decimals = rf"(?:{re.escape(self.decimal)}(\d*))?"
        return re.compile(rf"([+-]?)({groups}\d*){decimals}([eE][+-]?\d+)?", re.ASCII)

    def _unified(self, text: str, form: re.Pattern[str]) -> str:
        """Write a number as Python does. A text that is no number becomes the empty text."""
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
    """Strip blanks around the texts of a column. None becomes the empty text."""
    return _objects("" if text is None else str(text).strip() for text in series)


def _objects(texts: Iterable[str]) -> Texts:
    # np.array would make an array of fixed-width texts, each as wide as the longest.
    return pd.Series(list(texts), dtype=object).to_numpy()


# A table program writes whole numbers so if a value of the column is missing.
_WHOLE_AS_FLOAT = re.compile(r"[+-]?\d+\.0", re.ASCII)


def read_names(texts: Texts, notation: Notation, *, names: bool = True) -> pd.Series:
    """Give names as texts, with None for a missing value.

    If every text is a whole number with `.0`, the `.0` is removed from the text. No digit is lost.
    """
    series = pd.Series(texts, dtype=object)
    present = ~notation.is_missing(texts, names=names)
    if present.any() and all(_WHOLE_AS_FLOAT.fullmatch(text) for text in series[present].unique()):
        series = series.str.removesuffix(".0").astype(object)
    return series.where(present, None)


def indices_of(texts: pd.Series, names: Sequence[str]) -> NDArray[np.int64]:
    """Give the index of each text among the names, or -1 for an unknown text.

    A whole number to which a table program has added `.0` is found without the `.0`.
    """
    index_of = {name: index for index, name in enumerate(names)}

    def find(text: object) -> int:
        if text not in index_of and isinstance(text, str) and _WHOLE_AS_FLOAT.fullmatch(text):
            return index_of.get(text.removesuffix(".0"), -1)
        return index_of.get(cast("str", text), -1)

    return np.fromiter((find(text) for text in texts), dtype=np.int64, count=len(texts))
