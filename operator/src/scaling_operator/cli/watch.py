"""`scaling watch`: an experiment of a cluster, shown as `scaling run` shows a local one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from rich.console import Console

from scaling_operator.api.experiment import ScalingExperiment
from scaling_operator.api.names import Phase
from scaling_operator.api.status import ExperimentStatus
from scaling_operator.api.trial import ScalingTrial
from scaling_operator.cli import exit_codes
from scaling_operator.cli.progress import Display, open_display
from scaling_operator.cli.remote import Remote, Where, reached, status_of
from scaling_operator.cli.summary import hindrances, print_findings, print_head
from scaling_operator.core.reports import AttemptKey, Report
from scaling_operator.kube.client.errors import ClusterBusy
from scaling_operator.validation.load import experiment_of

POLL_SECONDS = 2.0
MAX_AWAY = 30
"""How many polls in a row an API server may leave unanswered, as during an upgrade."""
OVER = (Phase.SUCCEEDED, Phase.FAILED)


async def watch(console: Console, where: Where, name: str) -> int:
    """Show an experiment until it is over; return the exit code."""
    async with reached(where) as remote:
        experiment = experiment_of(dict(await remote.experiment(name)))
        with open_display(console, experiment) as display:
            status = await _follow(remote, experiment, display)
    print_head(console, name, status, status.phase.value)
    print_findings(console, experiment.spec, status)
    return exit_codes.FAILED if status.phase is Phase.FAILED else 0


@dataclass(slots=True)
class _Shown:
    """What was shown already."""

    version: str = ""
    ended: set[tuple[int, int]] = field(default_factory=set[tuple[int, int]])
    hindrances: list[str] = field(default_factory=list[str])
    away: int = 0


async def _follow(
    remote: Remote, experiment: ScalingExperiment, display: Display
) -> ExperimentStatus:
    """Poll until the experiment is over. Raises ClusterBusy where the API server stays away."""
    shown = _Shown()
    while True:
        try:
            status = await _poll(remote, experiment.metadata.name, display, shown)
        except ClusterBusy:
            shown.away += 1
            if shown.away > MAX_AWAY:
                raise
        else:
            shown.away = 0
            if status.phase in OVER:
                return status
        await asyncio.sleep(POLL_SECONDS)


async def _poll(remote: Remote, name: str, display: Display, shown: _Shown) -> ExperimentStatus:
    """Show what is new."""
    experiment = await remote.experiment(name)
    status = status_of(experiment)
    display.on_status(status)
    if hindrances(status) != shown.hindrances:
        shown.hindrances = hindrances(status)
        for line in shown.hindrances:
            display.console.print(line)
    version = str(experiment["metadata"]["resourceVersion"])
    if version != shown.version:
        for trial in await remote.trials(experiment):
            _show(display, trial, shown)
        shown.version = version
    return status


def _show(display: Display, trial: ScalingTrial, shown: _Shown) -> None:
    trial_key = trial.spec.key
    if trial.status.state.ended:
        if trial_key not in shown.ended:
            shown.ended.add(trial_key)
            display.on_end(trial)
        return
    curve = trial.status.curve
    metric = display.spec.all_objectives[0].metric
    step = curve[-1].step if curve else 0
    report = Report(step, step, {metric: curve[-1].value} if curve else {})
    display.on_report(AttemptKey(*trial_key, len(trial.status.attempts)), report)
