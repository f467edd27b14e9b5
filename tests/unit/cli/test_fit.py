"""`scaling fit` on tables of points: known truths, public points, wrong input, refusals."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scaling_operator.cli.fit_options import spread
from scaling_operator.cli.main import main

PUBLIC = Path(__file__).parents[3].parent / "shared" / "data" / "chinchilla_points.csv"
COLUMNS = ["--parameters", "n", "--tokens", "d", "--loss", "loss"]
ASKED = ["--bootstrap", "60", "--target-flops", "1e21", "1e22", "--predict", "1e9,2e10"]
E, A, B, ALPHA, BETA = 1.8, 400.0, 2000.0, 0.34, 0.36


@dataclass(frozen=True, slots=True)
class Ended:
    returncode: int
    stdout: str
    stderr: str


def fit(folder: Path, *words: str | Path) -> Ended:
    """Run the command in this process: loading scipy anew for every test would take the time."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(sys, "argv", ["scaling", "fit", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
    return Ended(int(ended.value.code or 0), out.getvalue(), err.getvalue())


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


def noisy_points() -> list[tuple[float, float, float, float]]:
    """Runs of the known law with losses that scatter by half a per cent."""
    rng = np.random.default_rng(0)
    return [
        (n, d, c, loss * float(np.exp(0.005 * rng.standard_normal())))
        for n, d, c, loss in known_points()
    ]


def document(ended: Ended) -> dict[str, Any]:
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_a_known_law_is_recovered_with_its_optimum(tmp_path: Path) -> None:
    path = write(tmp_path, known_points())
    words = ["--parameters", "n", "--tokens", "d", "--loss", "loss", "--group", "c"]
    report = document(
        fit(
            tmp_path, path, *words, "--bootstrap", "100", "--target-flops", "1e21",
            "--predict", "1e9,2e10", "--json", "--no-plot",
        )
    )  # fmt: skip
    assert [report[key] for key in ("E", "A", "B", "alpha", "beta")] == pytest.approx(
        [E, A, B, ALPHA, BETA], rel=1e-3
    )
    assert report["a"] == pytest.approx(BETA / (ALPHA + BETA), abs=1e-4)
    assert report["points"] == 35
    (answer,) = report["recommendation"]
    assert answer["parameters"] * answer["tokens"] * 6 == pytest.approx(1e21, rel=1e-6)
    (prediction,) = report["predictions"]
    assert prediction["loss"] == pytest.approx(E + A / 1e9**ALPHA + B / 2e10**BETA, rel=1e-4)
    assert report["isoflop"]["a"] == pytest.approx(report["a"], abs=0.02)
    assert report["conditions"][0]["type"] == "FitReady"


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
    report = json.loads(ended.stdout)
    assert condition in [entry["type"] for entry in report["conditions"]]
    assert all(report[key] is None for key in ("E", "A", "B", "alpha", "beta", "a"))


def test_the_json_object_has_every_key_and_nothing_else_is_printed(tmp_path: Path) -> None:
    path = write(tmp_path, noisy_points())
    ended = fit(tmp_path, path, *COLUMNS, "--group", "c", *ASKED, "--json", "--out", "f.html")
    report = document(ended)
    keys = "form E A B alpha beta a objective points intervals isoflop recommendation predictions"
    assert {*keys.split(), "conditions"} <= set(report)
    assert set(report["intervals"]) == {"E", "A", "B", "alpha", "beta", "a"}
    assert [target["targetFlops"] for target in report["recommendation"]] == [1e21, 1e22]
    keys = "targetFlops parameters tokens tokensPerParameter loss interval80 interval95 flatRange"
    assert set(keys.split()) <= set(report["recommendation"][0])
    assert {"parameters", "tokens", "loss", "interval80"} <= set(report["predictions"][0])
    assert len(report["isoflop"]["optima"]) == 5
    low, high = report["recommendation"][0]["interval80"]
    assert low < report["recommendation"][0]["parameters"] < high
    assert "f.html" in ended.stderr
    assert fit(tmp_path, path, *COLUMNS, *ASKED, "--json").stdout == (
        fit(tmp_path, path, *COLUMNS, *ASKED, "--json", "--no-plot").stdout
    ), "the same seed gives the same numbers"


POLICY = """
apiVersion: scaling-operator.dev/v1alpha1
kind: ResourcePolicy
metadata: {name: default}
spec:
  shapes:
    - {name: h100, resource: nvidia.com/gpu, memory: 80Gi, flops: 989e12, pricePerHour: PRICE}
"""


