"""A script that names no step, interrupted: its curve is that of an undisturbed training."""

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
EPOCHS, INTERRUPTED_AFTER = 7, 4
SCRIPT = f"""
import os, pathlib, sys, time
from scaling_trainer import report, result

saved = pathlib.Path(os.environ["SCALING_CHECKPOINT_DIR"], "epoch")
how = sys.argv[1]
done = int(saved.read_text()) if saved.exists() else 0
for epoch in range(done + 1, {EPOCHS} + 1):
    time.sleep(0.3)
    if how == "before":
        saved.write_text(str(epoch))
    report(loss=1 / epoch)
    if how == "after" or (how == "rarely" and epoch == 2):
        saved.write_text(str(epoch))
    if epoch == {INTERRUPTED_AFTER} and os.environ["SCALING_ATTEMPT"] == "0":
        pathlib.Path(sys.argv[2]).touch()
        time.sleep(600)
result()
"""


def experiment(how: str, reached: Path) -> dict[str, Any]:
    command = [sys.executable, "-c", SCRIPT, how, str(reached)]
    return {
        "apiVersion": "scaling-operator.dev/v1alpha1",
        "kind": "ScalingExperiment",
        "metadata": {"name": "script"},
        "spec": {
            "objective": {"metric": "loss", "direction": "minimize"},
            "search": {"parameters": {"x": {"type": "float", "low": 0, "high": 1}}},
            "trials": {"max": 1},
            "trainer": {"container": {"command": command}},
        },
    }


@pytest.mark.parametrize("how", ["after", "before", "rarely", "never"])
def test_steps_go_on_in_the_next_attempt(tmp_path: Path, how: str) -> None:
    reached, path, out = tmp_path / "reached", tmp_path / "experiment.json", tmp_path / "out"
    path.write_text(json.dumps(experiment(how, reached)))
    command = [*SCALING, "run", str(path), "--out", str(out)]

    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while not reached.exists():
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        process.wait(60)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=200)

    status = json.loads((out / "trials" / "0-0" / "trial.json").read_text())["status"]
    assert len(status["attempts"]) == 1
    curve = {point["step"]: point["value"] for point in status["curve"]}
    assert curve == {epoch: 1 / epoch for epoch in range(1, EPOCHS + 1)}
    assert status["steps"] == EPOCHS
    assert not list(out.rglob(".scaling-steps.json*"))
