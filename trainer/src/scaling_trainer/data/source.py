"""What a data set is before anything was done to it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class RowSource:
    """Rows with a target.

    `features` is a frame, or pixels (rows, channels, height, width) that run from 0 to `maximum`.
    `labels` are the classes in order where they are known beforehand.
    """

    features: pd.DataFrame | NDArray[np.generic]
    target: pd.Series
    maximum: float = 1.0
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TextSource:
    """A text as UTF-8."""

    content: bytes


@dataclass(frozen=True, slots=True)
class RatingSource:
    """Ratings, and every user and item there is, also those that nobody rated."""

    frame: pd.DataFrame
    user: str
    item: str
    rating: str
    users: tuple[str, ...] = ()
    items: tuple[str, ...] = ()


Source = RowSource | TextSource | RatingSource
