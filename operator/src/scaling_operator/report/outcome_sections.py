"""What came out: learning curves, overfitting, confusion, what was removed, the Pareto front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

from scaling_operator.api.names import TrialState
from scaling_operator.api.status import BestTrial
from scaling_operator.api.trial import ScalingTrial
from scaling_operator.report import theme
from scaling_operator.report.axes import value_axis
from scaling_operator.report.blocks import Block, Cell, Details, Plot, Section, Table
from scaling_operator.report.data import (
    Confusion,
    ReportInput,
    drawn,
    evenly,
    in_state,
    kept_values,
    ranked,
    scale_indices,
    scale_label,
    with_value,
)
from scaling_operator.report.formatting import (
    NOTHING,
    number,
    percent,
    plural,
    scalar,
    short_names,
    shortened,
)
from scaling_operator.report.headline import scores_on_test
from scaling_operator.report.plots import Axis, Series, Style, matrix, xy
from scaling_operator.report.search_sections import describe

_MAX_CURVES = 60
_MAX_STRONG = 5
_MAX_PAIRS = 6


def curves(report: ReportInput) -> Section | None:
    """Objective against step: the best trials in colour, the other trials faint."""
    if report.spec.objectives:
        return None
    objective = report.spec.all_objectives[0]
    succeeded = [
        trial
        for trial in ranked(with_value(report, TrialState.SUCCEEDED), objective)
        if len(trial.status.curve) > 1
    ]
    pruned = [trial for trial in in_state(report, TrialState.PRUNED) if trial.status.curve]
    if not succeeded and not pruned:
        return None
    several = len(scale_indices(report)) > 1
    strong = _strong(report, succeeded)
    chosen_ids = {trial.spec.trial_id for trial in strong}
    rest = [trial for trial in succeeded if trial.spec.trial_id not in chosen_ids]
    half = (_MAX_CURVES - len(strong)) // 2
    faint = evenly(rest, max(half, 2 * half - len(pruned)))
    cut = evenly(pruned, 2 * half - len(faint))
    shown = (*strong, *faint, *cut)
    chosen = value_axis(objective, [point.value for t in shown for point in t.status.curve])
    figure = xy(
        [
            _faint("pruned", cut, Style(theme.AMBER, size=0, width=1, opacity=0.45)),
            _faint("succeeded", faint, Style(theme.GREY, size=0, width=1, opacity=0.45)),
            *_strong_lines(report, strong),
        ],
        Axis("step"),
        chosen.axis,
    )
    # The legend begins with the best, which is drawn last.
    figure["layout"]["legend"] |= {"traceorder": "normal" if several else "reversed"}
    lead = (
        "The objective while training, at 64 evaluations at most. The best trials are drawn strong."
    )
    total = len(succeeded) + len(pruned)
    thinned = f"Drawn are {len(shown)} of {total:,} curves." if len(shown) < total else ""
    note = " ".join(filter(None, (thinned, chosen.note)))
    plot = Plot(figure, f"{objective.metric} against step", note=note, height=380)
    return Section("curves", "How training went", lead, (plot,))


def _strong(report: ReportInput, order: Sequence[ScalingTrial]) -> list[ScalingTrial]:
    """Choose the best few trials of the only scale, or the best trial of each scale."""
    scales = scale_indices(report)
    if len(scales) == 1:
        return list(order[:_MAX_STRONG])
    firsts = [next((t for t in order if t.spec.scale == scale), None) for scale in scales]
    return list(evenly([trial for trial in firsts if trial is not None], 12))


def _strong_lines(report: ReportInput, strong: Sequence[ScalingTrial]) -> list[Series]:
    several = len(scale_indices(report)) > 1
    lines: list[Series] = []
    for position, trial in enumerate(strong):
        colour = theme.ladder_colour(position, len(strong)) if several else theme.DISTINCT[position]
        name = scale_label(report, trial.spec.scale) if several else f"trial {trial.spec.trial_id}"
        points = trial.status.curve
        lines.append(
            Series(
                name,
                [point.step for point in points],
                [point.value for point in points],
                Style(colour, size=0, width=2.4),
                [f"{name}\nstep {point.step}: {number(point.value)}" for point in points],
            )
        )
    # The best trial of all is drawn last, on top.
    return lines if several else lines[::-1]


def _faint(name: str, trials: Sequence[ScalingTrial], style: Style) -> Series:
    x: list[float | None] = []
    y: list[float | None] = []
    for trial in trials:
        x += [*(point.step for point in trial.status.curve), None]
        y += [*(point.value for point in trial.status.curve), None]
    return Series(name, x, y, style)


def overfitting(report: ReportInput) -> Section | None:
    """Training against validation (and test) of the best, and over the scales."""
    best = report.status.best
    if best is None:
        return None
    rows = _gap_rows(best)
    if not rows:
        return None
    columns = ("metric", "training", "validation", "gap", "test")
    if not best.test_metrics:
        columns = columns[:-1]
        rows = tuple(row[:-1] for row in rows)
    lead = (
        "The best trial on the rows that it learned from and on those that tuning looked at. The "
        "gap is validation minus training; where training is much better, it overfits."
    )
    plots = _gap_plots(report)
    return Section("overfitting", "Does it overfit?", lead, (Table(columns, rows), *plots))


def _gap_rows(best: BestTrial) -> tuple[tuple[Cell, ...], ...]:
    tests = scores_on_test(best)
    rows: list[tuple[Cell, ...]] = []
    for name, trained in best.metrics.items():
        plain = name.removeprefix("train_")
        validated = best.metrics.get(f"val_{plain}")
        if plain == name or validated is None:
            continue
        cells = (trained, validated, validated - trained, tests.get(plain))
        texts = (NOTHING if cell is None else number(cell) for cell in cells)
        rows.append((Cell(plain), *map(Cell, texts)))
    return tuple(rows)


def _gap_plots(report: ReportInput) -> tuple[Plot, ...]:
    objective = report.spec.all_objectives[0]
    plain = objective.metric.removeprefix("val_")
    evaluated = [
        (scale_label(report, scale.index), scale.best.metrics)
        for scale in report.status.scales
        if scale.best is not None
        and {f"train_{plain}", f"val_{plain}"} <= scale.best.metrics.keys()
    ]
    if not evaluated[1:]:
        return ()
    ticks = tuple((float(place), label) for place, (label, _) in enumerate(evaluated))
    values = [metrics[f"{part}_{plain}"] for part in ("train", "val") for _, metrics in evaluated]
    axis = value_axis(objective, values, values).axis
    lines = [
        Series(
            name,
            [x for x, _ in ticks],
            [metrics[f"{part}_{plain}"] for _, metrics in evaluated],
            Style(colour, size=8, width=2),
            [
                f"{label}\n{name} {number(metrics[f'{part}_{plain}'])}"
                for label, metrics in evaluated
            ],
        )
        for name, part, colour in (
            ("training", "train", theme.AMBER),
            ("validation", "val", theme.BLUE),
        )
    ]
    axis = Axis(plain, axis.log, axis.range)
    figure = xy(lines, Axis("best trial of each scale", ticks=ticks), axis)
    return (Plot(figure, f"Training and validation {plain} by scale", height=300),)


def confusion(report: ReportInput) -> Section | None:
    """Draw which classes the best trial takes for which, on the test part."""
    table = report.confusion
    if table is None or not table.classes:
        return None
    names = [shortened(name, 20) for name in table.classes]
    size = max(260, min(36 * len(names) + 110, 640))
    figure = matrix(names, table.counts, Axis("predicted"), Axis("truth"))
    plot = Plot(
        figure, "Confusion matrix on the test part", height=size, width=max(320, size + 100)
    )
    lead = "The best trial on the test part: rows are the truth, columns what it said. "
    return Section("confusion", "What it confuses", lead + _confusion_summary(table), (plot,))


def _confusion_summary(table: Confusion) -> str:
    total = sum(map(sum, table.counts))
    if not total:
        return "The test part is empty."
    right = sum(row[place] for place, row in enumerate(table.counts))
    sentence = f"{right:,} of {plural(total, 'row')} are right ({percent(right / total)})"
    wrong = [
        (count, table.classes[truth], table.classes[guess])
        for truth, row in enumerate(table.counts)
        for guess, count in enumerate(row)
        if truth != guess and count
    ]
    if not wrong:
        return f"{sentence}."
    count, truth, guess = max(wrong, key=lambda case: case[0])
    return f"{sentence}; most often {truth} is taken for {guess} ({plural(count, 'time')})."


def removed(report: ReportInput) -> Section | None:
    """Count what preprocessing left out of the data."""
    counts: Mapping[str, int] = {what: count for what, count in report.removed.items() if count}
    if not counts:
        return None
    rows = tuple(
        (Cell(what.replace("_", " ").replace(".", ": ")), Cell(f"{count:,}"))
        for what, count in counts.items()
    )
    lead = "What preprocessing counted or left out before training began."
    return Section("removed", "What preprocessing found", lead, (Table(("what", "count"), rows),))


def front(report: ReportInput) -> Section | None:
    """Pairs of objectives, with the trials that no other trial beats."""
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
    best = sorted(report.status.front, key=lambda winner: winner.values[pair[0]])
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
        [winner.values[pair[0]] for winner in best],
        [winner.values[pair[1]] for winner in best],
        Style(theme.GREEN, size=9, width=width, dash="dot"),
        [_describe_best(report, winner) for winner in best],
    )
    title = f"{objectives[pair[1]].metric} against {objectives[pair[0]].metric}"
    note = " ".join(filter(None, (across.note, up.note)))
    return Plot(xy([points, line], across.axis, up.axis), title, note=note, height=420)


def _front_table(report: ReportInput) -> Block:
    best = sorted(report.status.front, key=lambda winner: winner.values)
    used = {name: name for winner in best for name in winner.parameters}
    short = short_names(used)
    columns = ("trial", *(o.metric for o in report.spec.objectives), *(short[n] for n in used))
    rows = tuple(
        (
            Cell(winner.trial),
            *(Cell(number(value), value) for value in winner.values),
            *(Cell(_parameter(winner, name)) for name in used),
        )
        for winner in best
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
