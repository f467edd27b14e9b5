"""What an experiment's live trials hold, want and have used of machines."""

from __future__ import annotations

from dataclasses import dataclass, field

from scaling_operator.api.names import TrialKey
from scaling_operator.api.status_sizing import AttemptResources
from scaling_operator.api.trial import ScalingTrial
from scaling_operator.core.observed import AttemptPhase, AttemptView, LiveTrial
from scaling_operator.sizing.admission import Demand
from scaling_operator.sizing.observations import Observations
from scaling_operator.sizing.usage import NONE_USED, NoMachineLeft, Usage, used


@dataclass(frozen=True, slots=True)
class TrialUse:
    """What a live trial holds or wants, what an hour of its machine uses, and its usage before.

    `no_machine` says why the trial's next attempt gets none; then `demand` is None.
    `used_before` is the usage of the trial's ended attempts.
    """

    trial: ScalingTrial
    resources: AttemptResources | None
    observations: Observations
    demand: Demand | None
    no_machine: NoMachineLeft | None
    rate: Usage
    used_before: Usage

    def follows_from(
        self, trial: ScalingTrial, resources: AttemptResources | None, observations: Observations
    ) -> bool:
        """Whether it was computed from these very values."""
        return (
            self.trial is trial
            and self.resources is resources
            and self.observations is observations
        )


@dataclass(slots=True)
class MachineTotals:
    """Sums over live trials; GPU hours and cost are by scale."""

    demands: dict[TrialKey, Demand] = field(default_factory=dict[TrialKey, Demand])
    no_machine: dict[TrialKey, NoMachineLeft] = field(default_factory=dict[TrialKey, NoMachineLeft])
    rates: list[Usage] = field(default_factory=list[Usage])
    gpu_hours: dict[int, float] = field(default_factory=dict[int, float])
    cost: dict[int, float] = field(default_factory=dict[int, float])

    def add(self, live: LiveTrial, use: TrialUse, now_seconds: float) -> None:
        """Add what a live trial holds or wants, has used, and uses in an hour."""
        if use.demand is not None:
            self.demands[live.key] = use.demand
        if use.no_machine is not None:
            self.no_machine[live.key] = use.no_machine
        if use.used_before is not NONE_USED:
            self._add_usage(live.scale, use.used_before)
        if use.resources is not None and _holds_machine(live.view):
            self._add_usage(live.scale, used(use.rate, live.view.started_seconds, now_seconds))
            self.rates.append(use.rate)

    def _add_usage(self, scale: int, more: Usage) -> None:
        self.gpu_hours[scale] = self.gpu_hours.get(scale, 0.0) + more.gpu_hours
        self.cost[scale] = self.cost.get(scale, 0.0) + more.cost

    def used(self, scale: int) -> Usage:
        """Give what was used at a scale."""
        return Usage(self.gpu_hours.get(scale, 0.0), self.cost.get(scale, 0.0))

    @property
    def rate(self) -> Usage:
        """What an hour of all running trials uses."""
        return Usage(
            sum(rate.gpu_hours for rate in self.rates), sum(rate.cost for rate in self.rates)
        )


def used_before(trial: ScalingTrial) -> Usage:
    """Give the usage of a trial's ended attempts."""
    hours, cost = trial.status.gpu_hours or 0.0, trial.status.cost or 0.0
    return Usage(hours, cost) if hours or cost else NONE_USED


def _holds_machine(view: AttemptView) -> bool:
    return view.phase is AttemptPhase.RUNNING and view.started_seconds is not None
