"""The sections of a fit, for a page of its own or within an experiment's report."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from scaling_operator.law.envelope import Envelope
from scaling_operator.law.holdout import HoldOut
from scaling_operator.law.isoflop import IsoFlop, curves_of, interpolated
from scaling_operator.law.points import Points
from scaling_operator.law.results import FitReport
from scaling_operator.report import theme
from scaling_operator.report.blocks import Block, Cell, Plot, Section, Table
from scaling_operator.report.formatting import NOTHING, number, percent, quantity
from scaling_operator.report.law_plots import (
    loss_against_size,
    residual_plot,
    size_against_compute,
)
from scaling_operator.report.law_series import between, line, log_axis
from scaling_operator.report.plots import Series, Style, xy
from scaling_operator.report.words import (
    coupling_sentence,
    exponent_sentence,
    hold_out_sentence,
    interval_text,
    resample_sentence,
    size_text,
    target_text,
)


def law_sections(report: FitReport, measured: Points) -> tuple[Section, ...]:
    """Return what a fit has to show, in reading order. `measured` holds also the runs left out."""
    sections = (make(report, measured) for make in LAW_SECTIONS)
    return tuple(section for section in sections if section is not None)


def loss_section(report: FitReport, measured: Points) -> Section | None:
    """Draw the loss over size: runs, law, band, extrapolation."""
    plot = loss_against_size(report, measured)
    if plot is None or report.fitted is None:
        return None
    if report.fitted.law.one_variable:
        lead = "Each dot is a run, the line the law; dashed, it goes beyond what was measured."
    else:
        lead = (
            "Each dot is a run, coloured by its compute; the thin lines are the law at the mean "
            "compute of a colour. The thick line joins their lowest points: the least loss that a "
            "budget can buy; dashed, it goes beyond what was measured."
        )
    bands = "" if report.draws is None else " Bands hold 80 % of the resamples."
    return Section("loss-against-size", "Loss against size", lead + bands, (plot,))


def answers_section(report: FitReport, _measured: Points) -> Section | None:
    """Answer targets and predictions in tables."""
    if not report.recommendation and not report.predictions:
        return None
    blocks: list[Block] = []
    if report.recommendation:
        blocks.append(_recommendation_table(report))
    if report.predictions:
        blocks.append(_prediction_table(report))
    lead = (
        "The optimum is flat: every size of the last column costs little. Act on it and on the "
        "intervals, not on the point."
    )
    if not any(answer.flat_range for answer in report.recommendation):
        lead = "Act on the intervals, not on the point."
    return Section("answers", "Answers", lead, tuple(blocks))


def _recommendation_table(report: FitReport) -> Table:
    flat = f"N within {report.options.flat_percent:g} % of the best"
    columns = ("target", "N*", "80 %", "95 %", "D*", "D*/N*", "loss", "95 % of the loss", flat)
    rows: list[tuple[Cell, ...]] = []
    for answer in report.recommendation:
        sizes, losses = answer.intervals.get("parameters", {}), answer.intervals.get("loss", {})
        ratio = answer.tokens_per_parameter
        texts = (
            target_text(answer),
            quantity(answer.parameters),
            size_text(sizes.get(80)),
            size_text(sizes.get(95)),
            NOTHING if answer.tokens is None else quantity(answer.tokens),
            NOTHING if ratio is None else number(ratio, 3),
            NOTHING if answer.loss is None else number(answer.loss),
            interval_text(losses.get(95)),
            interval_text(answer.flat_range, prefixed=True),
        )
        rows.append((Cell(texts[0]), *(Cell(_whole(text)) for text in texts[1:])))
    return Table(columns, tuple(rows))


def _whole(text: str) -> str:
    """Keep a number and its prefix on one line."""
    return re.sub(r"(\d) ([kMGTPEZ])\b", "\\1\N{NO-BREAK SPACE}\\2", text)


def _prediction_table(report: FitReport) -> Table:
    rows = tuple(
        (
            Cell(quantity(prediction.parameters)),
            Cell(NOTHING if prediction.tokens is None else quantity(prediction.tokens)),
            Cell(number(prediction.loss)),
            Cell(interval_text(prediction.intervals.get(80))),
            Cell(interval_text(prediction.intervals.get(95))),
        )
        for prediction in report.predictions
    )
    return Table(("predicted N", "D", "loss", "80 %", "95 %"), rows)


def best_size_section(report: FitReport, _measured: Points) -> Section | None:
    """Draw the best size over compute."""
    plot = size_against_compute(report)
    if plot is None:
        return None
    lead = exponent_sentence(report)
    return Section("best-size", "Best size against compute", lead, (plot,))


def isoflop_section(report: FitReport, _measured: Points) -> Section | None:
    """Draw the curve of each budget and its minimum."""
    isoflop = report.isoflop
    if isoflop is None:
        return None
    lead = (
        f"Per budget the runs, and the {isoflop.interpolation} curve whose lowest point is the "
        "budget's best size (diamond). A budget whose best size is an end of its grid has none."
    )
    rows = tuple(
        (
            Cell(number(minimum.budget_flops, 3)),
            Cell(
                f"beyond the {minimum.edge} size"
                if minimum.edge
                else quantity(minimum.parameters or 0.0)
            ),
            Cell(NOTHING if minimum.loss is None else number(minimum.loss)),
        )
        for minimum in isoflop.optima
    )
    table = Table(("budget, FLOPs", "N of least loss", "loss"), rows)
    return Section("isoflop", "IsoFLOP curves", lead, (_isoflop_plot(report, isoflop), table))


def _isoflop_plot(report: FitReport, isoflop: IsoFlop) -> Plot:
    curves = curves_of(report.points)
    lines: list[Series] = []
    dots: list[Series] = []
    for place, curve in enumerate(curves):
        colour = theme.ladder_colour(place, len(curves))
        sizes = between(np.exp(curve.log_size[0]), np.exp(curve.log_size[-1]))
        losses = np.exp(interpolated(curve, isoflop.interpolation, np.log(sizes)))
        lines.append(line("", sizes, losses, Style(colour, size=0, width=1.5)))
        size, loss = np.exp(curve.log_size).tolist(), np.exp(curve.log_loss).tolist()
        texts = [
            f"{number(curve.budget_flops, 3)} FLOPs\nN {quantity(n)}\nloss {number(value)}"
            for n, value in zip(size, loss, strict=True)
        ]
        name = f"{number(curve.budget_flops, 2)} FLOPs"
        dots.append(Series(name, size, loss, Style(colour, size=6), texts))
    inside = [minimum for minimum in isoflop.optima if minimum.parameters is not None]
    best = Series(
        "minimum",
        [minimum.parameters for minimum in inside],
        [minimum.loss for minimum in inside],
        Style(theme.VERMILION, size=10, symbol="diamond"),
        [f"N* {quantity(minimum.parameters or 0.0)}" for minimum in inside],
    )
    hidden = [Series(s.name, s.x, s.y, s.style, in_legend=False) for s in lines]
    shown = [value for curve in (*dots, *hidden) for value in curve.y if value is not None]
    size, lowest, highest = report.points.N, min(shown), max(shown)
    figure = xy(
        [*hidden, *dots, best],
        log_axis("N, parameters", float(size.min()), float(size.max())),
        log_axis("loss" if report.points.quantity == "loss" else "1 - score", lowest, highest),
    )
    return Plot(figure, "Loss against size for each compute budget", height=460)


def coefficients_section(report: FitReport, _measured: Points) -> Section | None:
    """List the coefficients with their intervals."""
    if report.fitted is None:
        return None
    law = report.fitted.law
    named = {"E": law.E, "alpha": law.alpha, "beta": law.beta, "a": law.a, "A": law.A, "B": law.B}
    rows = tuple(
        (
            Cell(name),
            Cell(number(float(column[0]), 5)),
            Cell(interval_text(report.intervals.get(name, {}).get(80))),
            Cell(interval_text(report.intervals.get(name, {}).get(95))),
        )
        for name, column in named.items()
        if not (law.one_variable and name in ("beta", "a", "B"))
    )
    lead = f"{coupling_sentence(report)} {resample_sentence(report.draws)}"
    table = Table(("coefficient", "value", "80 %", "95 %"), rows)
    return Section("coefficients", "Coefficients", lead, (table,))


def quality_section(report: FitReport, _measured: Points) -> Section | None:
    """Draw the residuals; score the hold-out."""
    plot = residual_plot(report)
    if plot is None:
        return None
    blocks: tuple[Block, ...] = (plot,)
    score = report.hold_out
    if isinstance(score, HoldOut):
        rows = (
            (Cell("the law"), Cell(percent(score.error))),
            (Cell("a straight line of ln L"), Cell(percent(score.line_error))),
            (Cell("the nearest run"), Cell(percent(score.nearest_error))),
        )
        blocks += (Table(("predicted by", "mean error"), rows),)
    lead = f"Measured loss over the law's, run by run. {hold_out_sentence(report)}"
    return Section("quality", "How well the law holds", lead, blocks)


def envelope_section(report: FitReport, _measured: Points) -> Section | None:
    """Draw the learning curves and where each size is lowest; nothing where they allow none."""
    envelope, curves = report.envelope, report.curves
    if not isinstance(envelope, Envelope) or curves is None:
        return None
    ordered = sorted(curves.curves, key=lambda curve: curve.parameters)
    lines = [
        line(
            quantity(curve.parameters),
            curve.flops,
            curve.loss,
            Style(theme.ladder_colour(place, len(ordered)), size=0, width=1.5),
        )
        for place, curve in enumerate(ordered)
    ]
    texts = [f"N {quantity(size)}" for size in envelope.parameters.tolist()]
    style = Style(theme.VERMILION, size=10, symbol="diamond")
    best = Series("lowest", envelope.flops.tolist(), envelope.loss.tolist(), style, texts)
    shown = [value for curve in lines for value in curve.y if value is not None]
    work = np.concatenate([curve.flops for curve in ordered])
    figure = xy(
        [*lines, best],
        log_axis("C, training FLOPs", float(work.min()), float(work.max())),
        log_axis(
            "loss" if report.points.quantity == "loss" else "1 - score", min(shown), max(shown)
        ),
    )
    lead = (
        "A line for the best trial of each size, as it trained. A size is the one to train where "
        "its line lies lowest (diamond). Through them the best size grows as "
        f"C^{envelope.a:.3f}: a third opinion, without a fit."
    )
    plot = Plot(figure, "Learning curves over compute and their lower envelope", height=460)
    return Section("envelope", "Envelope of learning curves", lead, (plot,))


LAW_SECTIONS: tuple[Callable[[FitReport, Points], Section | None], ...] = (
    loss_section,
    answers_section,
    best_size_section,
    isoflop_section,
    envelope_section,
    coefficients_section,
    quality_section,
)
