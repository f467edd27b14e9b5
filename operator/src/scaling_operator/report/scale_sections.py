"""Performance against size, where the experiment has a ladder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scaling_operator.api.names import TrialState
from scaling_operator.api.status import BestTrial, ScaleStatus
from scaling_operator.api.trial import ScalingTrial
from scaling_operator.report import theme
from scaling_operator.report.axes import padded, value_axis
from scaling_operator.report.blocks import Cell, Plot, Section, Table
from scaling_operator.report.data import (
    ReportInput,
    drawn,
    scale_label,
    thinning_note,
    with_value,
)
from scaling_operator.report.formatting import NOTHING, number, quantity, short_names
from scaling_operator.report.plots import Axis, Series, Style, xy
from scaling_operator.report.search_sections import describe

_SAME_DATA = 1.1


@dataclass(frozen=True, slots=True)
class Sizes:
    """Where scales and trials lie on the axis of size."""

    title: str
    log: bool
    scales: Mapping[int, float]
    trials: Mapping[str, float]


def ladder(report: ReportInput) -> Section | None:
    """Best value of each scale against its size, over all trials."""
    done = [scale for scale in report.status.scales if scale.best is not None]
    if report.spec.scaling is None or not done or report.spec.objectives:
        return None
    trials = with_value(report, TrialState.SUCCEEDED)
    sizes = sizes_of(report, done, trials)
    lead = (
        "The best value of each size, tuned on its own, over all trials (faint). A line joins what "
        "was measured; it is not the law, and says nothing about larger sizes."
    )
    return Section(
        "size", "Performance against size", lead, (_plot(report, done, sizes), _table(report, done))
    )


def sizes_of(
    report: ReportInput, done: Sequence[ScaleStatus], trials: Sequence[ScalingTrial]
) -> Sizes:
    """Choose the axis of size: N where every best trial has it, else the parameter, else the rung.

    Trials of a scale may differ in N, where a searched parameter changes it.
    """
    bests = {scale.index: scale.best.model_parameters for scale in done if scale.best is not None}
    counted = {index: n for index, n in bests.items() if n}
    if len(counted) == len(done):
        own = {
            t.spec.trial_id: t.status.model_parameters or counted.get(t.spec.scale, 0.0)
            for t in trials
        }
        sized = {name: size for name, size in own.items() if size}
        return Sizes("N, parameters of the model", log=True, scales=counted, trials=sized)
    name = None if report.spec.scaling is None else report.spec.scaling.parameter
    by_index = {scale.index: scale.parameters.get(name or "") for scale in done}
    sizes = {
        index: float(size)
        for index, size in by_index.items()
        if isinstance(size, int | float) and size > 0
    }
    if name is not None and len(sizes) == len(done):
        placed = {t.spec.trial_id: sizes[t.spec.scale] for t in trials if t.spec.scale in sizes}
        return Sizes(short_names([name])[name], log=True, scales=sizes, trials=placed)
    rungs = {scale.index: float(scale.index) for scale in done}
    placed = {t.spec.trial_id: float(t.spec.scale) for t in trials}
    return Sizes("scale", log=False, scales=rungs, trials=placed)


def _plot(report: ReportInput, done: Sequence[ScaleStatus], sizes: Sizes) -> Plot:
    objective = report.spec.all_objectives[0]
    trials = [
        t for t in with_value(report, TrialState.SUCCEEDED) if t.spec.trial_id in sizes.trials
    ]
    bests = [scale.best.values[0] for scale in done if scale.best is not None]
    # A power law of a loss is straight on two logarithmic axes; a score is no power law.
    straight = objective.direction == "minimize"
    chosen = value_axis(objective, [t.status.values[0] for t in trials], bests, log=straight)
    faint = drawn(trials, objective)
    points = Series(
        "trials",
        [sizes.trials[trial.spec.trial_id] for trial in faint],
        [trial.status.values[0] for trial in faint],
        Style(theme.GREY, size=5, opacity=0.45),
        [describe(report, trial) for trial in faint],
    )
    x = Axis(
        sizes.title,
        log=sizes.log,
        range=padded(
            min((*sizes.scales.values(), *sizes.trials.values())),
            max((*sizes.scales.values(), *sizes.trials.values())),
            log=sizes.log,
        ),
        ticks=() if sizes.log else _rung_ticks(report, done),
    )
    figure = xy([points, *_best_lines(report, done, sizes)], x, chosen.axis)
    note = " ".join(filter(None, (chosen.note, thinning_note(report))))
    return Plot(figure, f"{objective.metric} against size", note=note, height=420)


def _rung_ticks(report: ReportInput, done: Sequence[ScaleStatus]) -> tuple[tuple[float, str], ...]:
    return tuple((float(scale.index), scale_label(report, scale.index)) for scale in done)


def _best_lines(report: ReportInput, done: Sequence[ScaleStatus], sizes: Sizes) -> list[Series]:
    """Join the best values for each amount of data or compute that the design sets."""
    groups = list(dict.fromkeys((scale.samples, scale.budget_flops) for scale in done))
    lines: list[Series] = []
    for position, (samples, budget) in enumerate(groups):
        members = sorted(
            (scale for scale in done if (scale.samples, scale.budget_flops) == (samples, budget)),
            key=lambda scale: sizes.scales[scale.index],
        )
        bests = [(scale, scale.best) for scale in members if scale.best is not None]
        colour = theme.BLUE if len(groups) == 1 else theme.ladder_colour(position, len(groups))
        name = "best of each size"
        if samples is not None:
            name = f"D {quantity(samples)}"
        if budget is not None:
            name = f"C {number(budget)} FLOP"
        together = _saw_the_same([best for _, best in bests])
        lines.append(
            Series(
                name,
                [sizes.scales[scale.index] for scale, _ in bests],
                [best.values[0] for _, best in bests],
                Style(colour, size=9, width=2 if together else 0),
                [
                    f"{scale_label(report, scale.index)}\ntrial {best.trial}\n"
                    f"{number(best.values[0])}"
                    for scale, best in bests
                ],
            )
        )
    return lines


def _saw_the_same(bests: Sequence[BestTrial]) -> bool:
    """Whether all best trials saw about as much data, so that a line means size alone."""
    seen = [best.samples for best in bests if best.samples]
    return not seen or max(seen) <= _SAME_DATA * min(seen)


def _table(report: ReportInput, done: Sequence[ScaleStatus]) -> Table:
    metric = report.spec.all_objectives[0].metric
    rows: list[tuple[Cell, ...]] = []
    for scale in done:
        best = scale.best
        if best is None:
            continue
        counts = scale.counts
        ended = counts.succeeded + counts.pruned + counts.failed + counts.stopped
        rows.append(
            (
                Cell(scale_label(report, scale.index)),
                Cell(NOTHING if best.model_parameters is None else quantity(best.model_parameters)),
                Cell(NOTHING if best.flops is None else quantity(best.flops, "FLOP")),
                Cell(number(best.values[0])),
                Cell(f"{counts.succeeded} of {ended}"),
                Cell(best.trial),
            )
        )
    columns = ("scale", "N", "C of the best", f"best {metric}", "succeeded", "trial")
    return Table(columns, tuple(rows))
