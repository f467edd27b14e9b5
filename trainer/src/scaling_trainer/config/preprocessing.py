"""Cleaning, scaling and augmentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from scaling_trainer.config.base import Section, Task


class Outliers(Section):
    """Leave out rows of the training part that lie far out; the other parts keep all."""

    method: Literal["z-score", "iqr"] = Field(
        description="z-score: deviations from the mean; iqr: Tukey's fences."
    )
    threshold: float = Field(
        default=3.0, gt=0, le=100, description="Standard deviations, or multiples of the IQR."
    )


class Augmentation(Section):
    """Random changes of training images, drawn anew at every visit."""

    rotation_degrees: float = Field(
        default=0.0, ge=0, le=180, description="Largest turn either way."
    )
    scale: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Largest relative change of size: 0.1 is 90 % to 110 %.",
    )
    crop_pixels: int = Field(
        default=0, ge=0, le=256, description="Padding before a random crop of the original size."
    )
    flip: bool = Field(default=False, description="Mirror left and right for every second image.")


class Preprocessing(Section):
    """Fitted on the training part alone, applied to all. The result counts what was removed."""

    missing: Literal["error", "drop", "mean", "median"] = Field(
        default="error",
        description="Rows with missing values: refuse, leave out, or fill from the training part "
        "(text with its most frequent value).",
    )
    duplicates: Literal["keep", "drop"] = Field(
        default="keep", description="Equal rows of the training part."
    )
    outliers: Outliers | None = Field(
        default=None, description="Which rows of the training part lie too far out."
    )
    label_noise_report: bool = Field(
        default=False,
        description="Count training rows whose nearest neighbours all carry another label.",
    )
    scaling: Literal["none", "standard", "min-max", "robust"] = Field(
        default="none", description="Of features, and of a regression's target except with none."
    )
    augmentation: Augmentation | None = Field(default=None, description="Of images.")


_NOTHING = Preprocessing()

Shape = Literal["tables", "images", "ratings", "text"]

_SHAPES_OF: Mapping[str, tuple[Shape, ...]] = {
    "missing": ("tables", "images", "ratings"),
    "duplicates": ("tables", "images", "ratings"),
    "outliers": ("tables",),
    "label_noise_report": ("tables", "images"),
    "scaling": ("tables", "images", "ratings"),
    "augmentation": ("images",),
}


def unsuitable(preprocessing: Preprocessing, shape: Shape, task: Task) -> list[tuple[str, str]]:
    """Say what has no meaning for such data: the field below `preprocessing`, and a sentence."""
    problems = [
        (field, f"{field} does not suit {shape}: it is for {' and '.join(shapes)}")
        for field, shapes in _SHAPES_OF.items()
        if shape not in shapes and getattr(preprocessing, field) != getattr(_NOTHING, field)
    ]
    labelled = shape not in _SHAPES_OF["label_noise_report"] or task == "classification"
    if preprocessing.label_noise_report and not labelled:
        problems.append(("label_noise_report", f"{task} has no labels: it is for classification"))
    if preprocessing.missing in ("mean", "median") and shape in ("images", "ratings"):
        sentence = (
            f"{preprocessing.missing} fills columns of a table, not {shape}: use error or drop"
        )
        problems.append(("missing", sentence))
    return problems
