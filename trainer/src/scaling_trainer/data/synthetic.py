"""Data made from a seed: the same for every trial, on every machine."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling_trainer.config.data import (
    SyntheticClassification,
    SyntheticRatings,
    SyntheticRegression,
)
from scaling_trainer.data.sklearn_sets import make_clusters
from scaling_trainer.data.source import RatingSource, RowSource

# Spread of a synthetic rating about its middle, 3: the hidden factors explain that much.
_RATING_SPREAD = 0.8


def regression(dataset: SyntheticRegression) -> RowSource:
    """Numbers y = (0.1x + 0.3)(1 - x) + noise for x uniform in [0, 1]."""
    rng = np.random.default_rng(dataset.seed)
    x = rng.random(dataset.samples)
    y = (0.1 * x + 0.3) * (1 - x) + dataset.noise * rng.standard_normal(dataset.samples)
    return RowSource(pd.DataFrame({"x": x}), pd.Series(y, name="y"))


def classification(dataset: SyntheticClassification) -> RowSource:
    """Two Gaussian clusters for each class, so that no straight line parts the classes."""
    inputs, classes = make_clusters(dataset)
    names = [f"x{place}" for place in range(dataset.features)]
    return RowSource(
        pd.DataFrame(inputs, columns=names),
        pd.Series(classes, name="class"),
        labels=tuple(str(label) for label in range(dataset.classes)),
    )


def ratings(dataset: SyntheticRatings) -> RatingSource:
    """Each rating is 3 + the product of hidden factors + noise, cut to 1..5; no pair twice."""
    rng = np.random.default_rng(dataset.seed)
    pairs = rng.choice(dataset.users * dataset.items, dataset.ratings, replace=False)
    user, item = np.divmod(pairs, dataset.items)
    # A product of two normal factors has variance 1, a sum of `factors` of them has `factors`.
    size = (_RATING_SPREAD / math.sqrt(dataset.factors)) ** 0.5
    users: NDArray[np.float64] = size * rng.standard_normal((dataset.users, dataset.factors))
    items: NDArray[np.float64] = size * rng.standard_normal((dataset.items, dataset.factors))
    liking = np.einsum("rf,rf->r", users[user], items[item])
    noise = dataset.noise * rng.standard_normal(dataset.ratings)
    rating = np.clip(3 + liking + noise, 1, 5)
    return RatingSource(
        pd.DataFrame({"user": user, "item": item, "rating": rating}),
        user="user",
        item="item",
        rating="rating",
        users=tuple(str(number) for number in range(dataset.users)),
        items=tuple(str(number) for number in range(dataset.items)),
    )
