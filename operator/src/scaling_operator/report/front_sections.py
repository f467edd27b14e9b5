"""The Pareto front of several objectives."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from scaling_operator.api.names import TrialState
from scaling_operator.api.status import BestTrial
from scaling_operator.api.trial import ScalingTrial
from scaling_operator.report import theme
from scaling_operator.report.axes import value_axis
from scaling_operator.report.blocks import Block, Cell, Details, Plot, Section, Table
from scaling_operator.report.data import ReportInput, drawn, kept_values, with_value
from scaling_operator.report.formatting import NOTHING, number, scalar, short_names, shortened
from scaling_operator.report.plots import Series, Style, xy
from scaling_operator.report.search_sections import describe

_MAX_PAIRS = 6


def front(report: ReportInput) -> Section | None:
    """Pairs of objectives, with the trials that nothing beats."""
    trials = with_value(report, TrialState.SUCCEEDED)
    if not report.spec.objectives or not trials:
        return None
    pairs = list(combinations(range(len(report.spec.objectives)), 2))[:_MAX_PAIRS]
    lead = (
        "Green trials are not beaten by any other in all objectives at once: which one is best "
        "depends on what matters more."
    )
    most = 50
    if len(report.status.front) >= most:
        lead += f" {most} of them are kept."
    plots = tuple(_front_plot(report, trials, pair) for pair in pairs)
    return Section("front", "The trade-off", lead, (*plots, _front_table(report)))


def _front_plot(report: ReportInput, trials: Sequence[ScalingTrial], pair: tuple[int, int]) -> Plot:
    objectives = report.spec.objectives
    across, up = (
        value_axis(objectives[i], [t.status.values[i] for t in trials], kept_values(report, i))
        for i in pair
    )
    shown = drawn(trials, objectives[0])
    best = sorted(report.status.front, key=lambda found: found.values[pair[0]])
    # With more than two objectives the front is a surface: a line through it would mislead.
    width = 0 if objectives[2:] else 1.5
    points = Series(
        "trials",
        [trial.status.values[pair[0]] for trial in shown],
        [trial.status.values[pair[1]] for trial in shown],
        Style(theme.GREY, size=6, opacity=0.5),
        [describe(report, trial) for trial in shown],
    )
    line = Series(
        "Pareto front",
        [found.values[pair[0]] for found in best],
        [found.values[pair[1]] for found in best],
        Style(theme.GREEN, size=9, width=width, dash="dot"),
        [_describe_best(report, found) for found in best],
    )
    title = f"{objectives[pair[1]].metric} against {objectives[pair[0]].metric}"
    note = " ".join(filter(None, (across.note, up.note)))
    return Plot(xy([points, line], across.axis, up.axis), title, note=note, height=420)


def _front_table(report: ReportInput) -> Block:
    best = sorted(report.status.front, key=lambda found: found.values)
    used = {name: name for found in best for name in found.parameters}
    short = short_names(used)
    columns = ("trial", *(o.metric for o in report.spec.objectives), *(short[n] for n in used))
    rows = tuple(
        (
            Cell(found.trial),
            *(Cell(number(value), value) for value in found.values),
            *(Cell(_parameter(found, name)) for name in used),
        )
        for found in best
    )
    few = 10
    if len(rows) <= few:
        return Table(columns, rows)
    return Details(f"The {len(rows)} trials of the front", Table(columns, rows, sortable=True))


def _parameter(best: BestTrial, name: str) -> str:
    return shortened(scalar(best.parameters[name]), 40) if name in best.parameters else NOTHING


def _describe_best(report: ReportInput, best: BestTrial) -> str:
    values = zip(report.spec.all_objectives, best.values, strict=False)
    return "\n".join(
        [f"trial {best.trial}", *(f"{o.metric} {number(value)}" for o, value in values)]
    )
