"""What each task has: its data sets, models and metrics; and the names of known classes."""

from __future__ import annotations

from collections.abc import Mapping

from scaling_trainer.config.base import Task
from scaling_trainer.config.preprocessing import Shape

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
