"""The plots of a fit: loss against size, the best size against compute, residuals."""

from __future__ import annotations

import numpy as np

from scaling_operator.api.scaling import Target
from scaling_operator.law.bootstrap import Intervals
from scaling_operator.law.isoflop import optimal_size
from scaling_operator.law.law import Law, loss
from scaling_operator.law.optimum import allocate
from scaling_operator.law.points import Array, Points, select
from scaling_operator.law.results import FitReport
from scaling_operator.report import theme
from scaling_operator.report.blocks import Plot
from scaling_operator.report.formatting import number, plural, quantity
from scaling_operator.report.law_series import (
    ComputeBin,
    band,
    between,
    compute_bins,
    line,
    log_axis,
    run_series,
    run_text,
    sound_draws,
)
from scaling_operator.report.plots import Axis, Series, Style, xy
from scaling_operator.report.words import recommendation_sentence

_BAND_OPACITY = 0.18
_BEYOND = 2.0
"""The curve of one compute extends by this factor beyond the sizes of its runs."""
_FAR_OUT = 2.0
"""Runs left out above this factor times the largest loss kept are not drawn on the axis."""
_SIZE = "N, parameters"
_COMPUTE = "C, training FLOPs"


def loss_against_size(report: FitReport, measured: Points) -> Plot | None:
    """Draw runs, the law at their compute, and the least loss on to the targets."""
    if report.fitted is None:
        return None
    law, points = report.fitted.law, report.points
    series = _one_curve(report) if law.one_variable else _curves_and_optimum(report)
    series += _runs(report, measured)
    series += _targets(report, "loss")
    series += [
        Series(
            "prediction",
            [prediction.parameters for prediction in report.predictions],
            [prediction.loss for prediction in report.predictions],
            Style(theme.PURPLE, size=10, symbol="diamond"),
            [
                _prediction_text(prediction.loss, prediction.intervals)
                for prediction in report.predictions
            ],
        )
    ]
    sizes = [
        *measured.N,
        *(run.parameters for run in (*report.recommendation, *report.predictions)),
    ]
    out = select(measured, np.isin(measured.row, report.dropped))
    near = points.L.max() * _FAR_OUT >= out.L
    losses = [*points.L, *out.L[near], *(prediction.loss for prediction in report.predictions)]
    losses += [answer.loss for answer in report.recommendation if answer.loss is not None]
    quantity_name = "loss" if points.quantity == "loss" else "1 - score"
    figure = xy(
        series,
        log_axis(_SIZE, float(min(sizes)), float(max(sizes))),
        log_axis(quantity_name, float(min(losses)), float(max(losses))),
    )
    beyond = int(np.sum(~near))
    note = f"{plural(beyond, 'run')} of those left out beyond the axis." if beyond else ""
    return Plot(figure, "Loss against size on two logarithmic axes", note=note, height=520)


def size_against_compute(report: FitReport) -> Plot | None:
    """Draw the best size for each compute, by either method, on to the targets."""
    points, fitted, isoflop = report.points, report.fitted, report.isoflop
    parametric = fitted is not None and not fitted.law.one_variable
    if points.C is None or not (parametric or (isoflop is not None and isoflop.power is not None)):
        return None
    asked = [answer.flops for answer in report.recommendation if answer.flops is not None]
    work = between(points.C.min(), max(points.C.max(), *asked, 0.0))
    series: list[Series] = []
    if fitted is not None and parametric:
        series += _optimal_sizes(report, fitted.law, work)
    series += _isoflop_sizes(report, work)
    series += _targets(report, "size")
    shown = [y for curve in series for y in curve.y if y is not None]
    edge = float(points.C.max())
    low, high = min(shown), max(shown)
    if work[-1] > edge:
        measured = Style(theme.GREY, size=0, width=1, dash="dot")
        series.insert(0, Series("largest measured C", [edge, edge], [low, high], measured))
    figure = xy(
        series,
        log_axis(_COMPUTE, float(work[0]), float(work[-1])),
        log_axis("N*, the size of least loss", low, high),
    )
    return Plot(figure, "Best size against compute on two logarithmic axes", height=420)


