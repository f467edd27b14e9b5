"""Where an experiment is stored and its attempts run: a folder and processes, or a cluster."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from scaling_operator.api.status import ExperimentStatus
from scaling_operator.api.trial import ScalingTrial
from scaling_operator.core.observed import AttemptView, StaleWorkload
from scaling_operator.core.reports import AttemptKey
from scaling_operator.runtime.state import ExperimentState


class TrialGone(Exception):
    """Somebody deleted the stored trial: it counts no more."""


class Backend(Protocol):
    """The effects of a plan. Each effect may be repeated after a crash without harm."""

    def view(self, trial: ScalingTrial, key: AttemptKey) -> AttemptView:
        """Show where the current attempt of a live trial stands."""
        ...

    def stale_workloads(self, state: ExperimentState) -> Iterable[StaleWorkload]:
        """Name the workloads that nobody waits for."""
        ...

    async def create(self, trial: ScalingTrial) -> ScalingTrial:
        """Store a new trial; return what is stored: another proposal, if that was stored first."""
        ...

    async def save(self, trial: ScalingTrial) -> ScalingTrial:
        """Store a trial's status; return what is stored: an earlier end, if there is one.

        Raises TrialGone.
        """
        ...

    async def launch(self, trial: ScalingTrial, attempt: int) -> None:
        """Start an attempt."""
        ...

    async def discard(self, keys: tuple[AttemptKey, ...]) -> None:
        """Delete workloads that nobody waits for."""
        ...

    async def publish(self, status: ExperimentStatus) -> None:
        """Store the experiment's status before anything else happens."""
        ...
