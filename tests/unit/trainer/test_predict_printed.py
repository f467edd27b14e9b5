"""`predict` shows names and values of files as text, and its table holds no formulas."""

from __future__ import annotations

import csv
import io
import logging
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from exported_models import export_model, write_table
from printed_text import ACTIVE

from scaling_trainer.__main__ import main

FORMULA = '=HYPERLINK("https://evil.example")'
COLOURED = "\x1b[31mred\u202e"
CONFIG: dict[str, Any] = {
    "task": "classification",
    "dataset": {"name": "csv", "path": "cases.csv", "target": "kind"},
    "model": {"name": "linear"},
    "optimizer": {"name": "adam", "learning_rate": 0.1},
    "epochs": 30,
}


class Terminal(io.StringIO):
    """A standard stream that is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def model(folder: Path, classes: tuple[str, str], column: str = "x") -> Path:
    """Train on two classes that differ in one column of words."""
    words = ["low", "high"] * 30
    rows = {column: words, "kind": [classes[word == "high"] for word in words]}
    write_table(folder / "cases.csv", pd.DataFrame(rows))
    return export_model(folder, CONFIG)


def predicted(*words: object) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["predict", *map(str, words)])
    assert ended.value.code == 0


def fail() -> None:
    raise ValueError(COLOURED)


def cells(text: str) -> list[str]:
    return [row["prediction"] for row in csv.DictReader(io.StringIO(text))]


@pytest.mark.parametrize(
    ("classes", "cells_written"),
    [
        pytest.param(("plain", FORMULA), ["plain", f"'{FORMULA}"], id="a formula is disarmed"),
        pytest.param(("+cmd|x", "@SUM(1)"), ["'+cmd|x", "'@SUM(1)"], id="whatever its sign"),
        pytest.param(("-1", "+1"), ["-1", "+1"], id="numbers stay numbers"),
    ],
)
def test_no_cell_of_the_predictions_is_a_formula(
    tmp_path: Path,
    classes: tuple[str, str],
    cells_written: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    best = model(tmp_path, classes)
    rows = write_table(tmp_path / "in.csv", pd.DataFrame({"x": ["low", "high"]}))
    predicted(best, rows)
    assert cells(capsys.readouterr().out) == cells_written
    predicted(best, rows, "--out", tmp_path / "out.csv")
    assert cells((tmp_path / "out.csv").read_text()) == cells_written


def test_a_terminal_is_shown_the_predictions_and_a_pipe_gets_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    best = model(tmp_path, ("plain", COLOURED))
    rows = write_table(tmp_path / "in.csv", pd.DataFrame({"x": ["low", "high"]}))
    predicted(best, rows)
    assert cells(capsys.readouterr().out) == ["plain", COLOURED], "data stay as they are"
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    predicted(best, rows)
    assert cells(screen.getvalue()) == ["plain", r"\x1b[31mred\u202e"]
    assert not ACTIVE.search(screen.getvalue())


def test_what_is_said_of_a_file_is_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    column = f"x{COLOURED}"
    best = model(tmp_path, ("a", "b"), column)
    unseen = write_table(tmp_path / "in.csv", pd.DataFrame({column: ["low", f"new{COLOURED}"]}))
    predicted(best, unseen)
    said = capsys.readouterr().err
    assert "note: " in said
    assert r"x\x1b[31mred\u202e: 1 of 2 rows" in said
    assert not ACTIVE.search(said)

    without_column = write_table(tmp_path / "other.csv", pd.DataFrame({f"y{COLOURED}": ["low"]}))
    with pytest.raises(SystemExit) as ended:
        main(["predict", str(best), str(without_column)])
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert r"\x1b[31mred\u202e" in said
    assert said.count("\n") == 1
    assert not ACTIVE.search(said)


def test_what_the_trainer_logs_is_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    with pytest.raises(SystemExit):
        main(["predict", str(tmp_path), str(tmp_path)])
    try:
        fail()
    except ValueError:
        logging.getLogger("trainer").exception("column %s\nof two lines", COLOURED)
    said = capsys.readouterr().err
    assert r"ERROR column \x1b[31mred\u202e" in said
    assert "Traceback (most recent call last):\n" in said, "a stack keeps its lines"
    assert not ACTIVE.search(said)
