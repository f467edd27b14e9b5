"""The whole of `trainer.builtIn`, and how a trial's parameters are laid over it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, model_validator

from scaling_trainer.config.base import Loss, Scalar, Section, SectionError, Task
from scaling_trainer.config.data import Dataset, SyntheticClassification
from scaling_trainer.config.models import Model
from scaling_trainer.config.preprocessing import Preprocessing
from scaling_trainer.config.tasks import (
    AUGMENTATION_NEEDS_IMAGES,
    CLASS_NAMES,
    CNN_NEEDS_IMAGES,
    DATASETS_BY_TASK,
    IMAGE_DATASETS,
    METRICS_BY_TASK,
    MODELS_BY_TASK,
    MSE_UNSUITABLE,
    PER_CLASS_METRICS,
)
from scaling_trainer.config.training import Adam, EarlyStopping, Optimizer


class BuiltIn(Section):
    """One training run of the built-in trainer, complete."""

    task: Task = Field(description="What is learned; it decides the loss and the metrics.")
    dataset: Dataset = Field(description="Where the data come from and how they are split.")
    preprocessing: Preprocessing = Field(
        default=Preprocessing(), description="Cleaning, scaling, augmentation."
    )
    model: Model = Field(description="The model and its size.")
    optimizer: Optimizer = Field(
        default=Adam(name="adam", learning_rate=0.001),
        description="The optimizer, its rate and schedule.",
    )
    loss: Loss | None = Field(
        default=None, description="Absent: cross-entropy for classes and text, mse for numbers."
    )
    epochs: int = Field(default=10, ge=1, le=100_000, description="Passes over the training part.")
    batch_size: int = Field(
        default=32, ge=1, le=1_000_000, description="Rows of a step; sequences for text."
    )
    evaluate_every: int = Field(
        default=0,
        ge=0,
        le=10_000_000,
        description="Steps between evaluations; 0: at the end of each epoch.",
    )
    checkpoint_every: int = Field(
        default=0,
        ge=0,
        le=10_000_000,
        description="Steps between checkpoints; 0: at each evaluation, at most one a minute.",
    )
    early_stopping: EarlyStopping | None = Field(
        default=None, description="When to end before the last epoch."
    )
    threads: int = Field(
        default=1, ge=1, le=256, description="CPU threads. Sums, and so results, depend on it."
    )

    @model_validator(mode="after")
    def _parts_fit(self) -> BuiltIn:
        problems = _incompatibilities(self)
        if problems:
            raise SectionError(*problems)
        return self

    @property
    def effective_loss(self) -> Loss:
        """The loss in use: the one that was set, or the task's own."""
        if self.loss is not None:
            return self.loss
        return "cross-entropy" if self.task in ("classification", "language-modelling") else "mse"


def _incompatibilities(config: BuiltIn) -> list[tuple[str, str]]:
    """Say what does not go together: the field that has to change, and a sentence, for each."""
    problems: list[tuple[str, str]] = []
    datasets = DATASETS_BY_TASK[config.task]
    if config.dataset.name not in datasets:
        sentence = (
            f"dataset {config.dataset.name} does not suit {config.task}: "
            f"use one of {', '.join(datasets)}"
        )
        problems.append(("dataset.name", sentence))
    models = MODELS_BY_TASK[config.task]
    if config.model.name not in models:
        sentence = (
            f"model {config.model.name} does not suit {config.task}: use one of {', '.join(models)}"
        )
        problems.append(("model.name", sentence))
    has_images = config.dataset.name in IMAGE_DATASETS
    if config.model.name == "cnn" and not has_images:
        problems.append(("model.name", CNN_NEEDS_IMAGES))
    if config.preprocessing.augmentation is not None and not has_images:
        problems.append(("preprocessing.augmentation", AUGMENTATION_NEEDS_IMAGES))
    if config.loss == "cross-entropy" and config.task in ("regression", "recommendation"):
        problems.append(("loss", f"loss cross-entropy does not suit {config.task}: use mse"))
    if config.loss == "mse" and config.task == "language-modelling":
        problems.append(("loss", MSE_UNSUITABLE))
    return problems


def with_parameters(config: BuiltIn, parameters: Mapping[str, Scalar]) -> BuiltIn:
    """Lay one trial's parameters (dotted paths) over the configuration and validate the whole.

    Raises pydantic's ValidationError where a path does not exist or a value is not allowed there.
    """
    return BuiltIn.model_validate(overlay(config, parameters))


def overlay(config: BuiltIn, parameters: Mapping[str, Scalar]) -> dict[str, Any]:
    """Lay parameters over what the configuration sets, not validated yet."""
    # What was not set is left to the defaults again: another `optimizer.name` brings its own.
    document: dict[str, Any] = config.model_dump(mode="json", exclude_unset=True)
    for path, value in parameters.items():
        *sections, field = path.split(".")
        section: dict[str, Any] = document
        at: object = config
        for name in sections:
            at = getattr(at, name, None)
            section.setdefault(name, _set_fields(at))
            if not isinstance(section[name], dict):  # a path through a value: validation says so
                section[name] = {}
            section = section[name]
        section[field] = value
    return document


def _set_fields(section: object) -> dict[str, Any]:
    """Fields of a section that were set; of a section that is not there, none."""
    return (
        section.model_dump(mode="json", exclude_unset=True) if isinstance(section, Section) else {}
    )


def class_names(config: BuiltIn) -> tuple[str, ...] | None:
    """Names of the classes where they are known before the data are read, else None."""
    if config.task != "classification":
        return ()
    if isinstance(config.dataset, SyntheticClassification):
        return tuple(str(label) for label in range(config.dataset.classes))
    return CLASS_NAMES.get(config.dataset.name)


def objective_metrics(config: BuiltIn) -> tuple[str, ...]:
    """Every metric that an objective may name.

    The `val_` ones of the task, and per class where classes are known.
    """
    names = [f"val_{metric}" for metric in METRICS_BY_TASK[config.task]]
    for label in class_names(config) or ():
        names += [f"val_{metric}_{label}" for metric in PER_CLASS_METRICS]
    return tuple(names)
