"""What goes together: data sets, models, losses and metrics by task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from scaling_trainer.config.base import Task
from scaling_trainer.config.preprocessing import Shape

if TYPE_CHECKING:
    from scaling_trainer.config.builtin import BuiltIn

_CLASS_SETS = (
    "synthetic-classification",
    "digits",
    "breast-cancer",
    "wine",
    "iris",
    "image-folder",
)
_FILES = ("csv", "parquet", "npz")
DATASETS_BY_TASK: Mapping[Task, tuple[str, ...]] = {
    "classification": (*_CLASS_SETS, *_FILES),
    "regression": ("synthetic-regression", "diabetes", *_FILES),
    "language-modelling": ("synthetic-text", "text"),
    "recommendation": ("synthetic-ratings", "ratings"),
}
MODELS_BY_TASK: Mapping[Task, tuple[str, ...]] = {
    "classification": ("linear", "mlp", "cnn"),
    "regression": ("linear", "mlp", "cnn"),
    "language-modelling": ("transformer",),
    "recommendation": ("matrix-factorisation",),
}
IMAGE_DATASETS = ("digits", "image-folder", "npz")
_USE_IMAGES = f"use one of the datasets {', '.join(IMAGE_DATASETS)}"
CNN_NEEDS_IMAGES = f"model cnn needs images: {_USE_IMAGES}"
AUGMENTATION_NEEDS_IMAGES = f"augmentation needs images: {_USE_IMAGES}"
MSE_UNSUITABLE = "loss mse does not suit language-modelling: use cross-entropy"
# Of npz only reading tells.
SHAPES: Mapping[str, Shape] = {
    **dict.fromkeys(
        ("synthetic-regression", "synthetic-classification", "csv", "parquet"), "tables"
    ),
    **dict.fromkeys(("breast-cancer", "wine", "iris", "diabetes"), "tables"),
    **dict.fromkeys(("digits", "image-folder"), "images"),
    **dict.fromkeys(("synthetic-text", "text"), "text"),
    **dict.fromkeys(("synthetic-ratings", "ratings"), "ratings"),
}
METRICS_BY_TASK: Mapping[Task, tuple[str, ...]] = {
    "classification": ("loss", "accuracy", "precision", "recall", "f1"),
    "regression": ("loss", "mse", "mae", "r2"),
    "language-modelling": ("loss", "perplexity", "accuracy"),
    "recommendation": ("loss", "mse", "mae", "r2"),
}
PER_CLASS_METRICS = ("precision", "recall", "f1")
CLASS_NAMES: Mapping[str, tuple[str, ...]] = {
    "digits": tuple(str(digit) for digit in range(10)),
    "breast-cancer": ("malignant", "benign"),
    "wine": ("class_0", "class_1", "class_2"),
    "iris": ("setosa", "versicolor", "virginica"),
}


def incompatibilities(config: BuiltIn) -> list[tuple[str, str]]:
    """Say what does not go together: the field that has to change, and a sentence, for each."""
    found: list[tuple[str, str]] = []
    datasets = DATASETS_BY_TASK[config.task]
    if config.dataset.name not in datasets:
        sentence = (
            f"dataset {config.dataset.name} does not suit {config.task}: "
            f"use one of {', '.join(datasets)}"
        )
        found.append(("dataset.name", sentence))
    models = MODELS_BY_TASK[config.task]
    if config.model.name not in models:
        sentence = (
            f"model {config.model.name} does not suit {config.task}: use one of {', '.join(models)}"
        )
        found.append(("model.name", sentence))
    images = config.dataset.name in IMAGE_DATASETS
    if config.model.name == "cnn" and not images:
        found.append(("model.name", CNN_NEEDS_IMAGES))
    if config.preprocessing.augmentation is not None and not images:
        found.append(("preprocessing.augmentation", AUGMENTATION_NEEDS_IMAGES))
    if config.loss == "cross-entropy" and config.task in ("regression", "recommendation"):
        found.append(("loss", f"loss cross-entropy does not suit {config.task}: use mse"))
    if config.loss == "mse" and config.task == "language-modelling":
        found.append(("loss", MSE_UNSUITABLE))
    return found
