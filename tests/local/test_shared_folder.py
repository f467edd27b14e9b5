"""Result folders that are damaged, or in use: what the commands say, and what they leave alone."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from test_local_run import PARABOLA, SCALING, experiment, result, run, scaling, trials, write

SMALL = {"max": 4, "parallel": 1}
RANDOM = {
    "parameters": {"x": {"type": "float", "low": -1, "high": 1}},
    "algorithm": {"name": "random", "seed": 7},
}
DOCUMENT = experiment(PARABOLA, trials=SMALL, search=RANDOM)
DAMAGES = (
    "result.json: is empty",
    "0-0 copy/trial.json: is trial 0-0's: the folder is a copy",
    "0-1/trial.json: is damaged: it is no whole JSON",
    "0-2/trial.json: is a folder",
)
HELPS = "The same command with --repair sets this aside and goes on\n"


def damage(out: Path) -> None:
    """Do what a full disk, a person and a program that has lost its way do to a folder."""
    (out / "result.json").write_text("")
    shutil.copytree(out / "trials" / "0-0", out / "trials" / "0-0 copy")
    half = out / "trials" / "0-1" / "trial.json"
    half.write_bytes(half.read_bytes()[:100])
    (out / "trials" / "0-2" / "trial.json").unlink()
    (out / "trials" / "0-2" / "trial.json").mkdir()


def is_waiting(folder: Path) -> bool:
    """Whether one trial has ended, the next one waits, and all of it is written."""
    if not (folder / "out" / "result.json").exists():
        return False
    counts = result(folder)["counts"]
    return (counts["succeeded"], counts["running"]) == (1, 1)


def contents(root: Path) -> Mapping[str, bytes]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a run has left it."""
    folder = tmp_path_factory.mktemp("finished")
    assert run(folder, DOCUMENT).returncode == 0
    return folder


def test_a_damaged_folder_is_named_left_alone_and_repaired_when_asked(
    finished: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    out = tmp_path / "out"
    damage(out)
    before = contents(out)

    refused = run(tmp_path, DOCUMENT)
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1, "one line, no traceback"
    assert all(fault in refused.stderr for fault in DAMAGES), refused.stderr
    assert refused.stderr.endswith(HELPS)
    assert contents(out) == before, "the run ended before it began"

    drawn = scaling("report", out)
    assert drawn.returncode == 0, drawn.stderr
    warnings = drawn.stderr.splitlines()
    assert len(warnings) == len(DAMAGES)
    for fault in DAMAGES:
        assert any(fault in line for line in warnings), drawn.stderr
    assert all(line.startswith("warning: ") and line.endswith("left out") for line in warnings)

    longer = experiment(PARABOLA, trials={"max": 5, "parallel": 1}, search=RANDOM)
    repaired = run(tmp_path, longer, "--repair")
    assert repaired.returncode == 0, repaired.stderr
    assert repaired.stdout.count("set aside as") == len(DAMAGES)
    kept = {path.name for path in (out / "damaged").iterdir()}
    assert kept == {"result.json", "0-0 copy", "0-1", "0-2"}, "nothing is thrown away"
    assert result(tmp_path)["counts"]["succeeded"] == 3
    assert list(trials(tmp_path)) == ["0-0", "0-3", "0-4"], "no number is used twice"
    for name in ("trials/0-0/trial.json", "trials/0-3/trial.json"):
        assert contents(out)[name] == before[name], "the others stay as they are"


def test_an_experiment_file_that_is_damaged_is_written_anew_when_asked(
    finished: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    (tmp_path / "out" / "experiment.json").write_text("")
    for refused in (run(tmp_path, DOCUMENT), scaling("report", tmp_path / "out")):
        assert refused.returncode == 2
        assert refused.stderr.endswith(
            "experiment.json: is empty; scaling run with --repair writes it anew\n"
        )
        assert refused.stderr.count("\n") == 1
    repaired = run(tmp_path, DOCUMENT, "--repair")
    assert repaired.returncode == 0, repaired.stderr
    assert "written anew from the experiment file" in " ".join(repaired.stdout.split())
    assert trials(tmp_path) == trials(finished), "no trial was lost or tried again"


def test_a_second_run_in_the_same_folder_says_so_and_leaves_the_first_alone(tmp_path: Path) -> None:
    go, out = tmp_path / "go", tmp_path / "out"
    waits = f'[ "$SCALING_TRIAL" = 0 ] || while [ ! -e "{go}" ]; do sleep 0.05; done; {PARABOLA}'
    document = experiment(waits, trials=SMALL, search=RANDOM)
    command = [*SCALING, "run", str(write(tmp_path, document)), "--out", str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as first:
        try:
            while not is_waiting(tmp_path):
                assert first.poll() is None, first.communicate()
                time.sleep(0.05)
            before = contents(out)
            for words in ((), ("--repair",)):
                second = run(tmp_path, document, *words)
                assert second.returncode == 2
                assert second.stderr == (
                    f"{out} is in use by another run; wait for it or choose another --out\n"
                )
            assert contents(out) == before
            go.touch()
            said = first.communicate(timeout=120)
        finally:
            first.kill()
    assert first.returncode == 0, said
    assert result(tmp_path)["counts"]["succeeded"] == 4
    logs = sorted(path.name for path in out.glob("trials/*/attempt-*.log"))
    assert logs == ["attempt-0.log"] * 4, "none was begun twice"
    assert run(tmp_path, document).returncode == 0, "the folder is free again"
