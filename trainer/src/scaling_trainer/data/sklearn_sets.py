"""Data sets that scikit-learn ships or makes; it has no types, so they get theirs here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pandas as pd
import sklearn.datasets as sets  # pyright: ignore[reportMissingTypeStubs] # it ships none
from numpy.typing import NDArray

from scaling_trainer.config.data import CLUSTERS_PER_CLASS, Bundled, SyntheticClassification
from scaling_trainer.data.source import RowSource

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
    """Load a real data set; classes are called as scikit-learn calls them."""
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