def test_a_policy_tells_the_cost_of_a_size_and_the_size_of_a_cost(tmp_path: Path) -> None:
    table, policy = write(tmp_path, noisy_points()), tmp_path / "policy.yaml"
    policy.write_text(POLICY.replace("PRICE", "4"))
    asked = ["--target-flops", "1e20", "--target-cost", "281", "--policy", policy]
    asked += ["--bootstrap", "50"]
    ended = fit(tmp_path, table, *COLUMNS, *asked, "--json", "--no-plot")
    assert ended.returncode == 0, ended.stderr
    by_flops, by_cost = json.loads(ended.stdout)["recommendation"]
    assert (by_flops["shape"], by_flops["count"]) == ("h100", 1)
    assert by_flops["gpuHours"] == pytest.approx(70.2, rel=0.01), "at 40 % of 989 TFLOP/s"
    assert by_flops["cost"] == pytest.approx(281, rel=0.01)
    assert by_cost["target"] == {"cost": 281.0}
    assert by_cost["cost"] == pytest.approx(281, rel=1e-6)
    assert by_cost["targetFlops"] == pytest.approx(1e20, rel=0.01)
    printed = fit(tmp_path, table, *COLUMNS, *asked, "--out", tmp_path / "page.html").stdout
    assert "Such a run takes 1 x h100" in (tmp_path / "page.html").read_text()
    assert "For a cost of 281 train" in printed
    assert "Such a run takes 1 x h100" in printed


def test_money_without_prices_has_no_answer_and_says_why(tmp_path: Path) -> None:
    table, policy = write(tmp_path, noisy_points()), tmp_path / "policy.yaml"
    policy.write_text(POLICY.replace("PRICE", "0"))
    asked = ["--target-cost", "281", "--bootstrap", "50", "--json", "--no-plot"]
    ended = fit(tmp_path, table, *COLUMNS, *asked, "--policy", policy)
    document = json.loads(ended.stdout)
    assert document["recommendation"] == []
    said = next(c for c in document["conditions"] if c["type"] == "TargetUnanswered")
    assert said["reason"] == "NoPrices"
    assert "pricePerHour" in said["message"]
    without = fit(tmp_path, table, *COLUMNS, *asked)
    assert without.returncode == 2
    assert "--policy" in without.stderr


@pytest.mark.parametrize("optimum", ["quadratic", "akima"])
def test_isoflop_alone_answers_without_a_law(tmp_path: Path, optimum: str) -> None:
    path = write(tmp_path, known_points())
    words = [*COLUMNS, "--group", "c", "--method", "isoflop", "--optimum", optimum, *ASKED]
    ended = fit(tmp_path, path, *words, "--out", "f.html")
    assert ended.returncode == 0, ended.stderr
    assert f"By IsoFLOP ({optimum}) a is 0.51" in ended.stdout
    assert "TargetUnanswered" in ended.stdout, "it knows no loss to predict"
    assert "IsoFLOP curves" in (tmp_path / "f.html").read_text()


def test_budgets_with_names_are_the_mean_compute_of_their_runs(tmp_path: Path) -> None:
    rows = [(n, d, f"budget {c:g}", loss) for n, d, c, loss in known_points()]
    words = ["--group", "c", "--bootstrap", "0", "--json", "--no-plot"]
    report = document(fit(tmp_path, write(tmp_path, rows), *COLUMNS, *words))
    budgets = [optimum["budgetFlops"] for optimum in report["isoflop"]["optima"]]
    assert budgets == pytest.approx([1e18, 3e18, 1e19, 3e19, 1e20])


def test_a_best_size_at_the_end_of_every_grid_is_refused_by_name(tmp_path: Path) -> None:
    rows = [row for place, row in enumerate(known_points()) if place % 7 >= 2]
    shorter = [(n, d, c, loss + 1e-9 * n) for n, d, c, loss in rows]
    ended = fit(tmp_path, write(tmp_path, shorter), *COLUMNS, "--group", "c")
    assert ended.returncode == 3
    assert "EdgeOptimum (MinimumOnEdge)" in ended.stdout
    assert "add one near" in ended.stdout
    assert not list(tmp_path.glob("*.html")), "without a fit there is nothing to draw"


