"""What trials have used of machines, and what the core is told of machines when it plans.

An attempt uses accelerator hours (accelerators times hours); the price of these hours is its cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from scaling_operator.api.experiment import FixedResources
from scaling_operator.api.names import Reason, TrialKey
from scaling_operator.api.policy import PolicyLimits, PolicySpec, Shape
from scaling_operator.api.quantities import parse_quantity
from scaling_operator.api.status_sizing import AttemptResources, Ledger, ScaleSizing
from scaling_operator.sizing.admission import NOTHING, Demand, Peers
from scaling_operator.sizing.allocation import fixed_shape, shape_named
from scaling_operator.sizing.resource_plan import StartCheck


@dataclass(frozen=True, slots=True)
class Usage:
    """GPU hours and money."""

    gpu_hours: float = 0.0
    cost: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        """Add up hours and money."""
        return Usage(self.gpu_hours + other.gpu_hours, self.cost + other.cost)


NONE_USED = Usage()


@dataclass(frozen=True, slots=True)
class UsageSum:
    """An exact sum: equal in whatever order trials end, as a sum of floats would not be."""

    gpu_hours: Fraction = Fraction()
    cost: Fraction = Fraction()

    def __add__(self, more: Usage) -> UsageSum:
        """Add what one trial has used."""
        return UsageSum(self.gpu_hours + Fraction(more.gpu_hours), self.cost + Fraction(more.cost))

    @property
    def usage(self) -> Usage:
        """The sum, rounded once to floats."""
        return Usage(float(self.gpu_hours), float(self.cost))


def rate_of(
    resources: AttemptResources, policy: PolicySpec | None, fixed: FixedResources | None = None
) -> Usage:
    """Give what an hour of a machine uses: GPU hours and money."""
    shape = None if policy is None else shape_named(policy, resources.shape)
    if policy is not None and fixed is not None:
        shape = fixed_shape(fixed, policy)
    if shape is None:
        return Usage(float(resources.count), 0.0)
    return Usage(float(resources.count), _hourly_price(resources, shape))


def _hourly_price(resources: AttemptResources, shape: Shape) -> float:
    if shape.resource is not None:
        return shape.price_per_hour * resources.count
    cores = 1.0 if resources.cpu is None else parse_quantity(resources.cpu)
    return shape.price_per_hour * cores


def used(rate: Usage, started_seconds: float | None, until_seconds: float) -> Usage:
    """Give what a machine has used since its start; nothing where it never started."""
    if started_seconds is None:
        return NONE_USED
    hours = max(0.0, until_seconds - started_seconds) / 3600
    return Usage(rate.gpu_hours * hours, rate.cost * hours)


NO_LIMITS = PolicyLimits()
NO_PEERS = Peers()


@dataclass(frozen=True, slots=True)
class NoMachineLeft:
    """Why the next attempt of a trial gets no machine, by a reason of trials and in words."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class SizingView:
    """What the core is told of machines at a plan.

    `demands` holds what each live trial has or would get, `scale_demands` what a new trial of a
    scale would get. `no_machine` holds the live trials for whose next attempt no machine is left.
    `used` is the usage until now, `rate` the usage that the next hour adds.
    `is_queued` says whether a queue such as Kueue's holds workloads back: then the queue may see
    any number of workloads.
    """

    start_check: StartCheck
    scales: Mapping[int, ScaleSizing] = field(default_factory=dict[int, ScaleSizing])
    ledger: Ledger | None = None
    demands: Mapping[TrialKey, Demand] = field(default_factory=dict[TrialKey, Demand])
    scale_demands: Mapping[int, Demand] = field(default_factory=dict[int, Demand])
    no_machine: Mapping[TrialKey, NoMachineLeft] = field(
        default_factory=dict[TrialKey, NoMachineLeft]
    )
    limits: PolicyLimits = NO_LIMITS
    is_queued: bool = False
    peers: Peers = NO_PEERS
    used: Usage = NONE_USED
    rate: Usage = NONE_USED

    def demand_of(self, trial_key: TrialKey) -> Demand:
        """Give what a live trial has or would get."""
        return self.demands.get(trial_key, NOTHING)

    def of_scale(self, scale: int) -> Demand:
        """Give what a new trial of a scale would get."""
        return self.scale_demands.get(scale, NOTHING)


def seconds_left(view: SizingView, gpu_hours: float | None, cost: float | None) -> float | None:
    """Give how long the budget lasts at the present rate; None where it lasts for ever."""
    seconds: list[float] = []
    for budget, used, rate in (
        (gpu_hours, view.used.gpu_hours, view.rate.gpu_hours),
        (cost, view.used.cost, view.rate.cost),
    ):
        if budget is None:
            continue
        if used >= budget:
            return 0.0
        if rate > 0:
            seconds.append((budget - used) / rate * 3600)
    return min(seconds, default=None)
