"""The cheapest machine that a trial fits on, or why none does.

An offer is a shape, a count, and what the trainer may do to need less: recompute, shard. What fits
at a size fits at every smaller one, and the order of offers is one of cost; so a larger model never
gets less. The global batch is micro-batch x accumulation x devices, exactly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from scaling_operator.api.policy import Shape
from scaling_operator.api.quantities import MEBIBYTE
from scaling_operator.sizing.duration import efficiency, hours_of, price_per_hour
from scaling_operator.sizing.memory import GIB
from scaling_operator.sizing.need import Need
from scaling_operator.sizing.offers import (
    Constraints,
    Offer,
    capacity_bytes,
    execution_of,
    host_cap_bytes,
    memory_bytes,
    micro_batches,
    offers,
    required_bytes,
    unsuited,
)
from scaling_operator.sizing.parts import (
    FULL,
    ZERO3,
    DeviceParts,
    HostParts,
    device_parts,
    host_parts,
)
from scaling_trainer.contract import Execution

# Hours are estimated within a factor of a few: beyond this one no machine will do.
_HOPELESS = 10.0


@dataclass(frozen=True, slots=True)
class Choice:
    """A machine for a trial, and how the trial runs on it.

    `device` are the parts on an accelerator, or in host memory where there is none. `device_bytes`
    and `host_bytes` are the estimates as measurements correct them, without margin;
    `request_bytes` is the host memory to ask for.
    """

    shape: Shape
    count: int
    execution: Execution
    device: DeviceParts
    host: HostParts
    device_bytes: float
    host_bytes: float
    request_bytes: float
    margin: float
    hours: float | None
    cost: float | None
    meets_deadline: bool

    @property
    def on_device(self) -> bool:
        """Whether there is an accelerator."""
        return self.shape.resource is not None


@dataclass(frozen=True, slots=True)
class NoMachine:
    """Why no machine will do: a sentence for each shape."""

    reasons: tuple[str, ...]

    def __str__(self) -> str:
        """Render in one line."""
        return "; ".join(self.reasons)


def choose(need: Need, constraints: Constraints) -> Choice | NoMachine:
    """Choose the cheapest offer that fits and meets the deadline; of those too slow the fastest.

    What takes ten times as long as it may is refused, unless the terms say otherwise.
    """
    fitting: list[Choice] = []
    reasons: list[str] = []
    for shape in constraints.policy.shapes:
        found, reason = _on_shape(need, shape, constraints)
        fitting += found
        if not found:
            reasons.append(reason)
    if not fitting:
        return NoMachine(tuple(reasons))
    efficient = [each for each in fitting if _is_efficient(need, each, constraints)] or fitting
    in_time = [each for each in efficient if each.meets_deadline]
    if in_time:
        return min(in_time, key=lambda each: _rank(need, each, in_time))
    fastest = min(efficient, key=lambda each: each.hours or math.inf)
    deadline = constraints.deadline_seconds / 3600
    if constraints.refuses_hopeless and (fastest.hours or 0.0) > _HOPELESS * deadline:
        late = f"{fastest.shape.name}: takes about {fastest.hours:,.0f} h a trial, trials.timeout "
        return NoMachine((*reasons, late + f"allows {deadline:,.1f} h"))
    return fastest


def _is_efficient(need: Need, choice: Choice, constraints: Constraints) -> bool:
    return efficiency(need, choice.shape, max(1, choice.count)) >= constraints.policy.min_efficiency


def _rank(need: Need, choice: Choice, among: list[Choice]) -> tuple[float, ...]:
    """Rank by the trial's cost; where that is not known for all, by the machine's price."""
    hourly = _worth(need, choice, priced=any(each.shape.price_per_hour for each in among))
    known = all(each.hours is not None for each in among)
    cost = hourly * (choice.hours or 0.0) if known else hourly
    memory = memory_bytes(choice.shape) * choice.count
    relief = (choice.execution.recompute == FULL) + (choice.execution.sharding == ZERO3)
    return cost, hourly, memory, choice.count, relief


def _worth(need: Need, choice: Choice, *, priced: bool) -> float:
    """Give the price of an hour; where nothing has one, by the memory of accelerators."""
    if priced:
        return price_per_hour(need, choice.shape, choice.count)
    if not choice.on_device:
        return need.cores * 0.02
    return choice.count * memory_bytes(choice.shape) / (80 * GIB)


def _on_shape(need: Need, shape: Shape, constraints: Constraints) -> tuple[list[Choice], str]:
    """Give what fits on a shape, or why nothing does: for the offer that needs least."""
    problem = unsuited(need, shape, constraints)
    if problem is not None:
        return [], f"{shape.name}: {problem}"
    found: list[Choice] = []
    closest = (math.inf, f"{shape.name}: no count of it divides the batch of {need.batch}")
    for offer in offers(need, shape, constraints):
        fitted = _fit(need, offer, constraints)
        if isinstance(fitted, Choice):
            found.append(fitted)
        else:
            closest = min(closest, fitted)
    return found, closest[1]


def _fit(need: Need, offer: Offer, constraints: Constraints) -> Choice | tuple[float, str]:
    """Take the largest micro-batch that fits; else what the smallest would need, and a sentence."""
    capacity = capacity_bytes(offer.shape, constraints.policy)
    needed, execution = math.inf, Execution()
    for micro_batch in micro_batches(need, offer.count):
        execution = execution_of(need, offer, micro_batch)
        needed = required_bytes(need, offer.shape, execution, constraints.estimates)
        if needed <= capacity:
            return _choice(need, offer, execution, constraints)
    where = "host memory" if offer.shape.resource is None else f"x {offer.count}"
    return needed / capacity, (
        f"{offer.shape.name} {where}: needs {_written(needed)} at micro-batch "
        f"{execution.micro_batch or need.batch}{_relief(execution)}, "
        f"{_written(capacity)} can be had"
    )


def _written(size_bytes: float) -> str:
    if size_bytes < GIB:
        return f"{size_bytes / MEBIBYTE:,.0f} MiB"
    return f"{size_bytes / GIB:,.1f} GiB"


def _relief(execution: Execution) -> str:
    words = [" with recomputation"] if execution.recompute == FULL else []
    return "".join(words + ([" and sharding"] if execution.sharding == ZERO3 else []))


def _choice(
    need: Need, offer: Offer, execution: Execution, constraints: Constraints
) -> Choice | tuple[float, str]:
    shape, estimates = offer.shape, constraints.estimates
    on_device = shape.resource is not None
    host = host_parts(need, execution, on_device=on_device)
    host_bytes = estimates.host.corrected(host)
    request = max(host_bytes * (1 + estimates.host_margin), estimates.host_floor_bytes)
    most = host_cap_bytes(shape, constraints.policy)
    if request > most:
        sentence = f"{shape.name}: needs {_written(request)} of host memory, "
        return request / most, sentence + f"{_written(most)} can be had"
    device = device_parts(need, execution)
    if not on_device:
        device = replace(device, fixed=0.0)
    hours = hours_of(need, shape, offer.count, estimates, offer.recompute)
    cost = None if hours is None else hours * price_per_hour(need, shape, offer.count)
    return Choice(
        shape=shape,
        count=offer.count,
        execution=execution,
        device=device,
        host=host,
        device_bytes=estimates.correction(shape.name).corrected(device) if on_device else 0.0,
        host_bytes=host_bytes,
        request_bytes=request,
        margin=estimates.margin if on_device else estimates.host_margin,
        hours=hours,
        cost=cost,
        meets_deadline=hours is None or hours * 3600 <= constraints.deadline_seconds,
    )
