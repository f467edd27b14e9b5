"""Names: classes, users, items and categories. They are texts on all their ways, never numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling_trainer.preprocess.notation import Notation, Texts

# What a table program makes of a column of whole numbers in which a value is missing.
_WHOLE_AS_FLOAT = re.compile(r"[+-]?\d+\.0", re.ASCII)


def as_names(texts: Texts, notation: Notation, *, names: bool = True) -> pd.Series:
    """Give texts without blanks around them, None where there is no value.

    Where every one is a whole number with `.0`, it is left out, as a text: no digit is lost.
    """
    series = pd.Series(texts, dtype=object)
    there = ~notation.is_missing(texts, names=names)
    if there.any() and all(_WHOLE_AS_FLOAT.fullmatch(text) for text in series[there].unique()):
        series = series.str.removesuffix(".0").astype(object)
    return series.where(there, None)


def places_of(texts: pd.Series, known: Sequence[str]) -> NDArray[np.int64]:
    """Give the place of each text among the known ones, -1 where it is none of them.

    A whole number that a table program has given a `.0` is found without it.
    """
    place_of = {name: place for place, name in enumerate(known)}

    def place(text: object) -> int:
        if text not in place_of and isinstance(text, str) and _WHOLE_AS_FLOAT.fullmatch(text):
            return place_of.get(text.removesuffix(".0"), -1)
        return place_of.get(cast("str", text), -1)

    return np.fromiter((place(text) for text in texts), dtype=np.int64, count=len(texts))
