"""Ctrl-C in the middle of real training: what comes out is what would have come anyway."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

SCALING = [sys.executable, "-c", "from scaling_operator.cli.main import main; main()"]
EPOCHS = 40
EXPERIMENT: dict[str, Any] = {
    "apiVersion": "scaling-operator.dev/v1alpha1",
    "kind": "ScalingExperiment",
    "metadata": {"name": "interrupted"},
    "spec": {
        "objective": {"metric": "val_loss", "direction": "minimize"},
        "search": {
            "parameters": {
                "optimizer.learning_rate": {"type": "float", "low": 0.001, "high": 0.1, "log": True}
            },
            "algorithm": {"name": "random", "seed": 7},
            # It never decides; where there is a pruner, curves are on disk while a trial trains.
            "pruner": {"name": "median", "startupTrials": 100},
        },
        "trials": {"max": 4, "parallel": 2},
        "trainer": {
            "builtIn": {
                "task": "classification",
                "dataset": {"name": "digits"},
                "model": {"name": "mlp", "width": 32},
                "epochs": EPOCHS,
            }
        },
    },
}


def command(folder: Path) -> list[str]:
    path = folder / "experiment.json"
    path.write_text(json.dumps(EXPERIMENT))
    return [*SCALING, "run", str(path), "--out", str(folder / "out")]


def trials(folder: Path) -> dict[str, Any]:
    paths = (folder / "out" / "trials").glob("*/trial.json")
    return {path.parent.name: json.loads(path.read_text()) for path in sorted(paths)}


def ends(folder: Path) -> dict[str, Any]:
    return {
        name: (trial["status"]["state"], trial["status"]["values"], trial["status"]["steps"])
        for name, trial in trials(folder).items()
    }


def evaluations(folder: Path) -> int:
    """How many evaluations the trials have had so far, all together."""
    return sum(len(trial["status"].get("curve", ())) for trial in trials(folder).values())


def interrupt(folder: Path, how: signal.Signals) -> None:
    """Start the run, and interrupt it in the middle of a trial."""
    before = evaluations(folder)
    with subprocess.Popen(
        command(folder), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + 120
        while evaluations(folder) < before + 6 and process.poll() is None:
            assert time.monotonic() < deadline, "training never began"
            time.sleep(0.01)
        process.send_signal(how)
        _, said = process.communicate(timeout=60)
    assert "Traceback" not in said


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_run_ends_with_the_values_of_an_undisturbed_one(
    tmp_path: Path, how: signal.Signals
) -> None:
    undisturbed, interrupted = tmp_path / "undisturbed", tmp_path / "interrupted"
    undisturbed.mkdir()
    interrupted.mkdir()
    subprocess.run(command(undisturbed), check=True, stdout=subprocess.DEVNULL, timeout=200)
    assert {steps for _, _, steps in ends(undisturbed).values()} == {EPOCHS}
    for _ in range(3):
        interrupt(interrupted, how)
    subprocess.run(command(interrupted), check=True, stdout=subprocess.DEVNULL, timeout=200)
    assert ends(interrupted) == ends(undisturbed)
