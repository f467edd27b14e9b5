"""`scaling fit`: a table of runs in; a law, its answers and a page of plots out.

Exit codes: 0 there is a fit; 3 it is refused, and conditions say why; 2 wrong input.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any, NoReturn

from scaling_operator.api.problems import InvalidSpec, Problem, shown
from scaling_operator.cli.console import plain_console, results_console
from scaling_operator.cli.fit_machines import machine_keys, planner, plans_of
from scaling_operator.cli.fit_options import Columns, FitRequest
from scaling_operator.cli.fit_print import FitTable, print_fit
from scaling_operator.cli.fit_table import read_points
from scaling_operator.law.cost_solver import CostSolver, Plan
from scaling_operator.law.fit_points import FitOptions, FitReport, fit_points, to_json
from scaling_operator.law.optimum import Question
from scaling_operator.report.law_page import render_law
from scaling_operator.sizing.run_plan import RunPlan
from scaling_operator.validation.load import load_policy
from scaling_trainer.writing import EXHAUSTED, write_file, write_output

EXIT_REFUSED = 3
EXIT_WRONG_INPUT = 2
LOG_COLUMNS = 140
MOST_DRAWN = 50_000_000
"""Resamples x points: their counts take 8 bytes each."""


def run_fit(request: FitRequest) -> int:
    """Fit, print and draw; return the exit code. Raises InvalidSpec for wrong input."""
    plan = None if request.policy is None else planner(load_policy(request.policy).spec)
    options = fit_options(request, plan)
    page = _page(request)
    points = read_points(request.points, request.columns)
    if len(points) * request.bootstrap > MOST_DRAWN:
        most = MOST_DRAWN // len(points)
        _refuse("--bootstrap", f"{len(points)} points allow {most} resamples at most")
    report = fit_points(points, options)
    plans = plans_of(report, plan)
    if request.json:
        sys.stdout.write(json.dumps(_document(report, plans), indent=2, allow_nan=False) + "\n")
    else:
        print_fit(
            results_console(LOG_COLUMNS, soft_wrap=False),
            report,
            FitTable(request.points, points, plans),
        )
    fitted = report.conditions[0].status
    if page is not None and fitted:
        return _draw(request, page, report, FitTable(request.points, points, plans))
    return 0 if fitted else EXIT_REFUSED


def _document(report: FitReport, plans: tuple[RunPlan | None, ...]) -> dict[str, Any]:
    """Write the report as JSON, each recommendation with its machine."""
    document: dict[str, Any] = to_json(report)
    for each, plan in zip(document["recommendation"], plans, strict=True):
        each.update(machine_keys(plan))
    return document


def fit_options(request: FitRequest, plan: Plan | None = None) -> FitOptions:
    """Check what typer cannot. Raises InvalidSpec."""
    _check_columns(request)
    if request.target_cost and plan is None:
        _refuse("--target-cost", "needs --policy: prices and speeds come from a ResourcePolicy")
    return FitOptions(
        form=request.form,
        method=request.method,
        optimum=request.optimum,
        drop_worst=request.drop_worst,
        duplicates=request.duplicates,
        bootstrap=request.bootstrap,
        seed=request.seed,
        targets=(
            *(
                Question("flops", _positive("--target-flops", word))
                for word in request.target_flops
            ),
            *(Question("cost", _positive("--target-cost", word)) for word in request.target_cost),
        ),
        exchange=None if plan is None else CostSolver(plan).flops_for,
        predict=tuple(_run(word, request) for word in request.predict),
    )


def _check_columns(request: FitRequest) -> None:
    columns: Columns = request.columns
    if columns.tokens is None and columns.flops is None and request.form != "power":
        _refuse(
            "--tokens",
            "name the column of D, or with --flops that of C; only a law in the "
            "size alone, --form power, needs neither",
        )
    if request.method == "isoflop" and columns.group is None:
        _refuse("--group", "--method isoflop needs the column of the compute budget")


def _run(word: str, request: FitRequest) -> tuple[float, float | None]:
    """Read a run to predict: `N,D`, or `N` alone for a law in one variable."""
    parts = [_positive("--predict", part) for part in word.split(",")]
    alone = len(parts) == 1 and request.form in {"power", "auto"}
    if not alone and len(parts) != 2:  # noqa: PLR2004 - N and D
        _refuse("--predict", f"{shown(word)} must be N,D: two numbers above 0")
    return parts[0], None if alone else parts[1]


def _positive(option: str, word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        _refuse(option, f"{shown(word)} must be a finite number above 0")
    return value


def _page(request: FitRequest) -> Path | None:
    """Choose the file for the plots before anything is computed. Raises InvalidSpec."""
    if not request.plot:
        return None
    if request.out is None:
        return Path(f"{request.points.stem}-fit.html")
    if request.out.resolve() == request.points.resolve():
        _refuse("--out", "is the file of the points; name another")
    if request.out.is_dir() or not request.out.absolute().parent.is_dir():
        _refuse("--out", f"{request.out} must be a file in a folder that exists")
    return request.out


def _draw(request: FitRequest, page: Path, report: FitReport, table: FitTable) -> int:
    """Write the page; a folder of ours that cannot be written to costs the page, not the fit."""
    notes = plain_console(stderr=request.json, soft_wrap=True)
    try:
        text = render_law(request.points.name, report, table.given, table.plans)
        # A page that the user has named goes where they said; ours replaces a link.
        (write_file if request.out is None else write_output)(page, text)
    except OSError as error:
        if error.errno in EXHAUSTED and request.out is not None:
            raise
        problem = Problem(str(page), f"cannot be written: {error.strerror or error}")
        if request.out is not None:
            raise InvalidSpec((problem,)) from error
        plain_console(stderr=True, soft_wrap=True).print(f"warning: {problem}")
        return 0
    notes.print(f"Plots: {page}")
    return 0


def _refuse(path: str, message: str) -> NoReturn:
    raise InvalidSpec((Problem(path, message),))
