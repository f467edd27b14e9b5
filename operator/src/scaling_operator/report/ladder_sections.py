"""What a ladder's fit adds to an experiment's report: trends, predictions, the law's sections."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scaling_operator.api.search import CategoricalParameter
from scaling_operator.api.status import ScaleStatus
from scaling_operator.api.status_fit import Interval, ScalePrediction
from scaling_operator.law.bootstrap import Interval as Ends
from scaling_operator.law.holdout import HoldOut
from scaling_operator.law.hyperparameter_trends import BestAt, TrendLine
from scaling_operator.law.points import Array, Points
from scaling_operator.report import theme
from scaling_operator.report.axes import padded
from scaling_operator.report.blocks import Block, Cell, Plot, PlotGrid, Section, Table
from scaling_operator.report.data import LawInput, ReportInput, scale_label
from scaling_operator.report.formatting import NOTHING, number, percent, quantity, short_names
from scaling_operator.report.law_series import between, line, log_axis
from scaling_operator.report.plots import Axis, Series, Style, xy
from scaling_operator.report.words import interval_text

_SIZE = "N, parameters"


def hyperparameters(report: ReportInput) -> Section | None:
    """Draw each searched number's best value over size, with the power law through them."""
    if report.law is None:
        return None
    names = short_names(report.law.best_values)
    plots = tuple(
        _trend_plot(report, report.law, name, names[name])
        for name, values in report.law.best_values.items()
        if len(values) > 1
    )
    if not plots:
        return None
    lead = (
        "The best value of each size. The line is a power law through those that lie within their "
        "range; crosses lie at an end of it, where the true best may be beyond."
    )
    rows = tuple(
        (Cell(name), Cell(number(trend.exponent, 3)), *map(Cell, _ends(trend)))
        for name, trend in report.law.lines.items()
    )
    first, *others = plots
    blocks: tuple[Block, ...] = (PlotGrid(plots, columns=2) if others else first,)
    if rows:
        blocks += (Table(("parameter", "moves as N to the power", "80 %", "95 %"), rows),)
    return Section("hyperparameters", "Best hyperparameters against size", lead, blocks)


def predictions(report: ReportInput) -> Section | None:
    """Draw what was predicted against what was seen: fitted, held out, and before training."""
    law = report.law
    if law is None or law.fit.fitted is None:
        return None
    checked = [
        (scale, scale.predicted)
        for scale in report.status.scales
        if scale.predicted is not None and scale.predicted.seen is not None
    ]
    lead = (
        "On the line, what was seen is what the law says. The runs behind the law lie close to it "
        "by their making; those that were held out, and those that the law foretold before their "
        "first trial, are its test."
    )
    blocks: tuple[Block, ...] = (_agreement_plot(law, checked),)
    if checked:
        rows = tuple(_prediction_row(report, scale, prediction) for scale, prediction in checked)
        columns = ("scale", "N", "predicted", "80 %", "95 %", "seen", "off by", "within")
        blocks += (Table(columns, rows),)
    return Section("predicted", "Predicted against seen", lead, blocks)


def _trend_plot(report: ReportInput, law: LawInput, name: str, short: str) -> Plot:
    values = law.best_values[name]
    parameter = report.spec.search.parameters[name]
    log = not isinstance(parameter, CategoricalParameter) and parameter.log
    inside = [best for best in values if not best.at_edge]
    edges = [best for best in values if best.at_edge]
    series: list[Series] = []
    trend = law.lines.get(name)
    sizes = [best.parameters for best in values]
    if trend is not None:
        series.append(_trend_line(trend, sizes))
    series.append(_dots("best of a size", inside, Style(theme.BLUE, size=9)))
    series.append(
        _dots("at an end of its range", edges, Style(theme.GREY, size=9, symbol="x-thin"))
    )
    shown = [y for curve in series for y in curve.y if y is not None]
    low, high = min(shown), max(shown)
    y = log_axis(short, low, high) if log else Axis(short, range=padded(low, high, log=False))
    x = log_axis(_SIZE, min(sizes), max(sizes))
    return Plot(xy(series, x, y), f"Best {name} against size", title=name, height=340)


def _trend_line(trend: TrendLine, sizes: Sequence[float]) -> Series:
    places = between(min(sizes), max(sizes))
    heights = np.exp(trend.intercept + trend.exponent * np.log(places))
    return line(f"N^{trend.exponent:.2f}", places, heights, Style(theme.AMBER, size=0, width=2))


