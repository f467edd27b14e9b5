"""What the next attempt of a trial gets: the same after an interruption, more after memory ran out.

One step for each attempt. On an accelerator: half the micro-batch with double the accumulation,
then recomputation, then the next shape or count, then again half the micro-batch; on the host: more
memory. The global batch, the learning rate and the precision stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from scaling_operator.api.names import Reason
from scaling_operator.api.quantities import format_bytes
from scaling_operator.sizing.allocation import Allocation, allocation_of, shape_named
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

_LEAST_MORE_BYTES = 2**30


@dataclass(frozen=True, slots=True)
class EndedAttempt:
    """An attempt that is over without a result, and what it had where that was recorded."""

    reason: Reason
    had: Allocation | None = None


def allocate(
    need: Need,
    constraints: Constraints,
    ended: tuple[EndedAttempt, ...] = (),
    first: Allocation | None = None,
) -> Allocation | NoMachine:
    """Decide what the next attempt gets, from what became of those before it.

    `first` is what an experiment fixes, instead of a choice.
    """
    current = _first(need, constraints) if first is None else first
    for at, attempt in enumerate(ended):
        had = attempt.had or current
        if isinstance(had, NoMachine):
            return had
        match attempt.reason:
            case Reason.ACCELERATOR_OOM:
                current = _after_device(need, constraints, had, ended[: at + 1])
            case Reason.OOM_KILLED:
                current = more_host_memory(constraints, had)
            case _:
                current = had
    return current


def _first(need: Need, constraints: Constraints) -> Allocation | NoMachine:
    found = choose(need, constraints)
    return allocation_of(found, need.cores) if isinstance(found, Choice) else found


def more_host_memory(constraints: Constraints, had: Allocation) -> Allocation | NoMachine:
    """Give more host memory: by the factor, at least 1 GiB more, up to the cap."""
    escalation = constraints.policy.escalation
    if had.memory_bytes is None or had.shape is None:
        return NoMachine(("spec.resources.fixed.memory is what the experiment fixes; give more",))
    wanted = max(had.memory_bytes * escalation.memory_factor, had.memory_bytes + _LEAST_MORE_BYTES)
    cap = host_cap_bytes(shape_named(constraints.policy, had.shape), constraints.policy)
    if had.memory_bytes >= cap:
        return NoMachine((f"host memory ran out at the most that is allowed, {format_bytes(cap)}",))
    return replace(had, memory_bytes=min(wanted, cap))


def _after_device(
    need: Need, constraints: Constraints, had: Allocation, ended: tuple[EndedAttempt, ...]
) -> Allocation | NoMachine:
    """Take one step of the ladder."""
    here = sum(
        each.reason is Reason.ACCELERATOR_OOM
        and (each.had is None or (each.had.shape, each.had.count) == (had.shape, had.count))
        for each in ended
    )
    halved = _halved(need, constraints, had)
    if halved is not None and here == 1:
        return halved
    steps = (_recomputed(need, constraints, had), _next_shape(need, constraints, had), halved)
    for step in steps:
        if step is not None:
            return step
    return NoMachine(("an accelerator's memory ran out, and nothing is left that needs less",))


def _halved(need: Need, constraints: Constraints, had: Allocation) -> Allocation | None:
    if "microBatch" not in need.abilities or not constraints.policy.escalation.micro_batch:
        return None
    execution = had.execution
    rows = micro_batch_of(need, execution)
    smaller = next((each for each in divisors_below(rows) if each <= rows / 2), None)
    if smaller is None:
        return None
    accumulation = need.batch // (smaller * execution.devices)
    return _running(need, had, replace_execution(had, smaller, accumulation, execution.recompute))


def _recomputed(need: Need, constraints: Constraints, had: Allocation) -> Allocation | None:
    allowed = "recompute" in need.abilities and constraints.policy.escalation.recompute
    if not allowed or had.execution.recompute == FULL:
        return None
    execution = had.execution
    return _running(
        need,
        had,
        replace_execution(had, execution.micro_batch, execution.accumulation, FULL),
    )


def replace_execution(
    had: Allocation, micro_batch: int | None, accumulation: int, recompute: str
) -> Allocation:
    """Change what may change of how a trial runs on its machine."""
    execution = replace(
        had.execution, micro_batch=micro_batch, accumulation=accumulation, recompute=recompute
    )
    return replace(had, execution=execution)


def _running(need: Need, had: Allocation, changed: Allocation) -> Allocation:
    return replace(
        changed,
        device_bytes=device_parts(need, changed.execution).total,
        memory_bytes=had.memory_bytes,
    )


def _next_shape(need: Need, constraints: Constraints, had: Allocation) -> Allocation | None:
    """Choose again among what is more than this: a larger accelerator, or more of them."""
    if not constraints.policy.escalation.shapes or had.shape is None:
        return None
    shape = shape_named(constraints.policy, had.shape)
    least = 0.0 if shape is None else memory_bytes(shape)
    smaller = frozenset(
        (other.name, count)
        for other in constraints.policy.shapes
        for count in range(other.max_per_pod + 1)
        if memory_bytes(other) * max(1, count) <= least * max(1, had.count)
    )
    found = choose(need, replace(constraints, excluded=constraints.excluded | smaller))
    if not isinstance(found, Choice) or not found.on_device:
        return None
    allocation = allocation_of(found, need.cores)
    # Host memory that was found to be needed stays.
    had_bytes = had.memory_bytes or 0.0
    return replace(allocation, memory_bytes=max(allocation.memory_bytes or 0.0, had_bytes))