def residual_plot(report: FitReport) -> Plot | None:
    """Draw how far each fitted run lies from the law, in per cent of its prediction."""
    if report.fitted is None:
        return None
    points = report.points
    off = 100 * np.expm1(-report.fitted.residuals)
    bins = compute_bins(points)
    series = [run_series(points, compute_bin, off) for compute_bin in bins]
    if not bins:
        everything = ComputeBin(np.ones(len(points), dtype=np.bool_), 0.0, "runs", theme.BLUE)
        series = [run_series(points, everything, off)]
    zero = [float(points.N.min()), float(points.N.max())]
    series.insert(0, Series("the law", zero, [0.0, 0.0], Style(theme.GREY, size=0, width=1.5)))
    x = log_axis(_SIZE, *zero)
    figure = xy(series, x, Axis("measured over predicted, % off"))
    note = f"Standard deviation {np.std(off):.2g} %, largest {np.abs(off).max():.2g} %."
    return Plot(figure, "Relative residual of each run against size", note=note, height=320)


def _curves_and_optimum(report: FitReport) -> list[Series]:
    """Draw the law at each compute with its band, then the least loss over all sizes."""
    fitted, draws, points = report.fitted, report.draws, report.points
    if fitted is None:
        return []
    bands: list[Series] = []
    curves: list[Series] = []
    factor = report.path.flops_factor
    for compute_bin in compute_bins(points):
        own = points.N[compute_bin.member]
        sizes = between(own.min() / _BEYOND, own.max() * _BEYOND)
        tokens = compute_bin.flops / (factor * sizes)
        if draws is not None and sound_draws(draws.law):
            drawn = loss(draws.law, sizes, tokens)
            bands.append(band("80 % band", sizes, drawn, _band(compute_bin.colour)))
        style = Style(compute_bin.colour, size=0, width=1.5)
        curves.append(line("law", sizes, loss(fitted.law, sizes, tokens)[0], style))
    return [*_hidden([*bands, *curves]), *_optimum_line(report, fitted.law)]


def _optimum_line(report: FitReport, law: Law) -> list[Series]:
    points = report.points
    if points.C is None:
        return []
    asked = [answer.flops for answer in report.recommendation if answer.flops is not None]
    work = between(points.C.min(), max(points.C.max(), *asked, 0.0))
    best = [allocate(law, Target(flops=float(c)), report.path) for c in work]
    sizes = np.array([optimum.parameters[0] for optimum in best])
    least = np.array([optimum.loss[0] for optimum in best])
    measured = work <= points.C.max()
    ink = Style(theme.VERMILION, size=0, width=2.5)
    beyond = Style(theme.VERMILION, size=0, width=2.5, dash="dash")
    series = [
        line("least loss L*, N*(C)", sizes[measured], least[measured], ink),
        line("extrapolated", sizes[~measured], least[~measured], beyond),
    ]
    if report.draws is None:
        return series
    drawn = [allocate(report.draws.law, Target(flops=float(c)), report.path).loss for c in work]
    cover = band("80 % of L*", sizes, np.stack(drawn, axis=1), _band(theme.VERMILION))
    return [*_hidden([cover]), *series]


def _one_curve(report: FitReport) -> list[Series]:
    fitted, draws = report.fitted, report.draws
    if fitted is None:
        return []
    asked = [run.parameters for run in (*report.recommendation, *report.predictions)]
    largest = float(report.points.N.max())
    sizes = between(report.points.N.min(), max(largest, *asked, 0.0))
    curve = loss(fitted.law, sizes, None)[0]
    measured = sizes <= largest
    solid = Style(theme.VERMILION, size=0, width=2.5)
    dashed = Style(theme.VERMILION, size=0, width=2.5, dash="dash")
    series = [
        line("law", sizes[measured], curve[measured], solid),
        line("extrapolated", sizes[~measured], curve[~measured], dashed),
    ]
    if draws is None or not sound_draws(draws.law):
        return series
    return [band("80 % band", sizes, loss(draws.law, sizes, None), _band(theme.VERMILION)), *series]


