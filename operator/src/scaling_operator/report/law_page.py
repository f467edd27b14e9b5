"""The page of a fit to a table of points: one HTML file that opens without a network."""

from __future__ import annotations

from collections.abc import Sequence

from scaling_operator.law.holdout import HoldOut
from scaling_operator.law.points import Points
from scaling_operator.law.results import FitReport
from scaling_operator.report.formatting import number, percent, quantity
from scaling_operator.report.headline import Headline, KeyFigure
from scaling_operator.report.law_sections import law_sections
from scaling_operator.report.page import document
from scaling_operator.report.words import (
    condition_sentence,
    dropped_sentence,
    interval_text,
    law_equation,
    machine_sentence,
    recommendation_sentence,
)
from scaling_operator.sizing.run_plan import RunPlan


def render_law(
    name: str, report: FitReport, measured: Points, plans: Sequence[RunPlan | None] = ()
) -> str:
    """Draw a fit: a whole HTML document. `measured` are the points before any was left out.

    `plans` say of each recommendation what its run takes, where there is a policy.
    """
    return document(
        "law.html.j2",
        law_sections(report, measured),
        {
            "name": name,
            "fitted": report.conditions[0].is_true,
            "headline": _headline(report, plans),
            "figures": _figures(report),
        },
    )


def _headline(report: FitReport, plans: Sequence[RunPlan | None]) -> Headline:
    """Answer the largest budget asked for, else show the law."""
    notes = [dropped_sentence(report)]
    notes += [
        f"{condition.type}: {condition_sentence(condition)}."
        for condition in report.conditions
        if condition.is_true and condition is not report.conditions[0]
    ]
    beside = tuple(note for note in notes if note)
    if not report.conditions[0].is_true:
        return Headline("There is ", "no fit", f": {report.conditions[0].message}.", beside)
    if report.recommendation:
        sizes = [answer.parameters for answer in report.recommendation]
        place = sizes.index(max(sizes))
        largest, plan = report.recommendation[place], plans[place] if plans else None
        sentence = recommendation_sentence(largest, report.options.flat_percent)
        sentence += "" if plan is None else f" {machine_sentence(plan)}".rstrip()
        before, middle, after = sentence.partition(f"{quantity(largest.parameters)} parameters")
        return Headline(before, middle, after, beside)
    if report.fitted is not None:
        return Headline("", law_equation(report), "", beside)
    return Headline(
        "", "IsoFLOP optima", " of each budget, and the power law through them.", beside
    )


def _figures(report: FitReport) -> tuple[KeyFigure, ...]:
    """Collect the strip below the headline."""
    points = report.points
    sizes = f"{quantity(points.N.min())} to {quantity(points.N.max())}"
    figures = [KeyFigure("Points", f"{len(points):,}", f"{sizes} parameters")]
    law = None if report.fitted is None else report.fitted.law
    if law is not None:
        floor = interval_text(report.intervals.get("E", {}).get(95))
        figures.append(KeyFigure("Floor E", number(float(law.E[0])), f"95 %: {floor}"))
    if law is not None and not law.one_variable:
        doubt = interval_text(report.intervals.get("a", {}).get(95), exponent=True)
        figures.append(KeyFigure("N* grows as", f"C^{float(law.a[0]):.3f}", f"95 %: {doubt}"))
    if report.isoflop is not None and report.isoflop.power is not None:
        doubt = interval_text(report.isoflop.intervals.get(95), exponent=True)
        a = float(report.isoflop.power.a[0])
        figures.append(KeyFigure("By IsoFLOP", f"C^{a:.3f}", f"95 %: {doubt}"))
    if isinstance(report.hold_out, HoldOut):
        context = f"line {percent(report.hold_out.line_error)}"
        figures.append(KeyFigure("Hold-out miss", percent(report.hold_out.error), context))
    return tuple(figures)
