"""`scaling fit`: a table of runs in; a law, its answers and a page of plots out.

Exit codes: 0 there is a fit; 3 it is refused, and conditions say why; 2 wrong input.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any, NoReturn

from scaling_operator.api.estimate import Estimate
from scaling_operator.api.policy import PolicySpec
from scaling_operator.api.problems import InvalidSpec, Problem, shown
from scaling_operator.api.scaling import Target
from scaling_operator.cli import exit_codes
from scaling_operator.cli.console import plain_console, results_console
from scaling_operator.cli.fit_csv import read_points
from scaling_operator.cli.fit_print import FitTable, print_fit
from scaling_operator.cli.fit_request import FitRequest
from scaling_operator.law.fit_points import fit_points
from scaling_operator.law.published_results import Json, machine_json, to_json
from scaling_operator.law.recommended_runs import CostSolver, Plan
from scaling_operator.law.results import FitOptions, FitReport
from scaling_operator.report.law_page import render_law
from scaling_operator.sizing.estimates import first_estimates
from scaling_operator.sizing.machines import Constraints
from scaling_operator.sizing.need import own_need
from scaling_operator.sizing.run_plan import RunPlan, plan_run
from scaling_operator.validation.load import load_policy
from scaling_trainer.writing import EXHAUSTED, write_file, write_output

LOG_COLUMNS = 140
MOST_DRAWN = 50_000_000
"""The most resamples x points that are drawn: each count takes 8 bytes."""


def run_fit(request: FitRequest) -> int:
    """Fit, print and draw; return the exit code. Raises InvalidSpec for wrong input."""
    planner = None if request.policy is None else planner_of(load_policy(request.policy).spec)
    options = fit_options(request, planner)
    page = _page(request)
    points = read_points(request.points, request.columns)
    if len(points) * request.bootstrap > MOST_DRAWN:
        most = MOST_DRAWN // len(points)
        _refuse("--bootstrap", f"{len(points)} points allow {most} resamples at most")
    report = fit_points(points, options)
    plans = plans_of(report, planner)
    table = FitTable(request.points, points, plans)
    if request.json:
        sys.stdout.write(json.dumps(_document(report, plans), indent=2, allow_nan=False) + "\n")
    else:
        print_fit(results_console(LOG_COLUMNS, soft_wrap=False), report, table)
    is_fitted = report.conditions[0].is_true
    if page is not None and is_fitted:
        return _draw(request, page, report, table)
    return 0 if is_fitted else exit_codes.REFUSED


def _document(report: FitReport, plans: tuple[RunPlan | None, ...]) -> dict[str, Json]:
    """Write the report as JSON, each recommendation with its machine where a policy is given."""
    document: dict[str, Any] = to_json(report)
    for recommendation, plan in zip(document["recommendation"], plans, strict=True):
        recommendation.update({} if plan is None else machine_json(plan))
    return document


def fit_options(request: FitRequest, planner: Plan | None = None) -> FitOptions:
    """Check what typer cannot check, and make the options of the fit. Raises InvalidSpec."""
    _check_columns(request)
    if request.target_cost and planner is None:
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
            *(Target(flops=_positive("--target-flops", word)) for word in request.target_flops),
            *(Target(cost=_positive("--target-cost", word)) for word in request.target_cost),
        ),
        exchange=None if planner is None else CostSolver(planner).flops_for,
        predict=tuple(_run(word, request) for word in request.predict),
    )


def _check_columns(request: FitRequest) -> None:
    columns = request.columns
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
    numbers = [_positive("--predict", part) for part in word.split(",")]
    is_size_alone = len(numbers) == 1 and request.form in {"power", "auto"}
    if not is_size_alone and len(numbers) != 2:  # noqa: PLR2004 - N and D
        _refuse("--predict", f"{shown(word)} must be N,D: two numbers above 0")
    return numbers[0], None if is_size_alone else numbers[1]


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
    """Write the page. Where our own choice of a file cannot be written, only the page is lost."""
    notes = plain_console(stderr=request.json, soft_wrap=True)
    try:
        text = render_law(request.points.name, report, table.points, table.plans)
        # A page that the user has named may be a link to follow; a page of ours replaces a link.
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


# --- Machines for recommended runs ---------------------------------------------------------------

LONGEST_SECONDS = 30 * 86_400
"""Machines that finish within a month are preferred, however cheap a slower machine is."""


def planner_of(policy: PolicySpec) -> Plan:
    """Give a function that plans a run by a policy.

    The table tells N, D and C of a run, and nothing of its trainer. The run is sized as a
    transformer trained in bf16 with Adam: 16 bytes for each parameter, sharded over as many
    accelerators as necessary; activations are not counted. A step takes 2^20 tokens.
    """
    constraints = Constraints(
        policy=policy,
        estimates=first_estimates(policy.first_margin_percent),
        deadline_seconds=LONGEST_SECONDS,
        is_ladder=True,
        refuses_hopeless=False,
    )

    def plan(parameters: float, samples: float | None, flops: float | None) -> RunPlan:
        estimate = Estimate(
            parameters=parameters,
            samples=samples,
            flops=flops,
            precision="bf16",
            batch_size=1024,
            context=1024,
            honours=("microBatch", "recompute", "sharding"),
        )
        return plan_run(own_need(estimate, {}, None, policy.unknown), constraints)

    return plan


def plans_of(report: FitReport, planner: Plan | None) -> tuple[RunPlan | None, ...]:
    """Plan every recommendation; None for each where there is no policy."""
    return tuple(
        None if planner is None else planner(size.parameters, size.tokens, size.flops)
        for size in report.recommendation
    )
