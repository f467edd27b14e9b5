"""Which machines a trial could have, and the cheapest that fits the trial; or why none fits.

An offer is a shape, a count, and what the trainer may do to need less memory: recompute, shard. An
offer that fits a size fits every smaller size, and offers are ordered by cost; so a larger model
never gets a smaller machine. The global batch is micro-batch x accumulation x devices, exactly.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from scaling_operator.api.policy import Limits, PolicySpec, Shape
from scaling_operator.api.quantities import GIBIBYTE, MEBIBYTE, parse_quantity
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
from scaling_operator.sizing.need import Need
from scaling_trainer.contract import Execution

# Hours are estimated within a factor of a few; beyond this factor a machine is too slow for sure.
_HOPELESS = 10.0
_WHOLE_NODE = 8


@dataclass(frozen=True, slots=True)
class Constraints:
    """What binds a choice beside the need.

    `deadline_seconds` is the longest time that one attempt may run. `excluded` are the offers
    (shape, count) on which memory has run out. `refuses_hopeless` refuses machines that take far
    longer than the deadline.
    """

    policy: PolicySpec
    estimates: Estimates
    deadline_seconds: float
    is_ladder: bool = False
    excluded: frozenset[tuple[str, int]] = frozenset()
    refuses_hopeless: bool = True


@dataclass(frozen=True, slots=True)
class Offer:
    """A shape, a count of the shape, and what the trainer does to need less memory."""

    shape: Shape
    count: int
    recompute: str
    sharding: str


@dataclass(frozen=True, slots=True)
class Choice:
    """A machine for a trial, and how the trial runs on that machine.

    `device` are the parts on one accelerator, or in host memory where the shape has no accelerator.
    `device_bytes` and `host_bytes` are the estimates, corrected by measurements, without margin.
    `request_bytes` is the host memory to request.
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
        """Whether the shape has an accelerator."""
        return self.shape.resource is not None


@dataclass(frozen=True, slots=True)
class NoMachine:
    """Why no machine fits: a sentence for each shape."""

    reasons: tuple[str, ...]

    def __str__(self) -> str:
        """Render in one line."""
        return "; ".join(self.reasons)


# --- The cheapest machine ------------------------------------------------------------------------


def choose(need: Need, constraints: Constraints) -> Choice | NoMachine:
    """Choose the cheapest offer that fits and meets the deadline, else the fastest that fits.

    A trial that would take ten times the deadline is refused, unless the constraints allow it.
    """
    fitting: list[Choice] = []
    reasons: list[str] = []
    for shape in constraints.policy.shapes:
        choices, reason = _choices_of(need, shape, constraints)
        fitting += choices
        if not choices:
            reasons.append(reason)
    if not fitting:
        return NoMachine(tuple(reasons))
    efficient = [choice for choice in fitting if _is_efficient(need, choice, constraints)]
    efficient = efficient or fitting
    in_time = [choice for choice in efficient if choice.meets_deadline]
    if in_time:
        return min(in_time, key=lambda choice: _rank(need, choice, in_time))
    fastest = min(efficient, key=lambda choice: choice.hours or math.inf)
    deadline = constraints.deadline_seconds / 3600
    if constraints.refuses_hopeless and (fastest.hours or 0.0) > _HOPELESS * deadline:
        late = f"{fastest.shape.name}: takes about {fastest.hours:,.0f} h a trial, trials.timeout "
        return NoMachine((*reasons, late + f"allows {deadline:,.1f} h"))
    return fastest


def _is_efficient(need: Need, choice: Choice, constraints: Constraints) -> bool:
    return efficiency(need, choice.shape, max(1, choice.count)) >= constraints.policy.min_efficiency


def _rank(need: Need, choice: Choice, among: list[Choice]) -> tuple[float, ...]:
    """Rank by the trial's cost; where the hours of a choice are unknown, by the machine's price."""
    hourly = _hourly_price(need, choice, priced=any(other.shape.price_per_hour for other in among))
    have_hours = all(other.hours is not None for other in among)
    cost = hourly * (choice.hours or 0.0) if have_hours else hourly
    memory = memory_bytes(choice.shape) * choice.count
    savings = (choice.execution.recompute == FULL) + (choice.execution.sharding == ZERO3)
    return cost, hourly, memory, choice.count, savings


def _hourly_price(need: Need, choice: Choice, *, priced: bool) -> float:
    """Give the price of an hour; where no shape has a price, rate accelerators by their memory."""
    if priced:
        return price_per_hour(need, choice.shape, choice.count)
    if not choice.on_device:
        return need.cores * 0.02
    return choice.count * memory_bytes(choice.shape) / (80 * GIBIBYTE)


def _choices_of(need: Need, shape: Shape, constraints: Constraints) -> tuple[list[Choice], str]:
    """Give what fits on a shape, or why nothing fits: for the offer that comes closest."""
    problem = why_unsuitable(need, shape, constraints)
    if problem is not None:
        return [], f"{shape.name}: {problem}"
    choices: list[Choice] = []
    closest = _TooLarge(math.inf, f"{shape.name}: no count of it divides the batch of {need.batch}")
    for offer in offers(need, shape, constraints):
        outcome = _fit(need, offer, constraints)
        if isinstance(outcome, Choice):
            choices.append(outcome)
        else:
            closest = min(closest, outcome)
    return choices, closest.message


