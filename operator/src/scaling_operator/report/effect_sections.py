"""The effect of each parameter on the objective, alone and in pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from scaling_operator.api.names import TrialState
from scaling_operator.api.search import CategoricalParameter, Parameter
from scaling_operator.api.trial import ScalingTrial
from scaling_operator.report import theme
from scaling_operator.report.axes import at_edge, parameter_axis, place, value_axis
from scaling_operator.report.blocks import Plot, PlotGrid, Section
from scaling_operator.report.data import (
    POINT_LIMIT,
    ReportInput,
    evenly,
    kept_values,
    ranked,
    scale_indices,
    scale_label,
    winners,
    with_value,
)
from scaling_operator.report.formatting import number, scalar, short_names
from scaling_operator.report.plots import Axis, ColourBar, Series, Style, coloured, xy
from scaling_operator.report.search_sections import PRUNED, describe, star

_MAX_EFFECTS = 12
_EFFECT_POINTS = 1000


def effects(report: ReportInput) -> Section | None:
    """Objective against each searched parameter, in small multiples."""
    if not with_value(report, TrialState.SUCCEEDED) or not report.spec.search.parameters:
        return None
    names = by_importance(report)
    pairs = [(i, name) for i in range(len(report.spec.all_objectives)) for name in names]
    plots = tuple(_effect_plot(report, i, name) for i, name in pairs[:_MAX_EFFECTS])
    # Two rows of two look better than three and one.
    columns = 2 if len(plots) in (1, 2, 4) else 3
    lead = "Each small plot shows one parameter against the objective; the star is the best."
    if len(scale_indices(report)) > 1:
        lead += " Colours go from the smallest scale (blue) to the largest (yellow)."
    if with_value(report, TrialState.PRUNED):
        lead += " Triangles were pruned."
    if len(report.trials) > _EFFECT_POINTS:
        lead += f" Drawn is an even sample of at most {_EFFECT_POINTS:,} trials of each kind."
    if len(pairs) > _MAX_EFFECTS:
        lead += f" The {_MAX_EFFECTS} most important of {len(pairs)} are shown."
    return Section("effects", "What each parameter does", lead, (PlotGrid(plots, columns),))


def by_importance(report: ReportInput) -> list[str]:
    """List searched parameters, the most important first, else in the file's order."""
    totals = {
        name: sum(shares.get(name, 0.0) for shares in report.importances.values())
        for name in report.spec.search.parameters
    }
    return sorted(totals, key=lambda name: -totals[name])


def _effect_plot(report: ReportInput, index: int, name: str) -> Plot:
    parameter = report.spec.search.parameters[name]
    objective = report.spec.all_objectives[index]
    succeeded = [t for t in with_value(report, TrialState.SUCCEEDED) if name in t.spec.parameters]
    pruned = [t for t in with_value(report, TrialState.PRUNED) if name in t.spec.parameters]
    values = [trial.status.values[index] for trial in succeeded]
    chosen = value_axis(objective, values, kept_values(report, index))
    scales = scale_indices(report)
    rungs = [
        _effect_points(
            [trial for trial in succeeded if trial.spec.scale == scale],
            (index, name, parameter),
            Style(theme.ladder_colour(position, len(scales)), size=6, opacity=0.8)
            if len(scales) > 1
            else Style(theme.BLUE, size=6, opacity=0.8),
        )
        for position, scale in enumerate(scales)
    ]
    # Amber is the colour of a large scale.
    cut = replace(PRUNED, colour=theme.GREY) if len(scales) > 1 else PRUNED
    faint = _effect_points(pruned, (index, name, parameter), cut)
    bests = [best for best in winners(report) if name in best.parameters]
    spots = [(place(parameter, b.parameters[name]), b.values[index]) for b in bests]
    best = Series("best", [x for x, _ in spots], [y for _, y in spots], star(bests))
    short = Axis("", chosen.axis.log, chosen.axis.range)
    figure = xy([faint, *rungs, best], parameter_axis("", parameter), short)
    figure["layout"] |= {"showlegend": False, "margin": {"l": 8, "r": 12, "t": 8, "b": 8}}
    edge = len(bests) == 1 and at_edge(parameter, bests[0].parameters[name])
    notes = (chosen.note, "The best lies at the edge of the range." if edge else "")
    several = f" → {objective.metric}" if report.spec.objectives else ""
    return Plot(
        figure,
        f"{objective.metric} against {name}",
        title=name + several,
        note=" ".join(filter(None, notes)),
        height=215,
    )


def _effect_points(
    trials: Sequence[ScalingTrial], what: tuple[int, str, Parameter], style: Style
) -> Series:
    index, name, parameter = what
    x: list[float | None] = []
    hover: list[str] = []
    shown = evenly(trials, _EFFECT_POINTS)
    for trial in shown:
        position = place(parameter, trial.spec.parameters[name])
        if position is not None and isinstance(parameter, CategoricalParameter):
            # The golden ratio spreads numbers evenly, and the same way every time.
            position += 0.5 * ((trial.spec.number * 0.618034) % 1) - 0.25
        x.append(position)
        value = scalar(trial.spec.parameters[name])
        hover.append(f"trial {trial.spec.trial_id}\n{value} → {number(trial.status.values[index])}")
    return Series("trials", x, [t.status.values[index] for t in shown], style, hover)


def pair(report: ReportInput) -> Section | None:
    """Plot the two most important numbers against each other, coloured by rank."""
    numeric = [
        name
        for name in by_importance(report)
        if not isinstance(report.spec.search.parameters[name], CategoricalParameter)
    ][:2]
    few = 10
    best = report.status.best
    if best is None or not numeric[1:]:
        return None
    order = [
        trial
        for trial in ranked(with_value(report, TrialState.SUCCEEDED), report.spec.all_objectives[0])
        if trial.spec.scale == best.scale and all(name in trial.spec.parameters for name in numeric)
    ]
    if len(order) < few:
        return None
    return _pair_section(report, evenly(order, POINT_LIMIT), (numeric[0], numeric[1]))


def _pair_section(
    report: ReportInput, order: Sequence[ScalingTrial], names: tuple[str, str]
) -> Section:
    searched = report.spec.search.parameters
    spots = [
        tuple(place(searched[name], trial.spec.parameters[name]) for name in names)
        for trial in order
    ]
    last = len(order) - 1
    # The best trials are drawn last, so that they lie on top.
    points = Series(
        "trials",
        [x for x, _ in reversed(spots)],
        [y for _, y in reversed(spots)],
        Style(theme.BLUE, size=10, opacity=0.9),
        [describe(report, trial) for trial in reversed(order)],
    )
    bar = ColourBar(
        report.spec.all_objectives[0].metric,
        tuple((p, number(order[round(p * last)].status.values[0], 3)) for p in (0, 0.25, 0.5, 1)),
    )
    figure = coloured(
        points,
        [rank / last for rank in range(last, -1, -1)],
        parameter_axis(names[0], searched[names[0]]),
        parameter_axis(names[1], searched[names[1]]),
        bar,
    )
    short = short_names(names)
    where = f" at {scale_label(report, order[0].spec.scale)}" if report.spec.scaling else ""
    lead = f"Trials{where} by their two leading parameters, coloured by rank from best to worst."
    plot = Plot(figure, f"{short[names[0]]} and {short[names[1]]} of each trial", height=400)
    return Section("pair", "Where good values lie", lead, (plot,))