def test_a_ladder_of_sizes_alone_is_fitted_by_a_power_law(tmp_path: Path) -> None:
    rows = [(1e6 * 2**k, E + A / (1e6 * 2**k) ** ALPHA) for k in range(10)]
    path = write(tmp_path, rows, header="n,loss")
    path.write_text(path.read_text().replace(",", ";"))
    words = ["--parameters", "n", "--loss", "loss", "--form", "power", "--bootstrap", "50"]
    ended = fit(tmp_path, path, *words, "--predict", "1e10")
    assert ended.returncode == 0, ended.stderr
    assert "L(N) = 1.8 + 400 / N^0.3400" in ended.stdout
    assert (tmp_path / "points-fit.html").exists()


@pytest.mark.parametrize(
    ("header", "row", "words", "said"),
    [
        pytest.param("n,d,c,loss", "1,2,3,4", ["--parameters", "size"], "size", id="no column"),
        pytest.param("n,d,c,loss", "1,2,3,low", ["--parameters", "n"], "low", id="text in a cell"),
        pytest.param("n,d,loss", "12M,2,4", ["--parameters", "n"], "write 12e6", id="a unit"),
        pytest.param(
            "n;d;loss", "1;2;3,5", ["--parameters", "n"], "decimal point", id="a decimal comma"
        ),
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


@pytest.mark.parametrize(
    ("text", "words", "said"),
    [
        pytest.param("", [], "is empty", id="an empty file"),
        pytest.param("n,d,loss\n", [], "no rows", id="a header alone"),
        pytest.param("n,d,loss\n1,2\n", [], ":2: 2 cells", id="a row that is too short"),
        pytest.param("n,d,loss\n1,2,\n", [], ":2: loss: is empty", id="an empty cell"),
        pytest.param("n,n,d,loss\n1,1,2,3\n", [], "2 columns", id="two columns of one name"),
        pytest.param("N,d,loss\n1,2,3\n", [], "did you mean N?", id="a name of another case"),
        pytest.param('n,d,loss\n1,2,"3\n', [], "is no CSV", id="a quote without an end"),
        pytest.param("n,d,loss\n1,2,3\n", ["--method", "isoflop"], "--group", id="no budgets"),
        pytest.param("n,d,loss\n1,2,3\n", ["--form", "cubic"], "--form", id="an unknown form"),
        pytest.param("n,d,loss\n1,2,3\n", ["--bootstrap", "-1"], "--bootstrap", id="below 0"),
        pytest.param("n,d,loss\n1,2,3\n", ["--predict", "1,2,3"], "N,D", id="three numbers"),
        pytest.param("n,d,loss\n1,2,3\n", ["--out", "no/f.html"], "--out", id="no such folder"),
        pytest.param("n,d,loss\n1,2,3\n", ["--out", "points.csv"], "--out", id="over the points"),
        pytest.param("n,d,loss\n1,2,3\n", ["--flops", "loss"], "already", id="one column twice"),
    ],
)
def test_a_file_or_an_option_that_is_wrong_is_named(
    tmp_path: Path, text: str, words: list[str], said: str
) -> None:
    (tmp_path / "points.csv").write_text(text)
    ended = fit(tmp_path, "points.csv", *COLUMNS, *words)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert (tmp_path / "points.csv").read_text() == text


def test_names_of_columns_are_told_in_few_characters(tmp_path: Path) -> None:
    (tmp_path / "points.csv").write_text(f"{'x' * 10_000},loss\n1,2\n")
    ended = fit(tmp_path, "points.csv", *COLUMNS)
    assert ended.returncode == 2
    assert f"allowed: {'x' * 63}…, loss" in " ".join(ended.stderr.split())


def test_products_beyond_a_double_are_refused_without_a_warning(tmp_path: Path) -> None:
    rows = "1e300,1e300,1e300,2\n1e308,1e9,1e300,3\n5e-324,2,12,4\n"
    (tmp_path / "points.csv").write_text(f"n,d,c,loss\n{rows}")
    for column in ("--tokens", "d"), ("--flops", "c"):
        words = ["--parameters", "n", *column, "--loss", "loss", "--bootstrap", "0"]
        assert fit(tmp_path, "points.csv", *words).returncode == 3


@pytest.mark.parametrize(
    ("words", "spreads"),
    [
        ("--target-flops 1 2 p.csv", "--target-flops 1 --target-flops 2 p.csv"),
        ("--predict 1,2 --seed 3", "--predict 1,2 --seed 3"),
        ("--target-flops x 1", "--target-flops x 1"),
    ],
    ids=["further numbers get the option", "one value stays", "text is left to typer"],
)
def test_values_after_a_repeatable_option_belong_to_it(words: str, spreads: str) -> None:
    assert spread(words.split()) == spreads.split()