def _dots(name: str, values: Sequence[BestAt], style: Style) -> Series:
    return Series(
        name,
        [best.parameters for best in values],
        [best.value for best in values],
        style,
        [f"{best.trial}\nN {quantity(best.parameters)}\n{number(best.value)}" for best in values],
    )


def _ends(trend: TrendLine) -> tuple[str, ...]:
    return tuple(interval_text(trend.intervals.get(level), exponent=True) for level in (80, 95))


def _agreement_plot(law: LawInput, checked: Sequence[tuple[ScaleStatus, ScalePrediction]]) -> Plot:
    fit = law.fit
    expected = (
        fit.points.L * np.exp(fit.fitted.residuals) if fit.fitted is not None else fit.points.L
    )
    series = [_pairs("fitted", expected, fit.points, Style(theme.BLUE, size=7))]
    if isinstance(fit.hold_out, HoldOut):
        held, style = fit.hold_out, Style(theme.AMBER, size=8, symbol="diamond")
        series.append(_pairs("held out", held.predicted, held.large, style))
    series += _predicted(fit.points.quantity == "error", checked)
    shown = [value for curve in series for value in (*curve.x, *curve.y) if value is not None]
    low, high = min(shown), max(shown)
    diagonal = Style(theme.GREY, size=0, width=1.5)
    series.insert(0, Series("seen as predicted", [low, high], [low, high], diagonal))
    what = "loss" if fit.points.quantity == "loss" else "1 - score"
    figure = xy(
        series, log_axis(f"predicted {what}", low, high), log_axis(f"seen {what}", low, high)
    )
    return Plot(figure, "Predicted against seen on two logarithmic axes", height=440)


def _pairs(name: str, predicted: Array, points: Points, style: Style) -> Series:
    names = points.name if points.name is not None else points.row.astype(str)
    return Series(
        name,
        predicted.tolist(),
        points.L.tolist(),
        style,
        [
            f"{who}\npredicted {number(p)}\nseen {number(s)}"
            for who, p, s in zip(names.tolist(), predicted, points.L, strict=True)
        ],
    )


def _predicted(
    is_error: bool,  # noqa: FBT001 - private
    checked: Sequence[tuple[ScaleStatus, ScalePrediction]],
) -> list[Series]:
    """Mark predictions that were made before training, with their 80 % intervals as bars."""

    def loss(value: float | None) -> float | None:
        return None if value is None else 1.0 - value if is_error else value

    bars: list[tuple[float | None, float | None]] = []
    for _, prediction in checked:
        spread = prediction.interval80 or Interval()
        bars += [
            (loss(spread.low), loss(prediction.seen)),
            (loss(spread.high), loss(prediction.seen)),
        ]
        bars.append((None, None))
    thick = Style(theme.VERMILION, size=0, width=3, opacity=0.6)
    spans = Series("80 % before training", [x for x, _ in bars], [y for _, y in bars], thick)
    marks = Series(
        "before training",
        [loss(prediction.value) for _, prediction in checked],
        [loss(prediction.seen) for _, prediction in checked],
        Style(theme.VERMILION, size=11, symbol="star"),
        [
            f"scale {scale.index}\npredicted {number(prediction.value)}\n"
            f"seen {number(prediction.seen or 0.0)}"
            for scale, prediction in checked
        ],
    )
    return [spans, marks]


def _prediction_row(
    report: ReportInput, scale: ScaleStatus, prediction: ScalePrediction
) -> tuple[Cell, ...]:
    within = {"80": "80 %", "95": "95 %", "outside": "neither", None: NOTHING}[prediction.within]
    texts = (
        scale_label(report, scale.index),
        quantity(prediction.model_parameters),
        number(prediction.value),
        interval_text(_interval(prediction.interval80)),
        interval_text(_interval(prediction.interval95)),
        NOTHING if prediction.seen is None else number(prediction.seen),
        NOTHING if prediction.error is None else percent(prediction.error),
        within,
    )
    return tuple(Cell(text) for text in texts)


def _interval(interval: Interval | None) -> Ends | None:
    if interval is None:
        return None
    low = -np.inf if interval.low is None else interval.low
    return low, np.inf if interval.high is None else interval.high
