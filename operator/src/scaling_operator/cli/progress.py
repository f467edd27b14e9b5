"""What a person sees during a run: bars in a terminal, one line for each trial elsewhere."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console, Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from scaling_operator.api.experiment import ExperimentSpec, ScalingExperiment
from scaling_operator.api.names import TrialState
from scaling_operator.api.status import BestTrial, Counts, ExperimentStatus
from scaling_operator.api.trial import ScalingTrial
from scaling_operator.core.reports import AttemptKey, Report
from scaling_operator.runtime.hooks import Hooks
from scaling_trainer.foreign_text import one_line


@dataclass(slots=True)
class Bars:
    """What a terminal shows: one bar for the experiment, a line for each running trial."""

    whole: Progress
    rows: Progress
    task: TaskID
    running: dict[tuple[int, int], TaskID] = field(default_factory=dict[tuple[int, int], TaskID])


@dataclass(slots=True)
class Display:
    """Shows a run on a console. `bars` is None where there is no terminal."""

    console: Console
    spec: ExperimentSpec
    bars: Bars | None = None

    def hooks(self) -> Hooks:
        """Make what the runner calls."""
        return Hooks(
            status=self.on_status, ended=self.on_end, reported=self.on_report, noted=self.on_note
        )

    def on_note(self, note: str) -> None:
        """Print what the user should know."""
        self.console.print(f"note: {note}", style="dim")

    def on_status(self, status: ExperimentStatus) -> None:
        """Move the bar and show the best so far."""
        if self.bars is not None:
            self.bars.whole.update(
                self.bars.task,
                total=status.counts.max,
                completed=ended(status.counts),
                best=best_text(status, self.spec) or "starting",
            )

    def on_report(self, key: AttemptKey, report: Report) -> None:
        """Show how far a running trial is."""
        if self.bars is None:
            return
        trial_key = key.trial
        if trial_key not in self.bars.running:
            self.bars.running[trial_key] = self.bars.rows.add_task("")
        metric = self.spec.all_objectives[0].metric
        value = report.metrics.get(metric)
        latest = "" if value is None else f"  {metric} {value:.4g}"
        step = f"step {report.step}" if report.step else "no report yet"
        line = f"  trial {key.trial_id}  {step}{latest}"
        self.bars.rows.update(self.bars.running[trial_key], description=line)

    def on_end(self, trial: ScalingTrial) -> None:
        """Drop a trial's line; without a terminal, log the trial."""
        spec, status = trial.spec, trial.status
        if self.bars is not None:
            row = self.bars.running.pop((spec.scale, spec.number), None)
            if row is not None:
                self.bars.rows.remove_task(row)
        if self.bars is None or status.state is TrialState.FAILED:
            self.console.print(trial_line(trial, self.spec))

    def on_stop(self) -> None:
        """Answer Ctrl-C at once: to end the processes takes a moment."""
        self.console.print("stopping; what runs goes on with the next run")


@contextmanager
def open_display(console: Console, experiment: ScalingExperiment) -> Generator[Display]:
    """Show a run for as long as the block lasts."""
    display = Display(console, experiment.spec)
    if not console.is_terminal:
        yield display
        return
    whole = Progress(
        TextColumn("{task.description}", style="bold", markup=False),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[best]}", markup=False),
        console=console,
    )
    row = TextColumn("{task.description}", style="dim", markup=False)
    rows = Progress(row, console=console)
    name = experiment.metadata.name
    display.bars = Bars(whole, rows, whole.add_task(name, total=None, best="starting"))
    with Live(Group(whole, rows), console=console, transient=True):
        yield display


def ended(counts: Counts) -> int:
    """Count the trials that have ended."""
    return counts.succeeded + counts.pruned + counts.failed + counts.stopped


def best_text(status: ExperimentStatus, spec: ExperimentSpec) -> str:
    """Describe the best trial so far in a few words."""
    if status.front:
        return f"{len(status.front)} on the front"
    if status.best is None:
        return ""
    return f"best {spec.all_objectives[0].metric} {status.best.values[0]:.4g}"


def trial_line(trial: ScalingTrial, spec: ExperimentSpec) -> str:
    """Describe one trial in one line."""
    status = trial.status
    words = [f"trial {trial.spec.trial_id}", status.state.value]
    if status.reason is not None:
        words.append(status.reason.value)
    for objective, value in zip(spec.all_objectives, status.values, strict=False):
        words.append(f"{objective.metric}={value:.4g}")
    if status.message and status.state is TrialState.FAILED:
        words.append(status.message)
    words += [f"{name}={shown(value)}" for name, value in trial.spec.parameters.items()]
    return "  ".join(words)


def shown(value: object) -> str:
    """Write a parameter's value, short."""
    return f"{value:.4g}" if isinstance(value, float) else one_line(str(value))


def describe(best: BestTrial) -> str:
    """Write the parameters of a trial, short."""
    return ", ".join(f"{name} = {shown(value)}" for name, value in best.parameters.items())
