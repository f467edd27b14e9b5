"""Exported models of small trainings, and tables to predict from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from scaling_trainer.contract import Assignment
from scaling_trainer.export import export
from scaling_trainer.report import Reporter
from scaling_trainer.trial import run_trial

IRIS: dict[str, Any] = {
    "task": "classification",
    "dataset": {"name": "iris"},
    "preprocessing": {"scaling": "standard"},
    "model": {"name": "mlp"},
    "optimizer": {"name": "adam", "learning_rate": 0.03},
    "epochs": 20,
}


TEXT: dict[str, Any] = {
    "task": "language-modelling",
    "dataset": {"name": "synthetic-text", "characters": 3000},
    "model": {"name": "transformer", "width": 16, "layers": 1, "context": 8},
    "epochs": 1,
}


def train_model(folder: Path, config: dict[str, Any]) -> Path:
    assignment = Assignment(
        experiment="e",
        scale=0,
        trial=0,
        attempt=0,
        seed=1,
        parameters={},
        result_file=folder / "result.json",
        checkpoint_dir=folder / "trial",
        data_dir=folder,
        config=config,
    )
    run_trial(assignment, Reporter())
    return folder / "trial"


def export_model(folder: Path, config: dict[str, Any]) -> Path:
    export(train_model(folder, config), folder / "best", folder)
    return folder / "best"


def write_table(path: Path, frame: pd.DataFrame) -> Path:
    frame.to_csv(path, index=False)
    return path
