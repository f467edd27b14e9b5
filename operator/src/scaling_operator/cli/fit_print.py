"""What `scaling fit` prints for a person: tables, then the sentences beside the tables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from scaling_operator.api.names import ConditionType
from scaling_operator.cli.console import styled
from scaling_operator.law.points import Points
from scaling_operator.law.results import FitReport
from scaling_operator.report.formatting import NOTHING, number, quantity
from scaling_operator.report.words import (
    condition_sentence,
    coupling_sentence,
    dropped_sentence,
    exponent_sentence,
    hold_out_sentence,
    interval_text,
    law_equation,
    machine_sentence,
    recommendation_sentence,
    resample_sentence,
    size_text,
)
from scaling_operator.sizing.run_plan import RunPlan


@dataclass(frozen=True, slots=True)
class FitTable:
    """The fitted file, all its points, and what each recommended run takes."""

    path: Path
    points: Points
    plans: tuple[RunPlan | None, ...] = ()


def print_fit(console: Console, report: FitReport, table: FitTable) -> None:
    """Print a fit or, where the fit is refused, the reasons."""
    in_all = len(table.points)
    used = "" if in_all == len(report.points) else f" of {in_all}"
    console.print(styled((str(table.path), "bold"), f": {len(report.points)}{used} points"))
    _say(console, dropped_sentence(report))
    if not report.conditions[0].is_true:
        console.print(styled(("No fit", "bold"), ", and no number."))
        _print_conditions(console, report)
        return
    if report.fitted is not None:
        console.print(
            f"{law_equation(report)}   (form {report.form}, "
            f"objective {report.fitted.objective:.7g})"
        )
        console.print(_coefficients(report))
        _say(console, coupling_sentence(report))
    _say(console, exponent_sentence(report))
    _print_isoflop(console, report)
    if report.recommendation:
        console.print(_recommendations(report))
        for target, plan in zip(report.recommendation, table.plans, strict=True):
            machine = "" if plan is None else machine_sentence(plan)
            sentence = recommendation_sentence(target, report.options.flat_percent)
            _say(console, f"{sentence} {machine}".rstrip())
    if report.predictions:
        console.print(_predictions(report))
    _say(console, hold_out_sentence(report))
    if report.fitted is not None:
        _say(console, resample_sentence(report.draws))
    _print_conditions(console, report)


def _coefficients(report: FitReport) -> Table:
    table = _table("coefficient", "value", "80 %", "95 %")
    law = None if report.fitted is None else report.fitted.law
    if law is None:
        return table
    values = {"E": law.E, "alpha": law.alpha, "beta": law.beta, "a": law.a, "A": law.A, "B": law.B}
    for name, column in values.items():
        if law.one_variable and name in ("beta", "a", "B"):
            continue
        spread = report.intervals.get(name, {})
        table.add_row(
            name,
            number(float(column[0]), 5),
            interval_text(spread.get(80)),
            interval_text(spread.get(95)),
        )
    return table


def _print_isoflop(console: Console, report: FitReport) -> None:
    isoflop = report.isoflop
    if isoflop is None:
        return
    table = _table("budget, FLOPs", "N of least loss", "loss", title="IsoFLOP")
    for minimum in isoflop.optima:
        size = f"beyond the {minimum.edge} size" if minimum.edge else NOTHING
        table.add_row(
            number(minimum.budget_flops, 3),
            size if minimum.parameters is None else quantity(minimum.parameters),
            NOTHING if minimum.loss is None else number(minimum.loss),
        )
    console.print(table)
    if isoflop.power is not None:
        spread = interval_text(isoflop.intervals.get(95), exponent=True)
        a = float(isoflop.power.a[0])
        _say(console, f"By IsoFLOP ({isoflop.interpolation}) a is {a:.3f}; 95 %: {spread}.")


def _recommendations(report: FitReport) -> Table:
    flat = f"within {report.options.flat_percent:g} % of the best"
    table = _table("C", "N*", "80 %", "95 %", "D*", "D*/N*", "loss", flat, title="Recommendation")
    for target in report.recommendation:
        spread = target.intervals.get("parameters", {})
        table.add_row(
            NOTHING if target.flops is None else number(target.flops, 3),
            quantity(target.parameters),
            size_text(spread.get(80)),
            size_text(spread.get(95)),
            NOTHING if target.tokens is None else quantity(target.tokens),
            NOTHING
            if target.tokens_per_parameter is None
            else number(target.tokens_per_parameter, 3),
            NOTHING if target.loss is None else number(target.loss),
            interval_text(target.flat_range, prefixed=True),
        )
    return table


def _predictions(report: FitReport) -> Table:
    table = _table("N", "D", "loss", "80 %", "95 %", title="Prediction")
    for run in report.predictions:
        table.add_row(
            quantity(run.parameters),
            NOTHING if run.tokens is None else quantity(run.tokens),
            number(run.loss),
            interval_text(run.intervals.get(80)),
            interval_text(run.intervals.get(95)),
        )
    return table


def _print_conditions(console: Console, report: FitReport) -> None:
    """Print the conditions beside FitReady: where a fit is refused, FitReady repeats the others."""
    others = [
        condition
        for condition in report.conditions
        if condition.type is not ConditionType.FIT_READY
    ]
    for condition in others or [
        condition for condition in report.conditions if not condition.is_true
    ]:
        console.print(
            styled(
                (str(condition.type), "bold yellow"),
                f" ({condition.reason}): {condition_sentence(condition)}",
            ),
            soft_wrap=True,
        )


def _table(*headings: str, title: str | None = None) -> Table:
    table = Table(title=title, box=None, pad_edge=False, title_justify="left")
    for position, heading in enumerate(headings):
        table.add_column(heading, justify="right" if position else "left")
    return table


def _say(console: Console, sentence: str) -> None:
    if sentence:
        console.print(sentence, soft_wrap=True)
