"""Other shapes on which an attempt could run as it is: for a claim that takes what is free."""

from __future__ import annotations

from scaling_operator.api.policy import PolicySpec, Shape
from scaling_operator.sizing.allocation import Allocation, shape_named
from scaling_operator.sizing.need import Need
from scaling_operator.sizing.offers import Constraints, capacity_bytes, required_bytes, unsuited


def alternatives(need: Need, constraints: Constraints, allocation: Allocation) -> tuple[Shape, ...]:
    """Give the chosen shape, then others that fit the same count and execution, cheapest first.

    A queue wants to know beforehand what it admits: with one there is the chosen shape alone.
    """
    policy = constraints.policy
    chosen = shape_named(policy, allocation.shape)
    if chosen is None:
        return ()
    if policy.queue is not None:
        return (chosen,)
    others = [shape for shape in policy.shapes if _would_do(need, constraints, allocation, shape)]
    return (chosen, *sorted(others, key=lambda shape: shape.price_per_hour))


def _would_do(need: Need, constraints: Constraints, allocation: Allocation, shape: Shape) -> bool:
    if shape.resource is None or shape.name == allocation.shape:
        return False
    if unsuited(need, shape, constraints) is not None or shape.max_per_pod < allocation.count:
        return False
    needed = required_bytes(need, shape, allocation.execution, constraints.estimates)
    return needed <= capacity_bytes(shape, constraints.policy)


def uses_claims(policy: PolicySpec, allocation: Allocation) -> bool:
    """Whether accelerators are asked for by a claim instead of an extended resource."""
    return policy.backend == "dra" and allocation.resource is not None and allocation.count > 0
