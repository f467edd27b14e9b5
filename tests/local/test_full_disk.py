"""No space left on the device: one sentence, nothing lost, and the same command goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

SCALING = [sys.executable, "-c", "from scaling_operator.cli.main import main; main()"]
KIB = 1024
CONTAINER = {
    "command": [
        *("sh", "-c", 'echo "{\\"value\\": $1}" > "$SCALING_RESULT_FILE"', "trainer"),
        "$(SCALING_PARAM_X)",
    ]
}


@pytest.fixture
def disk(tmp_path: Path) -> Generator[Path]:
    """A disk of 16 MiB of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "scaling-test", str(place)],
        check=False,
        capture_output=True,
        text=True,
    )
    if mounted.returncode != 0:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def leave(disk: Path, free_bytes: int) -> Path:
    """Fill a disk but for so much."""
    filesystem = os.statvfs(disk)
    filler = disk / "filler"
    with filler.open("wb") as file:
        file.write(b"\0" * max(0, filesystem.f_bavail * filesystem.f_frsize - free_bytes))
    return filler


def experiment(trainer: dict[str, Any], **search: Any) -> dict[str, Any]:
    return {
        "apiVersion": "scaling-operator.dev/v1alpha1",
        "kind": "ScalingExperiment",
        "metadata": {"name": "test"},
        "spec": {
            "objective": {"metric": "val_loss", "direction": "minimize"},
            "search": {
                "parameters": {"x": {"type": "float", "low": -1, "high": 1}},
                "algorithm": {"name": "random", "seed": 7},
                **search,
            },
            "trials": {"max": 6, "parallel": 2},
            "trainer": trainer,
        },
    }


def scaling(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [*SCALING, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=250)


def values(out: Path) -> dict[str, Any]:
    return {
        path.parent.name: json.loads(path.read_text())["status"]["values"]
        for path in sorted((out / "trials").glob("*/trial.json"))
    }


def assert_one_sentence(ended: subprocess.CompletedProcess[str], disk: Path) -> None:
    assert ended.returncode == 4, ended.stderr
    assert "Traceback" not in ended.stderr
    (sentence,) = ended.stderr.strip().splitlines()
    assert str(disk) in sentence
    assert "make room, and the same command goes on" in sentence


# What a run of six trials writes, a page of 4 KiB for each file: from nothing to just before the
# report, which takes 5 MiB alone.
@pytest.mark.parametrize("free_pages", [0, 2, 5, 13, 1000])
def test_a_run_on_a_full_disk_ends_with_one_sentence_and_goes_on(
    tmp_path: Path, disk: Path, free_pages: int
) -> None:
    path = tmp_path / "experiment.json"
    path.write_text(json.dumps(experiment({"container": CONTAINER})))
    filler = leave(disk, free_pages * 4 * KIB)
    out = disk / "out"
    assert_one_sentence(scaling("run", path, "--out", out), disk)
    kept = values(out)
    filler.unlink()
    ended = scaling("run", path, "--out", out)
    assert ended.returncode == 0, ended.stderr
    assert "6 succeeded, 0 pruned, 0 failed" in ended.stdout
    assert {name: value for name, value in values(out).items() if kept.get(name)} == {
        name: value for name, value in kept.items() if value
    }


BUILT_IN = {
    "task": "classification",
    "dataset": {"name": "digits"},
    "model": {"name": "mlp", "width": 512},
    "epochs": 4,
}


@pytest.mark.parametrize("free_kib", [800])
def test_a_trial_of_the_built_in_trainer_does_not_fail_for_want_of_space(
    tmp_path: Path, disk: Path, free_kib: int
) -> None:
    document = experiment({"builtIn": BUILT_IN})
    document["spec"]["search"]["parameters"] = {
        "optimizer.learning_rate": {"type": "float", "low": 0.001, "high": 0.1}
    }
    document["spec"]["trials"]["max"] = 2
    path = tmp_path / "experiment.json"
    path.write_text(json.dumps(document))
    filler = leave(disk, free_kib * KIB)
    out = disk / "out"
    assert_one_sentence(scaling("run", path, "--out", out), disk)
    filler.unlink()
    ended = scaling("run", path, "--out", out)
    assert ended.returncode == 0, ended.stderr
    assert "2 succeeded, 0 pruned, 0 failed" in ended.stdout


def test_a_report_that_finds_no_space_leaves_the_one_before(tmp_path: Path, disk: Path) -> None:
    path = tmp_path / "experiment.json"
    path.write_text(json.dumps(experiment({"container": CONTAINER})))
    out = disk / "out"
    assert scaling("run", path, "--out", out).returncode == 0
    before = (out / "report.html").read_bytes()
    leave(disk, 100 * KIB)
    assert_one_sentence(scaling("report", out), disk)
    assert (out / "report.html").read_bytes() == before
