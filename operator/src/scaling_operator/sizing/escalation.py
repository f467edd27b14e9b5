"""What the next attempt of a trial gets: the same after an interruption, more after an OOM.

Each attempt takes one step. The steps on an accelerator are: half the micro-batch with double the
accumulation, then recomputation, then the next shape or count, then again half the micro-batch. The
step on the host is more memory. Global batch, learning rate and precision stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from scaling_operator.api.experiment import FixedResources
from scaling_operator.api.names import Reason
from scaling_operator.api.policy import Escalation, PolicySpec
from scaling_operator.api.quantities import GIBIBYTE, format_bytes
from scaling_operator.api.status import Attempt
from scaling_operator.sizing.allocation import Allocation, allocation_of, from_status, shape_named
from scaling_operator.sizing.machines import (
    Choice,
    Constraints,
    NoMachine,
    choose,
    divisors_below,
    host_cap_bytes,
    memory_bytes,
)
from scaling_operator.sizing.memory import FULL, device_parts, micro_batch_of
from scaling_operator.sizing.need import Need
from scaling_trainer.contract import Execution

_LEAST_MORE_BYTES = GIBIBYTE


@dataclass(frozen=True, slots=True)
class EndedAttempt:
    """An attempt that ended without a result, and its allocation where that was recorded."""

    reason: Reason
    allocation: Allocation | None = None


def ended_attempts(
    attempts: Iterable[Attempt], policy: PolicySpec, fixed: FixedResources | None
) -> tuple[EndedAttempt, ...]:
    """Read the ended attempts of a trial back from its status."""
    return tuple(
        EndedAttempt(
            attempt.reason or Reason.SUSPENDED,
            None if attempt.resources is None else from_status(attempt.resources, policy, fixed),
        )
        for attempt in attempts
    )


def allocate(
    need: Need,
    constraints: Constraints,
    ended: tuple[EndedAttempt, ...] = (),
    first: Allocation | None = None,
) -> Allocation | NoMachine:
    """Decide what the next attempt gets, from how the attempts before it ended.

    `first` is the allocation that an experiment fixes; without it the first attempt gets a choice.
    """
    current = _chosen(need, constraints) if first is None else first
    for position, attempt in enumerate(ended):
        last = attempt.allocation or current
        if isinstance(last, NoMachine):
            return last
        match attempt.reason:
            case Reason.ACCELERATOR_OOM:
                current = _after_device_oom(need, constraints, last, ended[: position + 1])
            case Reason.OOM_KILLED:
                current = more_host_memory(constraints, last)
            case _:
                current = last
    return current


def _chosen(need: Need, constraints: Constraints) -> Allocation | NoMachine:
    choice = choose(need, constraints)
    return allocation_of(choice, need.cores) if isinstance(choice, Choice) else choice


def more_host_memory(constraints: Constraints, last: Allocation) -> Allocation | NoMachine:
    """Give more host memory than the last attempt had, up to the cap."""
    if last.memory_bytes is None or last.shape is None:
        return NoMachine(("spec.resources.fixed.memory is what the experiment fixes; give more",))
    cap = host_cap_bytes(shape_named(constraints.policy, last.shape), constraints.policy)
    if last.memory_bytes >= cap:
        return NoMachine((f"host memory ran out at the most that is allowed, {format_bytes(cap)}",))
    more = next_host_bytes(last.memory_bytes, constraints.policy.escalation)
    return replace(last, memory_bytes=min(more, cap))


def next_host_bytes(failed_bytes: float, escalation: Escalation) -> float:
    """Say how much host memory follows an amount that ran out: by the factor, at least 1 GiB more.

    Caps are not applied yet.
    """
    return max(failed_bytes * escalation.memory_factor, failed_bytes + _LEAST_MORE_BYTES)


def _after_device_oom(
    need: Need, constraints: Constraints, last: Allocation, ended: tuple[EndedAttempt, ...]
) -> Allocation | NoMachine:
    """Take the next step of the ladder on an accelerator."""
    halved = _halved(need, constraints, last)
    if halved is not None and _ooms_on(last, ended) == 1:
        return halved
    steps = (_recomputed(need, constraints, last), _next_shape(need, constraints, last), halved)
    for step in steps:
        if step is not None:
            return step
    return NoMachine(("an accelerator's memory ran out, and nothing is left that needs less",))


def _ooms_on(last: Allocation, ended: tuple[EndedAttempt, ...]) -> int:
    """Count how often memory ran out on the shape and count of the last attempt."""
    return sum(
        attempt.reason is Reason.ACCELERATOR_OOM
        and (
            attempt.allocation is None
            or (attempt.allocation.shape, attempt.allocation.count) == (last.shape, last.count)
        )
        for attempt in ended
    )


def _halved(need: Need, constraints: Constraints, last: Allocation) -> Allocation | None:
    """Halve the micro-batch, and double the accumulation."""
    if "microBatch" not in need.abilities or not constraints.policy.escalation.micro_batch:
        return None
    execution = last.execution
    rows = micro_batch_of(need, execution)
    half = next((divisor for divisor in divisors_below(rows) if divisor <= rows / 2), None)
    if half is None:
        return None
    accumulation = need.batch // (half * execution.devices)
    return _with_execution(
        need, last, replace(execution, micro_batch=half, accumulation=accumulation)
    )


def _recomputed(need: Need, constraints: Constraints, last: Allocation) -> Allocation | None:
    allowed = "recompute" in need.abilities and constraints.policy.escalation.recompute
    if not allowed or last.execution.recompute == FULL:
        return None
    return _with_execution(need, last, replace(last.execution, recompute=FULL))


def _with_execution(need: Need, last: Allocation, execution: Execution) -> Allocation:
    """Run on the same machine in another way."""
    return replace(last, execution=execution, device_bytes=device_parts(need, execution).total)


def _next_shape(need: Need, constraints: Constraints, last: Allocation) -> Allocation | None:
    """Choose again among the offers with more memory: a larger accelerator, or more of them."""
    if not constraints.policy.escalation.shapes or last.shape is None:
        return None
    shape = shape_named(constraints.policy, last.shape)
    failed_bytes = 0.0 if shape is None else memory_bytes(shape)
    too_small = frozenset(
        (other.name, count)
        for other in constraints.policy.shapes
        for count in range(other.max_per_pod + 1)
        if memory_bytes(other) * max(1, count) <= failed_bytes * max(1, last.count)
    )
    choice = choose(need, replace(constraints, excluded=constraints.excluded | too_small))
    if not isinstance(choice, Choice) or not choice.on_device:
        return None
    allocation = allocation_of(choice, need.cores)
    # The next shape gets no less host memory than the last attempt had.
    return replace(
        allocation, memory_bytes=max(allocation.memory_bytes or 0.0, last.memory_bytes or 0.0)
    )
