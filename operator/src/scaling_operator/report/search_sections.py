"""How the search went: objective against trial number, and what mattered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate

from scaling_operator.api.experiment import Objective
from scaling_operator.api.names import TrialState
from scaling_operator.api.status import BestTrial
from scaling_operator.api.trial import ScalingTrial
from scaling_operator.report import theme
from scaling_operator.report.axes import value_axis, with_footer
from scaling_operator.report.blocks import Plot, Section
from scaling_operator.report.data import (
    POINT_LIMIT,
    ReportInput,
    drawn,
    evenly,
    kept_values,
    scale_indices,
    scale_label,
    sign,
    thinning_note,
    winners,
    with_value,
)
from scaling_operator.report.formatting import number, scalar
from scaling_operator.report.plots import (
    Axis,
    Divider,
    Series,
    Style,
    bars,
    xy,
)

_LABELLED_SCALES = 12
PRUNED = Style(theme.AMBER, size=6, symbol="triangle-down", opacity=0.75)
_LOST = {
    TrialState.FAILED: Style(theme.VERMILION, size=7, symbol="x-thin"),
    TrialState.STOPPED: Style(theme.GREY, size=7, symbol="x-thin"),
}


def history(report: ReportInput) -> Section | None:
    """Objective against trial number, with the best so far; nothing where no trial has a value."""
    if not any(with_value(report, state) for state in (TrialState.SUCCEEDED, TrialState.PRUNED)):
        return None
    places = {trial.spec.trial_id: index for index, trial in enumerate(report.trials)}
    plots = tuple(
        _history_plot(report, index, places) for index in range(len(report.spec.all_objectives))
    )
    lead = "Each point is a trial, in the order of their numbers; the line is the best so far"
    several = ", within each scale." if len(scale_indices(report)) > 1 else "."
    return Section("history", "How the search went", lead + several, plots)


def _history_plot(report: ReportInput, index: int, places: Mapping[str, int]) -> Plot:
    objective = report.spec.all_objectives[index]
    succeeded = with_value(report, TrialState.SUCCEEDED)
    pruned = with_value(report, TrialState.PRUNED)
    every = [trial.status.values[index] for trial in (*succeeded, *pruned)]
    chosen = value_axis(objective, every, kept_values(report, index))
    lost, axis = _lost(report, places, chosen.axis)
    lines = [
        _running_best(succeeded, index, objective, places),
        _points(report, pruned, index, PRUNED, places),
        _points(report, succeeded, index, Style(theme.BLUE, size=7, opacity=0.85), places),
        *lost,
    ]
    last = max(len(report.trials) - 1, 1)
    x = Axis("trial", range=(-0.5 - 0.01 * last, 0.5 + 1.01 * last))
    figure = xy([*lines, *_stars(report, index, places)], x, axis, _dividers(report))
    note = " ".join(filter(None, (chosen.note, thinning_note(report))))
    return Plot(figure, f"{objective.metric} of each trial, and the best so far", note=note)


def _running_best(
    trials: Sequence[ScalingTrial], index: int, objective: Objective, places: Mapping[str, int]
) -> Series:
    """Trace the best value so far, separately for each scale."""
    x: list[float | None] = []
    y: list[float | None] = []
    direction = sign(objective)
    for scale in sorted({trial.spec.scale for trial in trials}):
        rung = [trial for trial in trials if trial.spec.scale == scale]
        losses = list(accumulate((direction * t.status.values[index] for t in rung), min))
        for position, (trial, loss) in enumerate(zip(rung, losses, strict=True)):
            # Points between two steps would only make the page larger.
            if position in (0, len(rung) - 1) or loss != losses[position - 1]:
                x.append(places[trial.spec.trial_id])
                y.append(direction * loss)
        x.append(None)
        y.append(None)
    return Series("best so far", x, y, Style(theme.GREEN, size=0, width=2, shape="hv"))


def _points(
    report: ReportInput,
    trials: Sequence[ScalingTrial],
    index: int,
    style: Style,
    places: Mapping[str, int],
) -> Series:
    shown = drawn(trials, report.spec.all_objectives[0])
    name = trials[0].status.state.lower() if trials else ""
    return Series(
        name,
        [places[trial.spec.trial_id] for trial in shown],
        [trial.status.values[index] for trial in shown],
        style,
        [describe(report, trial) for trial in shown],
    )


def describe(report: ReportInput, trial: ScalingTrial) -> str:
    """Say what hovering over a trial shows, a line for each value and parameter."""
    status = trial.status
    values = zip(report.spec.all_objectives, status.values, strict=False)
    lines = [
        f"trial {trial.spec.trial_id} · {status.state.lower()}"
        + (f" · {status.reason}" if status.reason else ""),
        *(f"{objective.metric} {number(value)}" for objective, value in values),
        *(f"{name} {scalar(value)}" for name, value in trial.spec.parameters.items()),
    ]
    most = 14
    return "\n".join(lines[:most])


def _lost(report: ReportInput, places: Mapping[str, int], axis: Axis) -> tuple[list[Series], Axis]:
    """Trials that ended without a value, as crosses along the bottom of the axis."""
    wider, bottom = with_footer(axis)
    lost: list[Series] = []
    for state, style in _LOST.items():
        trials = [t for t in report.trials if t.status.state is state and not t.status.values]
        shown = evenly(trials, POINT_LIMIT)
        x = [places[trial.spec.trial_id] for trial in shown]
        hover = [describe(report, trial) for trial in shown]
        lost.append(Series(f"{state.lower()}, no value", x, [bottom] * len(x), style, hover))
    return (lost, wider) if any(series.x for series in lost) else (lost, axis)


def _stars(report: ReportInput, index: int, places: Mapping[str, int]) -> list[Series]:
    bests = [best for best in winners(report) if best.trial in places]
    x = [places[best.trial] for best in bests]
    y = [best.values[index] for best in bests]
    hover = [f"best: trial {best.trial}\n{number(best.values[index])}" for best in bests]
    return [Series("best" if report.status.best else "Pareto front", x, y, star(bests), hover)]


def star(bests: Sequence[BestTrial]) -> Style:
    """Return the mark of the best trial; a smaller mark for each trial of a Pareto front."""
    return Style(theme.GREEN, size=10 if bests[1:] else 14, symbol="star")


def _dividers(report: ReportInput) -> list[Divider]:
    scales = scale_indices(report)
    if not scales[1:]:
        return []
    first = {trial.spec.scale: i for i, trial in reversed(list(enumerate(report.trials)))}
    labelled = len(scales) <= _LABELLED_SCALES
    return [
        Divider(first[scale] - 0.5, scale_label(report, scale) if labelled else "")
        for scale in scales
    ]


def importance(report: ReportInput) -> Section | None:
    """Draw the share of each parameter in the variation of the objective."""
    weights = {scale: dict(shares) for scale, shares in report.importances.items() if shares}
    if not weights:
        return None
    names = {name for shares in weights.values() for name in shares}
    means = {
        name: sum(shares.get(name, 0.0) for shares in weights.values()) / len(weights)
        for name in names
    }
    order = sorted(means, key=lambda name: (-means[name], name))[:20]
    dots = _importance_dots(report, weights, order) if len(weights) > 1 else []
    top = max(*(value for shares in weights.values() for value in shares.values()), 0.01)
    figure = bars(
        order, [means[name] for name in order], dots, Axis("importance", range=(0, 1.08 * top))
    )
    lead = "How much of the objective's variation among the trials each parameter explains."
    if dots:
        lead += " Bars are the mean, dots the scales."
    height = 80 + 34 * len(order) + (30 if dots else 0)
    plot = Plot(figure, "Importance of each parameter", height=height)
    return Section("importance", "What matters", lead, (plot,))


def _importance_dots(
    report: ReportInput, weights: Mapping[int, Mapping[str, float]], order: Sequence[str]
) -> list[Series]:
    scales = sorted(weights)
    return [
        Series(
            scale_label(report, scale),
            [weights[scale].get(name, 0.0) for name in order],
            [float(row) for row in range(len(order))],
            Style(theme.ladder_colour(position, len(scales)), size=9),
            [f"{scale_label(report, scale)}\n{weights[scale].get(n, 0.0):.3f}" for n in order],
            in_legend=len(scales) <= _LABELLED_SCALES,
        )
        for position, scale in enumerate(scales)
    ]
