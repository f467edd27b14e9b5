"""What is said of the data of a local run, and when: `scaling run` as a person starts it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

ROWS = "".join(f"{row},5;{row % 7}\n" for row in range(40))


def run(
    folder: Path, dataset: dict[str, Any], *, trials: int = 2, **parameters: Any
) -> subprocess.CompletedProcess[str]:
    rate = {"optimizer.learning_rate": {"type": "float", "low": 0.001, "high": 0.1}}
    built_in = {
        "task": "regression",
        "dataset": {"name": "csv", "path": "t.csv", "target": "y"} | dataset,
        "model": {"name": "linear"},
        "epochs": 1,
    }
    document = {
        "apiVersion": "scaling-operator.dev/v1alpha1",
        "kind": "ScalingExperiment",
        "metadata": {"name": "data"},
        "spec": {
            "objective": {"metric": "val_r2", "direction": "maximize"},
            "search": {
                "parameters": rate | parameters,
                "algorithm": {"name": "random", "seed": 1},
            },
            "trials": {"max": trials, "parallel": 1},
            "trainer": {"builtIn": built_in},
        },
    }
    file = folder / "experiment.yaml"
    file.write_text(json.dumps(document))
    command = [str(Path(sys.executable).with_name("scaling")), "run", str(file)]
    command += ["--out", str(folder / "out")]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


REFUSED = [
    pytest.param("x,y,y\n1,2,3\n", "spec.trainer.builtIn.dataset: y: the column stands there more",
                 id="a name that stands twice"),
    pytest.param("x,y\n1,2\n3\n", "spec.trainer.builtIn.dataset.path: t.csv has rows with fewer",
                 id="a torn row"),
    pytest.param("", "spec.trainer.builtIn.dataset.path: t.csv cannot be read as csv: it is empty",
                 id="an empty file"),
    pytest.param("x,z\n1,2\n", "y: the column is missing; there are: x, z", id="no target"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "sentence"), REFUSED)
def test_what_no_trial_could_use_is_said_once_before_the_first(
    content: str, sentence: str, tmp_path: Path
) -> None:
    (tmp_path / "t.csv").write_text(content)
    ended = run(tmp_path, {})
    assert ended.returncode == 2, ended.stdout
    assert " ".join(ended.stderr.split()).count(sentence) == 1
    assert not (tmp_path / "out" / "experiment.json").exists(), "the file may be changed"
    assert not (tmp_path / "out" / "trials").exists()


def test_how_the_data_were_read_is_told_once_in_each_place(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f"x;y\n{ROWS}")
    ended = run(tmp_path, {})
    assert ended.returncode == 0, ended.stderr
    notes = json.loads((tmp_path / "out" / "result.json").read_text())["dataNotes"]
    assert notes == [
        "values are separated by ';': dataset.separator changes it",
        "numbers are read with ',' before decimals (dataset.decimal)",
    ]
    page = (tmp_path / "out" / "report.html").read_text()
    for note in notes:
        assert ended.stdout.count(f"Data: {note}") == 1
    assert page.count("before decimals (dataset.decimal)") == 1


def test_what_depends_on_a_trials_own_parameters_is_left_to_it(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("x,y\n" + "".join(f"{row},{row % 7}\n" for row in range(40)))
    choice = {"type": "categorical", "choices": [0.001, 100.0]}
    outliers: dict[str, Any] = {"preprocessing.outliers.threshold": choice}
    file = run(tmp_path, {}, **outliers)
    assert "every training row lies beyond" not in file.stderr


def measured(folder: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in folder.glob("out/trials/*/trial.json")}


def test_data_that_were_edited_between_two_runs_are_told_and_earlier_values_stay(
    tmp_path: Path,
) -> None:
    """Nothing is measured again; it is said that later trials saw other data."""
    data = tmp_path / "t.csv"
    data.write_text("x,y\n" + "".join(f"{row},{row % 7}\n" for row in range(40)))
    long_ago = time.time() - 1e6
    os.utime(data, (long_ago, long_ago))
    assert run(tmp_path, {}).returncode == 0
    first = measured(tmp_path)
    again = run(tmp_path, {}, trials=3)
    assert again.returncode == 0, again.stderr
    assert "Data:" not in again.stdout, "the same file"

    data.write_text("x,y\n" + "".join(f"{row},{100 + row % 5}\n" for row in range(60)))
    ended = run(tmp_path, {}, trials=4)
    assert ended.returncode == 0, ended.stderr
    note = (
        "t.csv was written after the first trial of this folder began: trials before that were "
        "measured on what it held then; begin a new folder to compare"
    )
    assert f"Data: {note}" in " ".join(ended.stdout.split())
    assert json.loads((tmp_path / "out" / "result.json").read_text())["dataNotes"] == [note]
    assert "begin a new folder to compare" in (tmp_path / "out" / "report.html").read_text()
    assert first.items() <= measured(tmp_path).items(), "what was measured stays"
    rows = json.loads((tmp_path / "out/trials/0-3/trial.json").read_text())["status"]["samples"]
    assert rows == 36, "60 % of 60 rows: the new trial reads the new file"
