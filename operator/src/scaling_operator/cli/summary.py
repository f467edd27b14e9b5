"""What has become of an experiment, for the terminal: outcome, best trial, ladder, recommendations.

`scaling run` and `watch` print it at the end, `scaling get` at any time.
"""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from scaling_operator.api.experiment import ExperimentSpec, ScalingExperiment
from scaling_operator.api.names import FIT_CONDITIONS, ConditionReason, ConditionType, Phase
from scaling_operator.api.status import BestTrial, ExperimentStatus, ScaleStatus
from scaling_operator.api.status_fit import Recommendation
from scaling_operator.cli.console import styled
from scaling_operator.cli.progress import describe, ended, shown
from scaling_operator.core.fit_types import plan_of
from scaling_operator.report.words import run_words


def print_summary(
    console: Console,
    experiment: ScalingExperiment,
    status: ExperimentStatus,
    out: Path,
    *,
    interrupted: bool,
) -> None:
    """Print the outcome, the best, the ladder, and where the files are."""
    word = "Interrupted" if interrupted else status.phase.value
    print_head(console, experiment.metadata.name, status, word)
    print_findings(console, experiment.spec, status)
    if interrupted:
        console.print(f"Stopped. The same command goes on from here; results so far: {out}")
        return
    if status.phase is Phase.SUSPENDED:
        console.print("Suspended: set spec.suspend to false, or raise the budget, and run again")
        return
    console.print(f"Report: {out / 'report.html'}")


def print_head(console: Console, name: str, status: ExperimentStatus, word: str) -> None:
    """Print what became of the trials, after a word for the experiment."""
    counts = status.counts
    console.print(
        styled(
            (name, "bold"),
            f" {word}:"
            f" {ended(counts)} of {counts.max} trials,"
            f" {counts.succeeded} succeeded, {counts.pruned} pruned, {counts.failed} failed,"
            f" {counts.stopped} stopped",
        )
    )


def print_findings(console: Console, spec: ExperimentSpec, status: ExperimentStatus) -> None:
    """Print why the experiment ended, its best trial, its ladder and the fit."""
    for line in hindrances(status):
        console.print(line)
    for note in status.data_notes:
        console.print(f"Data: {note}")
    _print_reasons(console, status)
    _print_best(console, spec, status)
    if len(status.scales) > 1:
        console.print(_ladder(spec, status))
    for line in fit_lines(status):
        console.print(line)


def hindrances(status: ExperimentStatus) -> list[str]:
    """Say why nothing starts: the experiment is not accepted, or its trials get no machine."""
    return [
        f"{condition.type} is False, {condition.reason}: {condition.message}"
        for condition in status.conditions
        if condition.type in (ConditionType.ACCEPTED, ConditionType.SIZED)
        and condition.status == "False"
    ]


def fit_lines(status: ExperimentStatus) -> list[str]:
    """Say what the ladder's fit recommends, or why there is none; nothing without a ladder."""
    conditions = [condition for condition in status.conditions if condition.type in FIT_CONDITIONS]
    if not conditions:
        return []
    lines = [_recommended(recommendation) for recommendation in status.recommendations]
    if status.fit is not None and "a" in status.fit.parameters:
        lines.insert(0, f"Law: the best size grows as C^{status.fit.parameters['a']:.3f}")
    elif status.fit is not None and status.fit.envelope and status.fit.envelope.a is not None:
        words = "Envelope of learning curves: the best size grows as"
        lines.insert(0, f"{words} C^{status.fit.envelope.a:.3f}")
    refusal = conditions[0] if conditions[0].status != "True" else None
    for condition in conditions:
        is_repeated = refusal is not None and condition.message in refusal.message
        if is_repeated and condition is not refusal:
            continue
        if condition.type != ConditionType.FIT_READY or condition.status != "True":
            word = "No fit" if condition.type == ConditionType.FIT_READY else condition.type
            lines.append(f"{word}: {condition.message}")
    return lines


