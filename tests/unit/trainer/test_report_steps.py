"""Steps that a script does not name, over attempts: they share the fate of what was saved."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from scaling_trainer.report import Reporter
from scaling_trainer.report_steps import MAX_FILES, MAX_NOTED, RECORD, StepCounter

METRICS = {"loss": 1.0}


class Attempt:
    """An attempt whose reports come a second apart, and a checkpoint right after its report."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.reporter = Reporter(steps=StepCounter(folder))
        self.seconds = max([file.stat().st_mtime for file in folder.rglob("*")], default=1e9)

    def report(self, step: int | None = None) -> int:
        self.reporter.report(step, METRICS)
        if step is None and (self.folder / RECORD).exists():
            self._age(self.folder / RECORD)
            # What the file's time is told to be, the attempt has to read like any other clock.
            noted = self.reporter.steps
            assert noted is not None
            noted._recorded[-1] = (noted._recorded[-1][0], self.seconds)  # pyright: ignore[reportPrivateUsage]
        return self.reporter._step  # pyright: ignore[reportPrivateUsage]

    def save(self, name: str = "weights") -> None:
        (self.folder / name).parent.mkdir(exist_ok=True)
        (self.folder / name).write_text("saved")
        self._age(self.folder / name, 0.2)

    def _age(self, path: Path, seconds: float = 1.0) -> None:
        self.seconds += seconds
        os.utime(path, (self.seconds, self.seconds))


def test_an_attempt_goes_on_after_what_was_saved(tmp_path: Path) -> None:
    first = Attempt(tmp_path)
    for _ in range(3):
        first.report()
        first.save()

    second = Attempt(tmp_path)
    assert [second.report(), second.report()] == [4, 5]


def test_a_rare_checkpoint_takes_the_steps_back_to_it(tmp_path: Path) -> None:
    first = Attempt(tmp_path)
    for step in range(1, 8):
        first.report()
        if step == 4:
            first.save("folder/weights")

    second = Attempt(tmp_path)
    assert second.report() == 5
    second.save()
    assert Attempt(tmp_path).report() == 6


def test_an_attempt_that_saved_nothing_begins_anew(tmp_path: Path) -> None:
    first = Attempt(tmp_path)
    for _ in range(3):
        first.report()

    assert Attempt(tmp_path).report() == 1


def test_an_attempt_whose_folder_is_gone_begins_anew(tmp_path: Path) -> None:
    """As in a pod without a claim."""
    saved_folder, empty_folder = tmp_path / "one", tmp_path / "other"
    saved_folder.mkdir()
    first = Attempt(saved_folder)
    first.report()
    first.save()

    assert Reporter(steps=StepCounter(empty_folder)).report(None, METRICS) is False
    assert not empty_folder.exists()


def test_steps_that_are_named_are_not_counted(tmp_path: Path) -> None:
    first = Attempt(tmp_path)
    first.report()
    first.save()

    second = Attempt(tmp_path)
    assert [second.report(1), second.report(2)] == [1, 2]


def test_a_result_ends_the_count(tmp_path: Path) -> None:
    first = Attempt(tmp_path)
    first.report()
    assert (tmp_path / RECORD).exists()
    steps = first.reporter.steps
    assert steps is not None
    steps.delete()
    steps.delete()

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("{}", id="nothing in it"),
        pytest.param('{"noted": 3, "step": 4}', id="no list"),
        pytest.param('{"noted": [[1]], "step": 4}', id="no time"),
        pytest.param('{"noted": [], "step": "x"}', id="no number"),
    ],
)
def test_a_damaged_record_breaks_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / RECORD).write_text(text)
    (tmp_path / "weights").write_text("saved")

    assert StepCounter(tmp_path).resume() == 0


def test_the_record_stays_small(tmp_path: Path) -> None:
    steps = StepCounter(tmp_path)
    for step in range(1, 3 * MAX_NOTED):
        steps.record(step)

    assert (tmp_path / RECORD).stat().st_size < 64 * MAX_NOTED
    assert MAX_FILES < 100_000
