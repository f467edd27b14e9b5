"""A policy without a cluster: it says what a recommended run would take, and sizes no trial."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from scaling_operator.api.policy import PolicySpec
from scaling_operator.api.trial import ScalingTrial
from scaling_operator.core.ladder import Scale
from scaling_operator.core.observed import AttemptView, Observed
from scaling_operator.core.trial_status import Machine
from scaling_operator.sizing.run_plan import KnownMachines


@dataclass(frozen=True, slots=True)
class PriceList:
    """Machines that the user names; trials share this one."""

    policy: PolicySpec

    def note(self, trial: ScalingTrial) -> None:
        """Take in nothing: what a trial does here teaches nothing of other machines."""
        del trial

    async def prepare(self, scales: Iterable[Scale]) -> None:
        """Do nothing: nothing is sized."""
        del scales

    def machine(self, view: AttemptView) -> Machine | None:
        """Say nothing of an attempt: it had no machine of the policy."""
        del view

    def complete(self, observed: Observed, live: tuple[ScalingTrial, ...]) -> Observed:
        """Add the machines."""
        del live
        return replace(observed, machines=KnownMachines(self.policy))
