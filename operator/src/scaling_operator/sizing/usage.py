"""What an attempt has used of a machine: accelerators times hours, and their price."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from scaling_operator.api.experiment import FixedResources
from scaling_operator.api.policy import PolicySpec, Shape
from scaling_operator.api.quantities import parse_quantity
from scaling_operator.api.status_sizing import AttemptResources
from scaling_operator.sizing.allocation import shape_named
from scaling_operator.sizing.fixed import fixed_shape


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
