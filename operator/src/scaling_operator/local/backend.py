"""A folder and this machine's processes as an experiment's backend."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.names import Reason
from scaling_operator.api.status import ExperimentStatus
from scaling_operator.api.trial import ScalingTrial
from scaling_operator.core.observed import ABSENT, AttemptPhase, AttemptView, StaleWorkload
from scaling_operator.core.reports import AttemptKey
from scaling_operator.local.attempt_processes import AttemptProcesses
from scaling_operator.local.store import Store
from scaling_operator.runtime.assignment import AttemptLocations, assignment_of
from scaling_operator.runtime.hooks import Hooks
from scaling_operator.runtime.state import ExperimentState
from scaling_trainer.writing import make_folder, remove

INTERRUPTED = AttemptView(
    AttemptPhase.LOST, Reason.NODE_LOST, "the run was interrupted while the attempt ran"
)


@dataclass(slots=True)
class LocalBackend:
    """Stores trials in a result folder and runs their attempts as processes.

    Relative paths of data start at `data_folder`, where the experiment's file lies.
    """

    name: str
    spec: ExperimentSpec
    store: Store
    attempts: AttemptProcesses
    hooks: Hooks
    data_folder: Path
    report_url: str = ""

    def view(self, trial: ScalingTrial, key: AttemptKey) -> AttemptView:
        """Show a live trial's attempt; an attempt that an earlier run launched is lost."""
        del trial
        if key in self.attempts.running:
            return self.attempts.running[key].view
        launched = self.store.was_launched(key.scale, key.number, key.attempt)
        return INTERRUPTED if launched else ABSENT

    def stale_workloads(self, state: ExperimentState) -> Iterator[StaleWorkload]:
        """Name the processes whose trial has ended."""
        for key, running in self.attempts.running.items():
            if not state.is_current(key):
                pruned_seconds = state.pruned_seconds.get(key)
                yield StaleWorkload(
                    scale=key.scale,
                    number=key.number,
                    attempt=key.attempt,
                    view=running.view,
                    told_to_stop=pruned_seconds is not None,
                    told_seconds=pruned_seconds or 0.0,
                )

    async def create(self, trial: ScalingTrial) -> ScalingTrial:
        """Write a new trial's file."""
        self.store.write_trial(trial)
        return trial

    async def save(self, trial: ScalingTrial) -> ScalingTrial:
        """Write a trial's file again."""
        self.store.write_trial(trial)
        return trial

    async def launch(self, trial: ScalingTrial, attempt: int) -> None:
        """Hand an attempt to a process."""
        spec = trial.spec
        folder = self.store.trial_folder(spec.scale, spec.number).absolute()
        checkpoint = folder / "checkpoint"
        # A link or a file there is somebody else's work: no checkpoint to go on from.
        if checkpoint.is_symlink() or checkpoint.is_file():
            remove(checkpoint, below=self.store.root)
        make_folder(checkpoint, below=self.store.root)
        locations = AttemptLocations(
            result_file=folder / f"attempt-{attempt}.result.json",
            checkpoint_dir=checkpoint,
            data_dir=self.data_folder,
            report_url=self.report_url,
            report_token_file=folder / "token",
        )
        self.attempts.launch(assignment_of(self.name, self.spec, spec, attempt, locations), folder)

    async def discard(self, keys: tuple[AttemptKey, ...]) -> None:
        """End the processes of attempts."""
        for key in keys:
            await self.attempts.discard(key)

    async def publish(self, status: ExperimentStatus) -> None:
        """Write result.json and call the hook of the status."""
        self.store.write_status(self.name, status)
        self.hooks.status(status)
