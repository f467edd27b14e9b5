"""Which machines a trial could have, and the cheapest that it fits on; or why none does.

An offer is a shape, a count, and what the trainer may do to need less: recompute, shard. What fits
at a size fits at every smaller one, and the order of offers is one of cost; so a larger model never
gets less. The global batch is micro-batch x accumulation x devices, exactly.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from scaling_operator.api.policy import Limits, PolicySpec, Shape
from scaling_operator.api.quantities import MEBIBYTE, parse_quantity
from scaling_operator.sizing.estimates import (
    Estimates,
    efficiency,
    hours_of,
    price_per_hour,
    required_bytes,
)
from scaling_operator.sizing.memory import (
    FULL,
    ZERO3,
    DeviceParts,
    HostParts,
    device_parts,
    host_parts,
)
from scaling_operator.sizing.memory_formulas import GIB
from scaling_operator.sizing.need import Need
from scaling_trainer.contract import Execution


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


# Hours are estimated within a factor of a few: beyond this one no machine will do.
_HOPELESS = 10.0


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
    problem = why_unsuitable(need, shape, constraints)
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


_WHOLE_NODE = 8


@dataclass(frozen=True, slots=True)
class Offer:
    """A shape, how many of it, and what the trainer does to need less."""

    shape: Shape
    count: int
    recompute: str
    sharding: str


def why_unsuitable(need: Need, shape: Shape, constraints: Constraints) -> str | None:
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


def host_cap_bytes(shape: Shape | None, policy: PolicySpec) -> float:
    """Give the most host memory of a pod: by the shape, the limits and the escalation's cap."""
    caps = (
        None if shape is None else shape.host_memory,
        policy.limits.trial.memory,
        policy.escalation.memory_cap,
    )
    return min((parse_quantity(each) for each in caps if each is not None), default=math.inf)


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node: its labels, and how many of each resource pods may have."""

    labels: Mapping[str, str]
    allocatable: Mapping[str, str]


def not_offered(policy: PolicySpec, nodes: Sequence[NodeView]) -> tuple[str, ...]:
    """Name the shapes that no node has. With claims the driver knows, not the node."""
    if policy.backend == "dra":
        return ()
    return tuple(
        shape.name for shape in policy.shapes if not any(_has(node, shape) for node in nodes)
    )


def _has(node: NodeView, shape: Shape) -> bool:
    labelled = all(node.labels.get(key) == value for key, value in shape.node_selector.items())
    return labelled and (
        shape.resource is None or node.allocatable.get(shape.resource, "0") not in ("", "0")
    )
