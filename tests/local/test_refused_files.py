"""A disk that is read-only, a folder that is another's, no open files left: words, and no loss."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from scaling_trainer.contract import Assignment, Scalar, environment_of

SCALING = [sys.executable, "-c", "from scaling_operator.cli.main import main; main()"]
ENDS = 'echo "{\\"value\\": $1}" > "$SCALING_RESULT_FILE"'
BUILT_IN = {
    "task": "classification",
    "dataset": {"name": "iris"},
    "model": {"name": "mlp", "width": 8},
    "epochs": 2,
}
EXPERIMENT: dict[str, Any] = {
    "apiVersion": "scaling-operator.dev/v1alpha1",
    "kind": "ScalingExperiment",
    "metadata": {"name": "test"},
    "spec": {
        "objective": {"metric": "loss", "direction": "minimize"},
        "search": {
            "parameters": {"x": {"type": "float", "low": -1, "high": 1}},
            "algorithm": {"name": "random", "seed": 7},
        },
        "trials": {"max": 2, "parallel": 2},
        "trainer": {
            "container": {"command": ["sh", "-c", ENDS, "trainer", "$(SCALING_PARAM_X)"]},
        },
    },
}


def write(folder: Path, trials: int) -> Path:
    document = json.loads(json.dumps(EXPERIMENT))
    document["spec"]["trials"]["max"] = trials
    path = folder / "experiment.json"
    path.write_text(json.dumps(document))
    return path


def scaling(
    *words: str | Path,
    under: tuple[str, ...] = (),
    begin: Callable[[], None] | None = None,
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*under, *SCALING, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
        preexec_fn=begin,
    )


def values(out: Path) -> dict[str, Any]:
    return {
        path.parent.name: json.loads(path.read_text())["status"]["values"]
        for path in sorted((out / "trials").glob("*/trial.json"))
    }


def assert_a_sentence(ended: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    assert ended.returncode == code, ended.stderr
    assert "Traceback" not in ended.stderr
    assert all(word in ended.stderr for word in words), ended.stderr


def assert_goes_on(path: Path, out: Path, kept: dict[str, Any]) -> None:
    """The same command ends well, with what there was."""
    ended = scaling("run", path, "--out", out)
    assert ended.returncode == 0, ended.stderr
    assert "4 succeeded, 0 pruned, 0 failed" in ended.stdout
    assert kept.items() <= values(out).items()


@pytest.fixture
def disk(tmp_path: Path) -> Generator[Path]:
    """A disk of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=64m", "scaling-test", str(place)]
    mounted = subprocess.run(words, check=False, capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def remount(disk: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(disk)], check=True)


def test_a_disk_that_became_read_only_loses_nothing(tmp_path: Path, disk: Path) -> None:
    out = disk / "out"
    assert scaling("run", write(tmp_path, 2), "--out", out).returncode == 0
    kept = values(out)
    remount(disk, "ro")

    ended = scaling("run", path := write(tmp_path, 4), "--out", out)

    assert_a_sentence(ended, 4, str(disk), "Read-only file system")
    assert values(out) == kept
    remount(disk, "rw")
    assert_goes_on(path, out, kept)


def test_a_run_cannot_begin_on_a_read_only_disk(tmp_path: Path, disk: Path) -> None:
    remount(disk, "ro")

    ended = scaling("run", write(tmp_path, 2), "--out", disk / "out")

    assert_a_sentence(ended, 4, str(disk / "out"), "Read-only file system")


def as_anybody() -> tuple[str, ...]:
    """Give up what lets root write everywhere."""
    if os.geteuid() != 0:
        return ()
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("needs setpriv to give up root's rights over files")
    lost = "-dac_override,-dac_read_search"
    return (setpriv, f"--bounding-set={lost}", f"--inh-caps={lost}")


@pytest.mark.parametrize("place", [".", "trials"])
def test_a_folder_that_may_not_be_written_loses_nothing(tmp_path: Path, place: str) -> None:
    out = tmp_path / "out"
    assert scaling("run", write(tmp_path, 2), "--out", out).returncode == 0
    kept = values(out)
    path = write(tmp_path, 4)
    (out / place).chmod(0o555)

    ended = scaling("run", path, "--out", out, under=as_anybody())

    (out / place).chmod(0o755)
    assert_a_sentence(ended, 2, str(out), "Permission denied")
    assert values(out) == kept
    assert_goes_on(path, out, kept)


def train(
    folder: Path, checkpoints: Path, under: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Run a trial of the built-in trainer as a pod does, with its result apart."""
    trial = Assignment(
        experiment="test",
        scale=0,
        trial=0,
        attempt=0,
        seed=7,
        parameters=dict[str, Scalar](),
        result_file=folder / "result.json",
        checkpoint_dir=checkpoints,
        data_dir=folder,
        config=BUILT_IN,
    )
    return subprocess.run(
        [*under, sys.executable, "-m", "scaling_trainer", "run"],
        env=os.environ | environment_of(trial),
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
    )


def assert_told(ended: subprocess.CompletedProcess[str], folder: Path, *words: str) -> None:
    """By its log, and by the sentence that a pod hands on."""
    assert_a_sentence(ended, 1, *words)
    sentence = (folder / "result.json").read_text()
    assert all(word in sentence for word in words), sentence


def test_a_trainer_on_a_read_only_disk_says_so_and_goes_on_later(
    tmp_path: Path, disk: Path
) -> None:
    checkpoints = disk / "checkpoint"
    checkpoints.mkdir()
    remount(disk, "ro")
    assert_told(train(tmp_path, checkpoints), tmp_path, str(checkpoints), "Read-only file system")

    remount(disk, "rw")
    assert train(tmp_path, checkpoints).returncode == 0


def test_a_trainer_that_may_not_write_says_so_and_goes_on_later(tmp_path: Path) -> None:
    checkpoints = tmp_path / "checkpoint"
    checkpoints.mkdir(mode=0o555)
    ended = train(tmp_path, checkpoints, as_anybody())
    assert_told(ended, tmp_path, str(checkpoints), "Permission denied")

    checkpoints.chmod(0o755)
    assert train(tmp_path, checkpoints).returncode == 0


def open_files(most: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def test_no_open_files_left_loses_nothing(tmp_path: Path) -> None:
    """Each run may open one more than the one before: each ends a little later, the last well."""
    out = tmp_path / "out"
    assert scaling("run", write(tmp_path, 2), "--out", out).returncode == 0
    kept = values(out)
    path = write(tmp_path, 4)
    most = 7

    while (ended := scaling("run", path, "--out", out, begin=open_files(most))).returncode != 0:
        assert_a_sentence(ended, 4, "Too many open files", "ulimit -n")
        assert kept.items() <= values(out).items()
        most += 1

    assert most > 8, "none of the runs was short of open files"
    assert "4 succeeded, 0 pruned, 0 failed" in ended.stdout
    assert kept.items() <= values(out).items()
