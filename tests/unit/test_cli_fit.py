"""`scaling fit` on tables of points: known truths, public points, wrong input, refusals."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

SCALING = [sys.executable, "-c", "from scaling_operator.cli.main import main; main()"]
PUBLIC = Path(__file__).parents[2].parent / "shared" / "data" / "chinchilla_points.csv"
E, A, B, ALPHA, BETA = 1.8, 400.0, 2000.0, 0.34, 0.36


def fit(folder: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [*SCALING, "fit", *map(str, words)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=120, cwd=folder
    )


def write(folder: Path, rows: Iterable[Iterable[object]], header: str = "n,d,c,loss") -> Path:
    path = folder / "points.csv"
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(header.split(","))
        writer.writerows(rows)
    return path


def known_points() -> list[tuple[float, float, float, float]]:
    """Noise-free runs of a known law: five budgets, seven sizes each, around the optimum."""
    rows: list[tuple[float, float, float, float]] = []
    for budget in (1e18, 3e18, 1e19, 3e19, 1e20):
        best = (ALPHA * A / (BETA * B)) ** (1 / (ALPHA + BETA)) * (budget / 6) ** (
            BETA / (ALPHA + BETA)
        )
        for factor in (0.125, 0.25, 0.5, 1, 2, 4, 8):
            n = best * factor
            d = budget / (6 * n)
            rows.append((n, d, budget, E + A / n**ALPHA + B / d**BETA))
    return rows


def document(ended: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_a_known_law_is_recovered_with_its_optimum(tmp_path: Path) -> None:
    path = write(tmp_path, known_points())
    words = ["--parameters", "n", "--tokens", "d", "--loss", "loss", "--group", "c"]
    found = document(
        fit(
            tmp_path, path, *words, "--bootstrap", "100", "--target-flops", "1e21",
            "--predict", "1e9,2e10", "--json", "--no-plot",
        )
    )  # fmt: skip
    assert [found[key] for key in ("E", "A", "B", "alpha", "beta")] == pytest.approx(
        [E, A, B, ALPHA, BETA], rel=1e-3
    )
    assert found["a"] == pytest.approx(BETA / (ALPHA + BETA), abs=1e-4)
    assert found["points"] == 35
    (answer,) = found["recommendation"]
    assert answer["parameters"] * answer["tokens"] * 6 == pytest.approx(1e21, rel=1e-6)
    (prediction,) = found["predictions"]
    assert prediction["loss"] == pytest.approx(E + A / 1e9**ALPHA + B / 2e10**BETA, rel=1e-4)
    assert found["isoflop"]["a"] == pytest.approx(found["a"], abs=0.02)
    assert found["conditions"][0]["type"] == "FitReady"


def test_the_public_points_give_the_published_exponents_and_a_page(tmp_path: Path) -> None:
    if not PUBLIC.exists():
        pytest.skip("chinchilla_points.csv is not here")
    words = ["--parameters", "Model Size", "--flops", "Training FLOP", "--loss", "loss"]
    ended = fit(tmp_path, PUBLIC, *words, "--drop-worst", "5", "--target-flops", "5.76e23")
    assert ended.returncode == 0, ended.stderr
    assert "0.3473" in ended.stdout
    assert "0.3672" in ended.stdout
    assert "lines 2, 3, 4, 5, 6" in ended.stdout, "what was left out is said"
    page = (tmp_path / "chinchilla_points-fit.html").read_text()
    assert "<html" in page
    assert "73.2 G" in page


@pytest.mark.parametrize(
    ("rows", "condition"),
    [
        pytest.param([(1e8, 1e10, 6e18, 3.0)] * 20, "InvalidPoints", id="one point many times"),
        pytest.param(
            [(1e8 * k, 1e10, 6e18 * k, 3.0 - k / 10) for k in range(1, 4)],
            "NotEnoughPoints",
            id="three points",
        ),
        pytest.param(
            [(n, d, c, -loss) for n, d, c, loss in known_points()],
            "InvalidPoints",
            id="a loss below zero",
        ),
    ],
)
def test_degenerate_points_give_a_condition_and_no_number(
    tmp_path: Path, rows: list[tuple[float, ...]], condition: str
) -> None:
    path = write(tmp_path, rows)
    ended = fit(tmp_path, path, "--parameters", "n", "--tokens", "d", "--loss", "loss", "--json")
    assert ended.returncode == 3
    found = json.loads(ended.stdout)
    assert condition in [entry["type"] for entry in found["conditions"]]
    assert all(found[key] is None for key in ("E", "A", "B", "alpha", "beta", "a"))


@pytest.mark.parametrize(
    ("header", "row", "words", "said"),
    [
        pytest.param("n,d,c,loss", "1,2,3,4", ["--parameters", "size"], "size", id="no column"),
        pytest.param("n,d,c,loss", "1,2,3,low", ["--parameters", "n"], "low", id="text in a cell"),
        pytest.param(
            "n,d,c,loss",
            "1,2,3,4",
            ["--parameters", "n", "--predict", "1,two"],
            "--predict",
            id="a prediction that is no number",
        ),
        pytest.param(
            "n,d,c,loss",
            "1,2,3,4",
            ["--parameters", "n", "--target-flops", "-1"],
            "--target-flops",
            id="a negative target",
        ),
    ],
)
def test_wrong_input_is_answered_by_name_without_a_traceback(
    tmp_path: Path, header: str, row: str, words: list[str], said: str
) -> None:
    (tmp_path / "points.csv").write_text(f"{header}\n{row}\n")
    rest = ["--tokens", "d", "--loss", "loss"]
    ended = fit(tmp_path, "points.csv", *words, *rest)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
