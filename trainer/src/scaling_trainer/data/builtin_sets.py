"""Data sets without a file: those that scikit-learn ships, and those made from a seed.

Data made from a seed are the same for every trial, on every machine. scikit-learn has no types:
this module gives types to what it returns.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pandas as pd
import sklearn.datasets as sets  # pyright: ignore[reportMissingTypeStubs] # it ships none
from numpy.typing import NDArray

from scaling_trainer.config.data import (
    CLUSTERS_PER_CLASS,
    Bundled,
    SyntheticClassification,
    SyntheticRatings,
    SyntheticRegression,
)
from scaling_trainer.data.source import RatingSource, RowSource

_LOADERS: dict[str, Callable[..., Any]] = {
    "digits": cast("Callable[..., Any]", sets.load_digits),
    "breast-cancer": cast("Callable[..., Any]", sets.load_breast_cancer),
    "wine": cast("Callable[..., Any]", sets.load_wine),
    "iris": cast("Callable[..., Any]", sets.load_iris),
    "diabetes": cast("Callable[..., Any]", sets.load_diabetes),
}
# A pixel of `digits` counts the dark points of a 4x4 square.
_DIGITS_MAXIMUM = 16.0


def bundled(dataset: Bundled) -> RowSource:
    """Load a real data set. Its classes have the names that scikit-learn gives them."""
    loaded = _LOADERS[dataset.name](as_frame=True)
    target = cast("pd.Series", loaded.target)
    if dataset.name == "diabetes":
        return RowSource(cast("pd.DataFrame", loaded.data), target)
    labels = tuple(str(name) for name in loaded.target_names)
    named = target.map(dict(enumerate(labels)))
    if dataset.name == "digits":
        images = cast("NDArray[np.float64]", loaded.images)
        return RowSource(images[:, None], named, maximum=_DIGITS_MAXIMUM, labels=labels)
    return RowSource(cast("pd.DataFrame", loaded.data), named, labels=labels)


def make_clusters(
    dataset: SyntheticClassification,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Make Gaussian clusters at corners of a hypercube: inputs (rows, features), class indices.

    The features that carry information are mixed among those that are noise.
    """
    make = cast("Any", sets).make_classification
    inputs, classes = make(
        n_samples=dataset.samples,
        n_features=dataset.features,
        n_informative=dataset.informative,
        n_redundant=0,
        n_classes=dataset.classes,
        n_clusters_per_class=CLUSTERS_PER_CLASS,
        class_sep=dataset.separation,
        flip_y=dataset.label_noise,
        random_state=dataset.seed,
    )
    return inputs.astype(np.float64), classes.astype(np.int64)


# Standard deviation of a synthetic rating about its middle, 3, from the hidden factors.
_RATING_SPREAD = 0.8


def synthetic_regression(dataset: SyntheticRegression) -> RowSource:
    """Numbers y = (0.1x + 0.3)(1 - x) + noise for x uniform in [0, 1]."""
    rng = np.random.default_rng(dataset.seed)
    x = rng.random(dataset.samples)
    y = (0.1 * x + 0.3) * (1 - x) + dataset.noise * rng.standard_normal(dataset.samples)
    return RowSource(pd.DataFrame({"x": x}), pd.Series(y, name="y"))


def synthetic_classification(dataset: SyntheticClassification) -> RowSource:
    """Two Gaussian clusters for each class, so that no straight line separates the classes."""
    inputs, classes = make_clusters(dataset)
    names = [f"x{place}" for place in range(dataset.features)]
    return RowSource(
        pd.DataFrame(inputs, columns=names),
        pd.Series(classes, name="class"),
        labels=tuple(str(label) for label in range(dataset.classes)),
    )


def synthetic_ratings(dataset: SyntheticRatings) -> RatingSource:
    """Each rating is 3 + the product of hidden factors + noise, clipped to 1..5; no pair twice."""
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
