"""`scaling get`: the tables of a cluster's experiments, or one experiment with its trials."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.names import Phase, TrialState
from scaling_operator.api.trial import ScalingTrial
from scaling_operator.cli.console import styled
from scaling_operator.cli.progress import ended, shown
from scaling_operator.cli.remote import status_of
from scaling_operator.cli.summary import print_findings, short
from scaling_operator.runtime.record import ExperimentRecord

SHOWN_TRIALS = 20
BAR_WIDTH = 20
_COLORS = {
    Phase.RUNNING: "cyan",
    Phase.SUCCEEDED: "green",
    Phase.FAILED: "red",
    Phase.SUSPENDED: "yellow",
}


def experiments_table(experiments: Sequence[Mapping[str, Any]], *, everywhere: bool) -> Table:
    """List experiments, one on each line."""
    table = Table(box=None, pad_edge=False)
    if everywhere:
        table.add_column("NAMESPACE", overflow="fold")
    for heading in ("NAME", "PHASE"):
        table.add_column(heading, overflow="fold")
    table.add_column("PROGRESS", no_wrap=True)
    for heading in ("RUNNING", "FAILED", "BEST", "AGE"):
        table.add_column(heading, justify="right", no_wrap=True)
    for experiment in experiments:
        status, metadata = status_of(experiment), experiment["metadata"]
        counts = status.counts
        cells = [
            metadata["name"],
            _phase(status.phase),
            f"{ended(counts)}/{counts.max}",
            str(counts.running + counts.queued),
            str(counts.failed),
            "" if status.best is None else f"{status.best.values[0]:.5g}",
            age(str(metadata["creationTimestamp"])),
        ]
        table.add_row(*([metadata["namespace"]] if everywhere else []), *cells)
    return table


def print_experiment(console: Console, record: ExperimentRecord) -> None:
    """Print one experiment: a bar, its results, its last trials."""
    status = record.status
    counts = status.counts
    head = Table.grid(padding=(0, 1))
    bar = ProgressBar(max(counts.max, 1), ended(counts), width=BAR_WIDTH)
    head.add_row(
        styled((record.name, "bold")),
        _phase(status.phase),
        bar,
        f"{ended(counts)}/{counts.max} trials",
    )
    console.print(head)
    console.print(
        f"{counts.running} running, {counts.queued} queued, {counts.succeeded} succeeded,"
        f" {counts.pruned} pruned, {counts.failed} failed, {counts.stopped} stopped"
    )
    print_findings(console, record.spec, status)
    if record.trials:
        console.print(trials_table(record.spec, record.trials))


def trials_table(spec: ExperimentSpec, trials: Sequence[ScalingTrial]) -> Table:
    """List the last trials."""
    left_out = len(trials) - SHOWN_TRIALS
    title = f"Trials (the last {SHOWN_TRIALS} of {len(trials)})" if left_out > 0 else "Trials"
    table = Table(title=title, box=None, pad_edge=False, title_justify="left")
    for heading in ("trial", "state"):
        table.add_column(heading, no_wrap=True)
    for objective in spec.all_objectives:
        table.add_column(objective.metric, justify="right", no_wrap=True)
    table.add_column("with")
    for trial in trials[-SHOWN_TRIALS:]:
        table.add_row(
            trial.spec.trial_id,
            _state(trial),
            *_values(trial, len(spec.all_objectives)),
            _words(trial.spec.parameters.items()),
        )
    return table


def age(created: str) -> str:
    """Write how long ago a time was, as kubectl does."""
    seconds = (datetime.now(tz=UTC) - datetime.fromisoformat(created)).total_seconds()
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f}{unit}"
    return f"{max(seconds, 0):.0f}s"


def _values(trial: ScalingTrial, count: int) -> list[str]:
    """Write a trial's values; for a trial that runs, the last value that it reported."""
    if trial.status.values:
        return [f"{value:.5g}" for value in trial.status.values]
    last = f"{trial.status.curve[-1].value:.5g}" if trial.status.curve else ""
    return [last, *[""] * (count - 1)]


def _state(trial: ScalingTrial) -> Text:
    status = trial.status
    color = "red" if status.state is TrialState.FAILED else "none"
    reason = "" if status.reason is None else f" {status.reason.value}"
    return styled((f"{status.state.value}{reason}", color))


def _phase(phase: Phase) -> Text:
    color = _COLORS.get(phase, "none")
    return styled((phase.value, color))


def _words(parameters: Iterable[tuple[str, object]]) -> str:
    return ", ".join(f"{short(name)} {shown(value)}" for name, value in parameters)
