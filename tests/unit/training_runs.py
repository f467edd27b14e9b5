"""Small trainings of every kind, a reporter that may end them, and what they come to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from scaling_trainer import checkpoint
from scaling_trainer.contract import Assignment
from scaling_trainer.report import Reporter
from scaling_trainer.results import Result

Config = dict[str, Any]


TABLE: Config = {
    "task": "classification",
    "dataset": {"name": "synthetic-classification", "samples": 200},
    "preprocessing": {"scaling": "standard"},
    "model": {"name": "mlp", "width": 8},
    "optimizer": {"name": "sgd", "learning_rate": 0.1},
    "epochs": 6,
}


NUMBERS: Config = TABLE | {
    "task": "regression",
    "dataset": {"name": "synthetic-regression", "samples": 100},
    "optimizer": {"name": "adam", "learning_rate": 0.01},
}


IMAGES: Config = TABLE | {
    "dataset": {"name": "digits", "validation": 0.1, "test": 0.8},
    "model": {"name": "cnn", "width": 4, "dropout": 0.2},
    "preprocessing": {"augmentation": {"rotation_degrees": 10, "crop_pixels": 1}},
    "optimizer": {"name": "momentum", "learning_rate": 0.05, "schedule": {"name": "cosine"}},
    "epochs": 3,
}


TEXT: Config = {
    "task": "language-modelling",
    "dataset": {"name": "synthetic-text", "characters": 4000},
    "model": {"name": "transformer", "width": 16, "context": 16, "dropout": 0.1},
    "optimizer": {"name": "adamw", "learning_rate": 0.01, "schedule": {"name": "wsd"}},
    "epochs": 3,
    "batch_size": 16,
}


RATINGS: Config = {
    "task": "recommendation",
    "dataset": {"name": "synthetic-ratings", "users": 40, "items": 30, "ratings": 600},
    "preprocessing": {"scaling": "standard"},
    "model": {"name": "matrix-factorisation", "width": 3},
    "optimizer": {"name": "adam", "learning_rate": 0.03},
    "epochs": 4,
}


class Killed(Exception):
    """Stands for the end of the process."""


@dataclass(slots=True)
class RecordingReporter(Reporter):
    """A reporter that keeps what it hears, and may end the process or the training."""

    reports: list[tuple[int | None, Mapping[str, float]]] = field(
        default_factory=list[tuple[int | None, Mapping[str, float]]]
    )
    figures: list[Mapping[str, float]] = field(default_factory=list[Mapping[str, float]])
    phases: list[str | None] = field(default_factory=list[str | None])
    kill_at: int = 0
    stop_at: int = 0

    def report(
        self,
        step: int | None,
        metrics: Mapping[str, float],
        figures: Mapping[str, float] | None = None,
        *,
        phase: str | None = None,
    ) -> bool:
        if step == self.kill_at:
            raise Killed
        self.reports.append((step, metrics))
        self.figures.append(figures or {})
        self.phases.append(phase)
        return step == self.stop_at


def assignment(folder: Path, config: Config, **parameters: Any) -> Assignment:
    return Assignment(
        experiment="e",
        scale=0,
        trial=0,
        attempt=0,
        seed=7,
        parameters={name.replace("__", "."): value for name, value in parameters.items()},
        result_file=folder / "result.json",
        checkpoint_dir=folder,
        data_dir=folder,
        config=config,
    )


def weights(folder: Path) -> Mapping[str, torch.Tensor]:
    saved = checkpoint.read(folder / "weights.safetensors")
    assert saved is not None
    return saved.tensors


def equal_tensors(first: Mapping[str, torch.Tensor], second: Mapping[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first
    )


def without_machine_figures(result: Result) -> Result:
    """Leave out what depends on the machine."""
    return replace(result, seconds=None, step_seconds=None, peak_host_bytes=None)
