"""What a trial could get: shapes, counts, micro-batches, and how much of each may be used."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from scaling_operator.api.policy import Limits, PolicySpec, Shape
from scaling_operator.api.quantities import parse_quantity
from scaling_operator.sizing.belief import Estimates
from scaling_operator.sizing.need import Need
from scaling_operator.sizing.parts import FULL, ZERO3, device_parts, host_parts
from scaling_trainer.contract import Execution

_WHOLE_NODE = 8


@dataclass(frozen=True, slots=True)
class Constraints:
    """What binds a choice beside the need.

    `deadline_seconds` is the longest that one attempt may run. `excluded` are offers (shape, count)
    that have been found too small. `refuses_hopeless` refuses what takes far longer.
    """

    policy: PolicySpec
    estimates: Estimates
    deadline_seconds: float
    is_ladder: bool = False
    excluded: frozenset[tuple[str, int]] = frozenset()
    refuses_hopeless: bool = True


@dataclass(frozen=True, slots=True)
class Offer:
    """A shape, how many of it, and what the trainer does to need less."""

    shape: Shape
    count: int
    recompute: str
    sharding: str


def unsuited(need: Need, shape: Shape, constraints: Constraints) -> str | None:
    """Say why a shape is not for this trial, whatever its memory."""
    if shape.resource is None and not need.runs_on_cpu:
        return "has no accelerator, and the estimate names device memory"
    if shape.shared and (constraints.is_ladder or constraints.policy.sharing == "never"):
        return "is shared, which the policy does not allow here"
    limits = constraints.policy.limits.trial
    if shape.resource is not None and limits.gpus == 0:
        return "limits.trial.gpus allows no accelerator"
    if limits.cpu is not None and need.cores > parse_quantity(limits.cpu):
        return f"needs {need.cores:g} CPU, limits.trial.cpu allows {limits.cpu}"
    return None


def offers(need: Need, shape: Shape, constraints: Constraints) -> Iterator[Offer]:
    """Give what a shape could do, the fewest and least strained first."""
    for count in _counts(need, shape, constraints.policy.limits.trial):
        if (shape.name, count) in constraints.excluded:
            continue
        shardings = ("none", ZERO3) if count > 1 else ("none",)
        for sharding in shardings:
            yield Offer(shape, count, "none", sharding)
            if "recompute" in need.abilities and constraints.policy.escalation.recompute:
                yield Offer(shape, count, FULL, sharding)


def _counts(need: Need, shape: Shape, limits: Limits) -> Iterator[int]:
    if shape.resource is None:
        yield 0
        return
    most = min(shape.max_per_pod, limits.gpus or shape.max_per_pod)
    most = most if "sharding" in need.abilities else 1
    for count in range(1, most + 1):
        whole = count < _WHOLE_NODE or count % _WHOLE_NODE == 0
        if need.batch % count == 0 and whole:
            yield count


def micro_batches(need: Need, count: int) -> Iterator[int]:
    """Give the rows that an accelerator may have at once, the most first."""
    share = need.batch // max(1, count)
    yield share
    if "microBatch" in need.abilities:
        yield from divisors_below(share)


def divisors_below(number: int) -> Iterator[int]:
    """Give the divisors of a number that are smaller, the largest first."""
    small = [each for each in range(1, math.isqrt(number) + 1) if number % each == 0]
    large = [number // each for each in small]
    yield from sorted({*small, *large} - {number}, reverse=True)


def execution_of(need: Need, offer: Offer, micro_batch: int) -> Execution:
    """Say how the global batch is taken, exactly."""
    devices = max(1, offer.count)
    accumulation = need.batch // (micro_batch * devices)
    return Execution(
        micro_batch=micro_batch if accumulation > 1 else None,
        accumulation=accumulation,
        recompute=offer.recompute,
        devices=devices,
        sharding=offer.sharding,
    )


def capacity_bytes(shape: Shape, policy: PolicySpec) -> float:
    """Give what may be used of one accelerator, or of the host where there is none."""
    if shape.resource is not None:
        return memory_bytes(shape) * (1 - policy.headroom_percent / 100)
    limits = [shape.host_memory, policy.limits.trial.memory]
    return min((parse_quantity(each) for each in limits if each is not None), default=math.inf)


def memory_bytes(shape: Shape) -> float:
    """Give the memory of one accelerator, 0 where there is none."""
    return 0.0 if shape.memory is None else parse_quantity(shape.memory)


def required_bytes(need: Need, shape: Shape, execution: Execution, estimates: Estimates) -> float:
    """Give what must be there: the corrected estimate with its margin, or what an OOM has shown."""
    if shape.resource is None:
        parts = host_parts(need, execution, on_device=False)
        whole = estimates.host.corrected(parts) * (1 + estimates.host_margin)
        return max(whole, estimates.host_floor_bytes)
    parts = device_parts(need, execution)
    corrected = estimates.correction(shape.name).corrected(parts) * (1 + estimates.margin)
    return max(corrected, parts.total * estimates.raised.get(shape.name, 0.0))


def host_cap_bytes(shape: Shape | None, policy: PolicySpec) -> float:
    """Give the most host memory of a pod: by the shape, the limits and the escalation's cap."""
    caps = (
        None if shape is None else shape.host_memory,
        policy.limits.trial.memory,
        policy.escalation.memory_cap,
    )
    return min((parse_quantity(each) for each in caps if each is not None), default=math.inf)
