"""One attempt: what goes wrong ends in the contract's exit code, with a sentence."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from scaling_trainer import models
from scaling_trainer.attempt import run_attempt
from scaling_trainer.contract import Assignment, Execution, environment_of
from scaling_trainer.counting import Dimensions
from scaling_trainer.results import parse_result

CONFIG: dict[str, Any] = {
    "task": "regression",
    "dataset": {"name": "synthetic-regression", "samples": 60},
    "preprocessing": {"scaling": "standard"},
    "model": {"name": "mlp", "width": 4},
    "epochs": 3,
}


def assignment(folder: Path, **parameters: Any) -> Assignment:
    return Assignment(
        experiment="e",
        scale=0,
        trial=0,
        attempt=0,
        seed=1,
        parameters={name.replace("__", "."): value for name, value in parameters.items()},
        result_file=folder / "result.json",
        checkpoint_dir=folder / "checkpoint",
        data_dir=folder,
        config=CONFIG,
    )


@pytest.mark.slow
def test_a_trial_ends_with_its_result(tmp_path: Path) -> None:
    ending = run_attempt(environment_of(assignment(tmp_path)))
    assert (ending.exit_code, ending.error) == (0, "")
    line = (tmp_path / "result.json").read_bytes()
    result = parse_result(line)
    assert len(line) <= 1024
    assert result.steps == 3
    assert result.samples == 3 * 36
    assert result.model_parameters == 13
    assert result.flops == 6 * 13 * 3 * 36
    assert result.seconds is not None
    assert result.step_seconds is not None
    assert 0 < result.step_seconds * 6 <= result.seconds
    assert result.peak_host_bytes is not None
    assert result.peak_host_bytes > 50e6
    assert {"val_loss", "val_mse", "val_mae", "val_r2", "train_loss", "overfitting"} == set(
        result.metrics
    )


def test_a_diverged_trial_ends_with_87_and_the_reason(tmp_path: Path) -> None:
    diverging = assignment(
        tmp_path, optimizer__name="sgd", optimizer__learning_rate=1000.0, epochs=60
    )
    ending = run_attempt(environment_of(diverging))
    assert ending.exit_code == 87
    assert "finite" in ending.error
    assert parse_result((tmp_path / "result.json").read_bytes()).reason == "Diverged"


class Hungry(nn.Module):
    """A model that finds the accelerator full."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        message = f"CUDA out of memory: {inputs.shape}"
        raise torch.OutOfMemoryError(message)


def test_a_full_accelerator_ends_with_86_and_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(model: object, dimensions: Dimensions, *, recompute: str) -> nn.Module:
        del model, dimensions, recompute
        return Hungry()

    monkeypatch.setattr(models, "build", build)
    ending = run_attempt(environment_of(assignment(tmp_path)))
    assert ending.exit_code == 86
    assert parse_result((tmp_path / "result.json").read_bytes()).reason == "AcceleratorOOM"


def changed(environment: Mapping[str, str], change: Mapping[str, str | None]) -> dict[str, str]:
    merged = dict(environment) | dict(change)
    return {name: value for name, value in merged.items() if value is not None}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        pytest.param({"SCALING_SEED": None}, "SCALING_SEED is not set", id="a missing variable"),
        pytest.param({"SCALING_CONFIG": None}, "SCALING_CONFIG is not set", id="no configuration"),
        pytest.param(
            {"SCALING_PARAMETERS": json.dumps({"model.width": 0})}, "model.mlp.width",
            id="a value out of its bounds",
        ),
        pytest.param(
            {"SCALING_PARAMETERS": json.dumps({"model.colour": "red"})}, "model.mlp.colour",
            id="a path that is not there",
        ),
        pytest.param(
            {"SCALING_CONFIG": json.dumps(CONFIG | {"loss": "cross-entropy"})},
            "loss cross-entropy does not suit regression",
            id="parts that do not go together",
        ),
        pytest.param(
            {
                "SCALING_CONFIG": json.dumps(
                    CONFIG | {"dataset": {"name": "csv", "path": "none.csv", "target": "y"}}
                )
            },
            "none.csv",
            id="a file that is not there",
        ),
    ],
)  # fmt: skip
def test_what_somebody_has_to_change_is_said_in_a_line(
    tmp_path: Path,
    change: dict[str, str | None],
    sentence: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    ending = run_attempt(changed(environment_of(assignment(tmp_path)), change))
    assert ending.exit_code == (88 if sentence == "none.csv" else 1)
    assert sentence in ending.error
    if (tmp_path / "result.json").exists():
        assert (tmp_path / "result.json").read_text() == ending.error, "a pod's last words"
    assert "\n" not in ending.error
    (record,) = (record for record in caplog.records if record.levelno == logging.ERROR)
    assert record.getMessage() == ending.error
    assert record.exc_info is None


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        pytest.param({}, 88, id="no trial can use these data"),
        pytest.param({"optimizer.learning_rate": 0.1}, 88, id="a rate does not change them"),
        pytest.param({"preprocessing.scaling": "standard"}, 1, id="another trial prepares others"),
        pytest.param({"dataset.test": 0.3}, 1, id="another trial splits them otherwise"),
    ],
)
def test_data_that_no_trial_can_use_have_a_code_of_their_own(
    parameters: dict[str, Any], code: int, tmp_path: Path
) -> None:
    missing = CONFIG | {"dataset": {"name": "csv", "path": "none.csv", "target": "y"}}
    unusable = replace(assignment(tmp_path), config=missing, parameters=parameters)
    ending = run_attempt(environment_of(unusable))
    assert ending.exit_code == code
    assert ending.error == "dataset.path: 'none.csv' does not exist in the data folder"
    assert (tmp_path / "result.json").read_text() == ending.error


def test_a_smaller_attempt_goes_on_from_a_larger_one(tmp_path: Path) -> None:
    first_attempt = assignment(tmp_path, checkpoint_every=1, epochs=2)
    run_attempt(environment_of(first_attempt))
    smaller = replace(first_attempt, attempt=1, execution=Execution(micro_batch=4, accumulation=8))
    before = (tmp_path / "result.json").read_bytes()
    run_attempt(environment_of(smaller))
    # The first attempt had ended: its result stands.
    assert (tmp_path / "result.json").read_bytes() == before