def _fit(need: Need, offer: Offer, constraints: Constraints) -> Choice | _TooLarge:
    """Take the largest micro-batch that fits; else say what the smallest would need."""
    capacity = capacity_bytes(offer.shape, constraints.policy)
    needed, execution = math.inf, Execution()
    for micro_batch in micro_batches(need, offer.count):
        execution = execution_of(need, offer, micro_batch)
        needed = required_bytes(need, offer.shape, execution, constraints.estimates)
        if needed <= capacity:
            return _choice(need, offer, execution, constraints)
    where = "host memory" if offer.shape.resource is None else f"x {offer.count}"
    return _TooLarge(
        needed / capacity,
        f"{offer.shape.name} {where}: needs {_readable_size(needed)} at micro-batch "
        f"{execution.micro_batch or need.batch}{_savings(execution)}, "
        f"{_readable_size(capacity)} can be had",
    )


def _choice(
    need: Need, offer: Offer, execution: Execution, constraints: Constraints
) -> Choice | _TooLarge:
    shape, estimates = offer.shape, constraints.estimates
    on_device = shape.resource is not None
    host = host_parts(need, execution, on_device=on_device)
    host_bytes = estimates.calibration.host.corrected(host)
    request = max(host_bytes * (1 + estimates.host_margin), estimates.host_floor_bytes)
    most = host_cap_bytes(shape, constraints.policy)
    if request > most:
        return _TooLarge(
            request / most,
            f"{shape.name}: needs {_readable_size(request)} of host memory, "
            f"{_readable_size(most)} can be had",
        )
    correction = estimates.calibration.correction(shape.name)
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
        device_bytes=correction.corrected(device) if on_device else 0.0,
        host_bytes=host_bytes,
        request_bytes=request,
        margin=estimates.margin if on_device else estimates.host_margin,
        hours=hours,
        cost=cost,
        meets_deadline=hours is None or hours * 3600 <= constraints.deadline_seconds,
    )


@dataclass(frozen=True, slots=True, order=True)
class _TooLarge:
    """A trial that does not fit an offer: needed memory by available memory, and a sentence."""

    ratio: float
    message: str


def _readable_size(size_bytes: float) -> str:
    if size_bytes < GIBIBYTE:
        return f"{size_bytes / MEBIBYTE:,.0f} MiB"
    return f"{size_bytes / GIBIBYTE:,.1f} GiB"


def _savings(execution: Execution) -> str:
    words = [" with recomputation"] if execution.recompute == FULL else []
    return "".join(words + ([" and sharding"] if execution.sharding == ZERO3 else []))


# --- The offers of a shape -----------------------------------------------------------------------


def why_unsuitable(need: Need, shape: Shape, constraints: Constraints) -> str | None:
    """Say why a shape is not for this trial, whatever the shape's memory."""
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
    """Give the offers of a shape: the fewest accelerators and the least savings first."""
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
        fills_nodes = count < _WHOLE_NODE or count % _WHOLE_NODE == 0
        if need.batch % count == 0 and fills_nodes:
            yield count


def micro_batches(need: Need, count: int) -> Iterator[int]:
    """Give the rows that an accelerator may have at once, the most rows first."""
    share = need.batch // max(1, count)
    yield share
    if "microBatch" in need.abilities:
        yield from divisors_below(share)


def divisors_below(number: int) -> Iterator[int]:
    """Give the divisors below a number, the largest first."""
    small = [divisor for divisor in range(1, math.isqrt(number) + 1) if number % divisor == 0]
    large = [number // divisor for divisor in small]
    yield from sorted({*small, *large} - {number}, reverse=True)


def execution_of(need: Need, offer: Offer, micro_batch: int) -> Execution:
    """Say how the global batch is split, exactly."""
    devices = max(1, offer.count)
    accumulation = need.batch // (micro_batch * devices)
    return Execution(
        micro_batch=micro_batch if accumulation > 1 else None,
        accumulation=accumulation,
        recompute=offer.recompute,
        devices=devices,
        sharding=offer.sharding,
    )


# --- How much memory there is --------------------------------------------------------------------


def capacity_bytes(shape: Shape, policy: PolicySpec) -> float:
    """Give the usable memory of one accelerator, or of the host where the shape has none."""
    if shape.resource is not None:
        return memory_bytes(shape) * (1 - policy.headroom_percent / 100)
    return _least_bytes(shape.host_memory, policy.limits.trial.memory)


def memory_bytes(shape: Shape) -> float:
    """Give the memory of one accelerator, 0 where the shape has none."""
    return 0.0 if shape.memory is None else parse_quantity(shape.memory)


def host_cap_bytes(shape: Shape | None, policy: PolicySpec) -> float:
    """Give the most host memory of a pod: by the shape, the limits and the escalation's cap."""
    return _least_bytes(
        None if shape is None else shape.host_memory,
        policy.limits.trial.memory,
        policy.escalation.memory_cap,
    )


def _least_bytes(*quantities: str | None) -> float:
    limits = [parse_quantity(quantity) for quantity in quantities if quantity is not None]
    return min(limits, default=math.inf)


# --- What the nodes offer ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node: its labels, and how much of each resource pods may have."""

    labels: Mapping[str, str]
    allocatable: Mapping[str, str]


def not_offered(policy: PolicySpec, nodes: Sequence[NodeView]) -> tuple[str, ...]:
    """Name the shapes that no node offers. With claims the driver knows that, not the node."""
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
