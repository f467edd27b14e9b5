"""What an attempt has used of a machine, and what a plan is told of machines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from scaling_operator.api.experiment import FixedResources
from scaling_operator.api.policy import PolicyLimits, PolicySpec, Shape
from scaling_operator.api.quantities import parse_quantity
from scaling_operator.api.status_sizing import AttemptResources, Ledger, ScaleSizing
from scaling_operator.sizing.admission import NOTHING, Demand, Peers, Slot
from scaling_operator.sizing.allocation import fixed_shape, shape_named
from scaling_operator.sizing.start_check import StartCheck


@dataclass(frozen=True, slots=True)
class Usage:
    """GPU hours and money."""

    gpu_hours: float = 0.0
    cost: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        """Sum up."""
        return Usage(self.gpu_hours + other.gpu_hours, self.cost + other.cost)


NONE_USED = Usage()


@dataclass(frozen=True, slots=True)
class UsageSum:
    """An exact sum: the same whatever the order, which a sum of rounded numbers is not."""

    gpu_hours: Fraction = Fraction()
    cost: Fraction = Fraction()

    def __add__(self, more: Usage) -> UsageSum:
        """Add what one trial has used."""
        return UsageSum(self.gpu_hours + Fraction(more.gpu_hours), self.cost + Fraction(more.cost))

    @property
    def usage(self) -> Usage:
        """The sum, rounded once."""
        return Usage(float(self.gpu_hours), float(self.cost))


def rate_of(
    had: AttemptResources, policy: PolicySpec | None, fixed: FixedResources | None = None
) -> Usage:
    """Give what an hour of a machine is: GPU hours and money."""
    shape = None if policy is None else shape_named(policy, had.shape)
    if policy is not None and fixed is not None:
        shape = fixed_shape(fixed, policy)
    if shape is None:
        return Usage(float(had.count), 0.0)
    return Usage(float(had.count), _price(had, shape))


def _price(had: AttemptResources, shape: Shape) -> float:
    if shape.resource is not None:
        return shape.price_per_hour * had.count
    return shape.price_per_hour * (parse_quantity(had.cpu) if had.cpu is not None else 1.0)


def used(rate: Usage, started_seconds: float | None, until_seconds: float) -> Usage:
    """Give what a machine has used since it was taken; nothing where it never was."""
    if started_seconds is None:
        return NONE_USED
    hours = max(0.0, until_seconds - started_seconds) / 3600
    return Usage(rate.gpu_hours * hours, rate.cost * hours)


NO_LIMITS = PolicyLimits()
NO_PEERS = Peers()


@dataclass(frozen=True, slots=True)
class SizingView:
    """Machines as they stand now.

    `demands` holds what each live trial has or would get, `scale_demands` what a new trial of a
    scale would. `used` is everything until now, `rate` what the next hour adds.
    """

    start_check: StartCheck
    scales: Mapping[int, ScaleSizing] = field(default_factory=dict[int, ScaleSizing])
    ledger: Ledger | None = None
    demands: Mapping[Slot, Demand] = field(default_factory=dict[Slot, Demand])
    scale_demands: Mapping[int, Demand] = field(default_factory=dict[int, Demand])
    limits: PolicyLimits = NO_LIMITS
    is_queued: bool = False
    """Whether a queue such as Kueue's holds workloads back: it may see as many as there are."""
    peers: Peers = NO_PEERS
    used: Usage = NONE_USED
    rate: Usage = NONE_USED

    def demand_of(self, slot: Slot) -> Demand:
        """Give what a live trial has or would get."""
        return self.demands.get(slot, NOTHING)

    def of_scale(self, scale: int) -> Demand:
        """Give what a new trial of a scale would get."""
        return self.scale_demands.get(scale, NOTHING)


def seconds_left(view: SizingView, gpu_hours: float | None, cost: float | None) -> float | None:
    """Give how long the budget lasts at the present rate; None where it does for ever."""
    found: list[float] = []
    for most, used, rate in (
        (gpu_hours, view.used.gpu_hours, view.rate.gpu_hours),
        (cost, view.used.cost, view.rate.cost),
    ):
        if most is None:
            continue
        if used >= most:
            return 0.0
        if rate > 0:
            found.append((most - used) / rate * 3600)
    return min(found, default=None)