def _recommended(recommendation: Recommendation) -> str:
    target = recommendation.target.model_dump(exclude_none=True)
    question = ", ".join(f"{name} {value:.4g}" for name, value in target.items())
    if recommendation.parameters is None:
        return f"For {question}: {recommendation.message or 'no answer'}"
    interval = recommendation.interval95
    ends = "" if interval is None else f" (95 %: {_end(interval.low)} to {_end(interval.high)})"
    size = "" if recommendation.size is None else f", size {recommendation.size:.4g}"
    loss = "" if recommendation.loss is None else f", loss {recommendation.loss:.4g}"
    words = list(run_words(plan_of(recommendation)))
    if recommendation.machine_reason not in (None, "NoPolicy"):
        words.append(f"the rest unknown ({recommendation.machine_reason})")
    machine = "".join(f", {word}" for word in words)
    return f"For {question}: N {recommendation.parameters:.4g}{ends}{size}{loss}{machine}"


def _end(value: float | None) -> str:
    return "unbounded" if value is None else f"{value:.4g}"


def _print_reasons(console: Console, status: ExperimentStatus) -> None:
    for condition in status.conditions:
        has_ended = condition.status == "True" and condition.type in ("Complete", "Failed")
        if has_ended and condition.reason != ConditionReason.ALL_TRIALS_DONE:
            text = condition.reason + (f": {condition.message}" if condition.message else "")
            console.print(text)


def _print_best(console: Console, spec: ExperimentSpec, status: ExperimentStatus) -> None:
    if status.front:
        console.print(_front(spec, status.front))
    best = status.best
    if best is None:
        return
    parameters = describe(best)
    console.print(
        f"Best: trial {best.trial}, {spec.all_objectives[0].metric} {best.values[0]:.6g}"
        + (f" with {parameters}" if parameters else "")
    )
    if best.test_metrics:
        objective = spec.all_objectives[0].metric.replace("val_", "test_", 1)
        overall = {
            name: value
            for name, value in best.test_metrics.items()
            if name.count("_") == 1 or name == objective
        }
        console.print(
            "Test: " + ", ".join(f"{name} {value:.4g}" for name, value in overall.items())
        )


def _ladder(spec: ExperimentSpec, status: ExperimentStatus) -> Table:
    metric = spec.all_objectives[0].metric
    table = Table(box=None, pad_edge=False)
    for heading in ("scale", "size", "trials", "N", f"best {metric}", "with"):
        table.add_column(
            heading, justify="right" if heading in ("scale", "trials", "N") else "left"
        )
    for scale in status.scales:
        size, count = ", ".join(_size(scale)), str(ended(scale.counts))
        table.add_row(str(scale.index), size, count, *_best_cells(scale))
    return table


def _best_cells(scale: ScaleStatus) -> tuple[str, str, str]:
    """Write the best trial of a scale: its N, its value, the parameters that were searched."""
    best = scale.best
    if best is None:
        return "", "", ""
    parameters = [
        f"{short(name)} {shown(value)}"
        for name, value in best.parameters.items()
        if name not in scale.parameters
    ]
    model_parameters = "" if best.model_parameters is None else f"{best.model_parameters:,.0f}"
    return model_parameters, f"{best.values[0]:.5g}", ", ".join(parameters)


def _size(scale: ScaleStatus) -> list[str]:
    words = [f"{short(name)} {shown(value)}" for name, value in scale.parameters.items()]
    if scale.samples is not None:
        words.append(f"D {scale.samples:,.0f}")
    if scale.budget_flops is not None:
        words.append(f"C {scale.budget_flops:.3g}")
    return words


def short(name: str) -> str:
    """Write the last part of a parameter's path; the heading of a table says the rest."""
    return name.rsplit(".", 1)[-1]


def _front(spec: ExperimentSpec, front: tuple[BestTrial, ...]) -> Table:
    table = Table(title="Pareto front", box=None, pad_edge=False, title_justify="left")
    table.add_column("trial")
    for objective in spec.all_objectives:
        table.add_column(objective.metric, justify="right")
    table.add_column("with")
    for trial in front:
        table.add_row(trial.trial, *(f"{value:.5g}" for value in trial.values), describe(trial))
    return table
