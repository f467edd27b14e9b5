"""What lies in a trial's folder counts for the experiment that left it, not for its namesake."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from training_runs import (
    NUMBERS,
    Killed,
    RecordingReporter,
    assignment,
    equal_tensors,
    weights,
    without_machine_figures,
)

from scaling_trainer.contract import Assignment, environment_of, read_assignment
from scaling_trainer.results import Result
from scaling_trainer.trial import RECORD, run_trial

CONFIG = NUMBERS | {"checkpoint_every": 1, "epochs": 4}
KILLED_AT = 3


def of(uid: str | None, folder: Path) -> Assignment:
    """Give what a pod of an experiment with this uid is told: the same but for the uid."""
    with_uid = replace(assignment(folder, CONFIG), experiment_uid=uid)
    return read_assignment(environment_of(with_uid))


def run(trial: Assignment) -> tuple[Result, list[int | None]]:
    heard = RecordingReporter()
    result = run_trial(trial, heard)
    return result, [step for step, _ in heard.reports]


OTHERS = pytest.mark.parametrize(
    ("left_by", "used_by"),
    [
        pytest.param("uid-1", "uid-2", id="an experiment that was made anew"),
        pytest.param(None, "uid-1", id="files of a run without a cluster"),
        pytest.param("uid-1", None, id="files of a cluster"),
    ],
)
SAME = pytest.mark.parametrize("uid", ["uid-1", None], ids=["on a cluster", "without one"])


@OTHERS
def test_a_result_of_another_experiment_is_not_given_again(
    tmp_path: Path, left_by: str | None, used_by: str | None
) -> None:
    first, _ = run(of(left_by, tmp_path))
    record = json.loads((tmp_path / RECORD).read_text())
    record["result"] = record["result"].replace('"val_mse":', '"val_mse":9')
    (tmp_path / RECORD).write_text(json.dumps(record))  # what another could have left
    result, steps = run(of(used_by, tmp_path))
    assert steps == [1, 2, 3, 4], "it was trained, from the first step"
    assert without_machine_figures(result) == without_machine_figures(first)


@SAME
def test_the_same_experiment_gets_its_result_again(tmp_path: Path, uid: str | None) -> None:
    first, steps = run(of(uid, tmp_path))
    assert steps == [1, 2, 3, 4]
    again, steps = run(of(uid, tmp_path))
    assert steps == [], "nothing was trained"
    assert again == first, "to the seconds that it took"


@OTHERS
def test_a_checkpoint_of_another_experiment_is_not_gone_on_from(
    tmp_path: Path, left_by: str | None, used_by: str | None
) -> None:
    undisturbed, _ = run(of(used_by, tmp_path / "undisturbed"))
    with pytest.raises(Killed):
        run_trial(of(left_by, tmp_path / "cut"), RecordingReporter(kill_at=KILLED_AT))
    assert (tmp_path / "cut" / "checkpoint.safetensors").exists()
    result, steps = run(of(used_by, tmp_path / "cut"))
    assert steps == [1, 2, 3, 4]
    assert without_machine_figures(result) == without_machine_figures(undisturbed)
    assert equal_tensors(weights(tmp_path / "cut"), weights(tmp_path / "undisturbed"))


@SAME
def test_the_same_experiment_goes_on_from_its_checkpoint(tmp_path: Path, uid: str | None) -> None:
    with pytest.raises(Killed):
        run_trial(of(uid, tmp_path), RecordingReporter(kill_at=KILLED_AT))
    _, steps = run(of(uid, tmp_path))
    assert steps == [3, 4]
