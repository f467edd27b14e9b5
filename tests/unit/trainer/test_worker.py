"""The warm worker, as a process: the same trials as fresh processes run, and none ends it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import pytest

from scaling_trainer.contract import Assignment, environment_of
from scaling_trainer.results import Result, parse_result

pytestmark = pytest.mark.slow

CONFIG: dict[str, Any] = {
    "task": "classification",
    "dataset": {"name": "digits", "validation": 0.1, "test": 0.8},
    "preprocessing": {"scaling": "standard", "augmentation": {"rotation_degrees": 10}},
    "model": {"name": "cnn", "width": 4, "dropout": 0.2},
    "optimizer": {"name": "adam", "learning_rate": 0.01},
    "epochs": 3,
}


@dataclass(frozen=True, slots=True)
class Worker:
    """A running worker and what it said first."""

    process: subprocess.Popen[str]
    to_it: IO[str]
    from_it: IO[str]

    def hear(self) -> dict[str, Any]:
        return json.loads(self.from_it.readline())

    def hand(self, task: Mapping[str, Any]) -> None:
        self.to_it.write(json.dumps(task) + "\n")
        self.to_it.flush()

    def run(self, environment: Mapping[str, str], log: Path) -> dict[str, Any]:
        self.hand({"environment": dict(environment), "log": str(log)})
        return self.hear()


def start() -> Worker:
    process = subprocess.Popen(
        [sys.executable, "-m", "scaling_trainer", "worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    worker = Worker(process, process.stdin, process.stdout)
    assert worker.hear() == {"ready": True}
    return worker


@pytest.fixture(scope="module")
def worker() -> Generator[Worker]:
    running = start()
    yield running
    running.to_it.close()
    assert running.process.wait(30) == 0
    running.from_it.close()


def assignment(folder: Path, **config: Any) -> Assignment:
    folder.mkdir(exist_ok=True)
    return Assignment(
        experiment="e",
        scale=0,
        trial=0,
        attempt=0,
        seed=11,
        parameters={},
        result_file=folder / "result.json",
        checkpoint_dir=folder / "checkpoint",
        data_dir=folder,
        config=CONFIG | config,
    )


def result_of(folder: Path) -> Result:
    result = parse_result((folder / "result.json").read_bytes())
    return replace(result, seconds=None, step_seconds=None, peak_host_bytes=None)


def weights(folder: Path) -> bytes:
    return (folder / "checkpoint" / "weights.safetensors").read_bytes()


def test_a_warm_trial_is_a_cold_one_bit_for_bit(worker: Worker, tmp_path: Path) -> None:
    log = tmp_path / "log"
    different = assignment(tmp_path / "other", epochs=1, batch_size=7)
    for trial in (different, assignment(tmp_path / "warm")):
        assert worker.run(environment_of(trial), log) == {"exitCode": 0, "error": ""}
    cold = environment_of(assignment(tmp_path / "cold"))
    command = [sys.executable, "-m", "scaling_trainer", "run"]
    subprocess.run(command, env=os.environ | cold, check=True)
    assert result_of(tmp_path / "warm") == result_of(tmp_path / "cold")
    assert weights(tmp_path / "warm") == weights(tmp_path / "cold")


def test_a_bug_ends_its_trial_and_not_the_worker(worker: Worker, tmp_path: Path) -> None:
    log = tmp_path / "log"
    trial = assignment(tmp_path / "a", epochs=1)
    trial.checkpoint_dir.write_text("in the way")
    answer = worker.run(environment_of(trial), log)
    assert answer["exitCode"] == 1
    assert "FileExistsError" in answer["error"]
    assert "Traceback" in log.read_text()
    trial = assignment(tmp_path / "b", epochs=1)
    assert worker.run(environment_of(trial), log)["exitCode"] == 0


def test_a_mistake_is_answered_with_its_sentence(worker: Worker, tmp_path: Path) -> None:
    log = tmp_path / "log"
    environment = environment_of(assignment(tmp_path / "a", epochs=0))
    answer = worker.run(environment, log)
    assert answer["exitCode"] == 1
    assert "epochs" in answer["error"]
    assert answer["error"] in log.read_text()
    assert "Traceback" not in log.read_text()


def test_a_diverged_trial_has_its_exit_code(worker: Worker, tmp_path: Path) -> None:
    trial = assignment(
        tmp_path / "a",
        task="regression",
        dataset={"name": "synthetic-regression", "samples": 50},
        preprocessing={},
        model={"name": "linear"},
        optimizer={"name": "sgd", "learning_rate": 1000},
        epochs=200,
    )
    assert worker.run(environment_of(trial), tmp_path / "log")["exitCode"] == 87
    cold = subprocess.run(
        [sys.executable, "-m", "scaling_trainer", "run"],
        env=os.environ | environment_of(trial),
        capture_output=True,
        text=True,
        check=False,
    )
    assert cold.returncode == 87
    assert "ERROR" in cold.stderr


def test_saved_weights_are_scored_in_the_worker_too(worker: Worker, tmp_path: Path) -> None:
    trial = assignment(tmp_path / "a", epochs=1)
    worker.run(environment_of(trial), tmp_path / "log")
    folders = {
        "checkpoint": str(trial.checkpoint_dir),
        "out": str(tmp_path / "best"),
        "dataDir": str(trial.data_dir),
    }
    worker.hand({"export": folders, "log": str(tmp_path / "log")})
    assert worker.hear() == {"exitCode": 0, "error": ""}
    assert "test_accuracy" in (tmp_path / "best" / "metrics.json").read_text()


def test_a_trial_whose_process_is_killed_goes_on_in_another(worker: Worker, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"epochs": 40, "checkpoint_every": 1}
    whole = environment_of(assignment(tmp_path / "whole", **settings))
    assert worker.run(whole, tmp_path / "log")["exitCode"] == 0
    cut = environment_of(assignment(tmp_path / "cut", **settings))
    doomed = start()
    doomed.hand({"environment": cut, "log": str(tmp_path / "log")})
    checkpoint = tmp_path / "cut" / "checkpoint" / "checkpoint.safetensors"
    while not checkpoint.exists():
        time.sleep(0.005)
    doomed.process.send_signal(signal.SIGKILL)
    assert doomed.process.wait(30) == -signal.SIGKILL
    doomed.to_it.close()
    doomed.from_it.close()
    assert checkpoint.exists()
    log = tmp_path / "second"
    assert worker.run(cut, log)["exitCode"] == 0
    assert "going on after step" in log.read_text()
    assert result_of(tmp_path / "cut") == result_of(tmp_path / "whole")
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")