def _runs(report: FitReport, measured: Points) -> list[Series]:
    """Draw the runs by compute, and those left out by rule as crosses."""
    points = report.points
    bins = compute_bins(points)
    series = [run_series(points, compute_bin, points.L) for compute_bin in bins]
    if not bins:
        everything = ComputeBin(np.ones(len(points), dtype=np.bool_), 0.0, "runs", theme.BLUE)
        series = [run_series(points, everything, points.L)]
    out = select(measured, np.isin(measured.row, report.dropped))
    crosses = Style(theme.GREY, size=7, symbol="x-thin")
    texts = [run_text(out, row) for row in range(len(out))]
    return [*series, Series("left out by rule", _floats(out.N), _floats(out.L), crosses, texts)]


def _optimal_sizes(report: FitReport, law: Law, work: Array) -> list[Series]:
    def sizes(of: Law) -> Array:
        columns = [allocate(of, Target(flops=float(c)), report.path).parameters for c in work]
        return np.stack(columns, axis=1)

    best = line("parametric fit", work, sizes(law)[0], Style(theme.VERMILION, size=0, width=2.5))
    if report.draws is None or not sound_draws(report.draws.law):
        return [best]
    cover = band("parametric, 80 %", work, sizes(report.draws.law), _band(theme.VERMILION))
    return [cover, best]


def _isoflop_sizes(report: FitReport, work: Array) -> list[Series]:
    isoflop = report.isoflop
    if isoflop is None or isoflop.power is None:
        return []
    series: list[Series] = []
    if isoflop.draws is not None:
        drawn = [optimal_size(isoflop.draws, float(c)) for c in work]
        series.append(band("IsoFLOP, 80 %", work, np.stack(drawn, axis=1), _band(theme.BLUE)))
    power = isoflop.power
    path = np.array([optimal_size(power, float(c))[0] for c in work])
    series.append(line("IsoFLOP", work, path, Style(theme.BLUE, size=0, width=2, dash="dash")))
    inside = [minimum for minimum in isoflop.optima if minimum.parameters is not None]
    series.append(
        Series(
            "IsoFLOP minima",
            [minimum.budget_flops for minimum in inside],
            [minimum.parameters for minimum in inside],
            Style(theme.BLUE, size=8, symbol="diamond"),
            [
                f"{number(minimum.budget_flops, 3)} FLOPs\nN {quantity(minimum.parameters or 0.0)}"
                for minimum in inside
            ],
        )
    )
    return series


def _targets(report: FitReport, what: str) -> list[Series]:
    """Mark the answers with a star, and their 80 % interval of size with a bar."""
    stars: list[tuple[float, float, str]] = []
    bars: list[tuple[float | None, float | None]] = []
    for answer in report.recommendation:
        height = answer.loss if what == "loss" else answer.parameters
        place = answer.parameters if what == "loss" else answer.flops
        if height is None or place is None:
            continue
        text = recommendation_sentence(answer, report.options.flat_percent)
        stars.append((place, height, text.replace(" on ", "\non ").replace("; ", ";\n")))
        ends = answer.intervals.get("parameters", {}).get(80, ())
        if all(np.isfinite(ends)):
            bars += [(end, height) if what == "loss" else (place, end) for end in ends]
        bars.append((None, None))
    thick = Style(theme.AMBER, size=0, width=4)
    spans = Series("80 % of N*", [x for x, _ in bars], [y for _, y in bars], thick)
    marks = Style(theme.AMBER, size=13, symbol="star")
    marked = Series(
        "target", [x for x, _, _ in stars], [y for _, y, _ in stars], marks, [t for *_, t in stars]
    )
    return [spans, marked]


def _prediction_text(expected: float, spread: Intervals) -> str:
    parts = [f"{level} %: {number(low)} to {number(high)}" for level, (low, high) in spread.items()]
    return "\n".join([f"expected loss {number(expected)}", *parts])


def _band(colour: str) -> Style:
    return Style(colour, size=0, opacity=_BAND_OPACITY, fill=True)


def _hidden(series: list[Series]) -> list[Series]:
    return [Series(s.name, s.x, s.y, s.style, s.hover, in_legend=False) for s in series]


def _floats(values: Array) -> list[float]:
    return [float(value) for value in values]
