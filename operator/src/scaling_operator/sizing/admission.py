"""Which of the trials that want a machine may ask for one now.

Within a scale the largest memory goes first; across scales the order is the plan's, cheapest first.
Nothing is started beyond a limit, or beside a workload of the same shape that no node has room for:
what waits, waits without a pod. Of experiments that share a namespace's limit, whoever holds least
goes first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from scaling_operator.api.names import Reason
from scaling_operator.api.policy import Limits, PolicyLimits
from scaling_operator.api.quantities import format_bytes, format_cores, parse_quantity
from scaling_operator.api.status_sizing import AttemptResources
from scaling_operator.sizing.allocation import Allocation, to_status

Slot = tuple[int, int]
SUMS_DIFFER = 1e-9
"""By what part sums of the same numbers may differ."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What a trial holds or wants: accelerators, cores, bytes of host memory, of which shape."""

    gpus: int = 0
    cores: float = 0.0
    memory_bytes: float = 0.0
    shape: str | None = None
    device_bytes: float = 0.0

    def __add__(self, other: Demand) -> Demand:
        """Sum up; the shape is the first one's."""
        return Demand(
            self.gpus + other.gpus,
            self.cores + other.cores,
            self.memory_bytes + other.memory_bytes,
            self.shape,
        )


NOTHING = Demand()


def total(demands: Iterable[Demand]) -> Demand:
    """Sum up many."""
    gpus, cores, memory_bytes = 0, 0.0, 0.0
    for each in demands:
        gpus += each.gpus
        cores += each.cores
        memory_bytes += each.memory_bytes
    return Demand(gpus, cores, memory_bytes)


def demand_of(allocation: Allocation) -> Demand:
    """Reduce an allocation to what limits speak of."""
    return demand_of_record(to_status(allocation))


def demand_of_record(recorded: AttemptResources) -> Demand:
    """Read what limits speak of from what stands on a workload, or will: to the same byte."""
    return Demand(
        recorded.count,
        0.0 if recorded.cpu is None else parse_quantity(recorded.cpu),
        0.0 if recorded.memory is None else parse_quantity(recorded.memory),
        recorded.shape,
        recorded.estimated_device_bytes or 0.0,
    )


@dataclass(frozen=True, slots=True)
class PeerUsage:
    """Another experiment of the namespace: what it holds, and whether it waits for more."""

    held: Demand
    is_waiting: bool


@dataclass(frozen=True, slots=True)
class Peers:
    """What is held beside an experiment's live trials.

    `left` is held by workloads of its own that are still to go: of ended trials, older attempts.
    """

    left: Demand = NOTHING
    peers: tuple[PeerUsage, ...] = ()


@dataclass(frozen=True, slots=True)
class Capacity:
    """What an experiment may still take.

    `held` is what its live workloads have, `waiting` the shapes of which one finds no node, with
    the scheduler's words.
    """

    limits: PolicyLimits
    held: Demand = NOTHING
    peers: tuple[PeerUsage, ...] = ()
    waiting: tuple[tuple[str | None, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """A trial without a workload, live or still to be asked for."""

    slot: Slot
    demand: Demand
    order: int
    """Of its scale, in running order."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A trial that has to wait, and why."""

    slot: Slot
    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Admission:
    """Who may start now, in order, and who waits."""

    admitted: tuple[Slot, ...] = ()
    rejected: tuple[Rejected, ...] = ()


def admit(requests: Sequence[Request], capacity: Capacity) -> Admission:
    """Let in as many as there is room for, in order; whoever does not fit lets smaller ones by."""
    held, admitted, turned = capacity.held, list[Slot](), list[Rejected]()
    for each in ordered(requests):
        refusal = _refusal(each.demand, held, capacity)
        if refusal is None:
            admitted.append(each.slot)
            held = held + each.demand
        else:
            turned.append(Rejected(each.slot, *refusal))
    return Admission(tuple(admitted), tuple(turned))


def ordered(requests: Sequence[Request]) -> list[Request]:
    """Put the cheapest scale first, and in it the largest memory; then the smallest number."""
    return sorted(
        requests,
        key=lambda each: (
            each.order, -each.demand.device_bytes, -each.demand.memory_bytes, each.slot
        ),
    )  # fmt: skip


def _refusal(demand: Demand, held: Demand, capacity: Capacity) -> tuple[Reason, str] | None:
    for shape, words in capacity.waiting:
        if shape == demand.shape:
            behind = f"waits behind another trial on {shape or 'a machine'}: {words}"
            return Reason.UNSCHEDULABLE, behind
    others = total(each.held for each in capacity.peers)
    beyond = exceeded(demand, held, others, capacity.limits)
    if beyond is not None:
        return Reason.QUOTA_EXCEEDED, beyond
    if _is_someone_elses_turn(held, capacity):
        return Reason.QUOTA_EXCEEDED, "limits.namespace: another experiment waits and holds less"
    return None


def exceeded(demand: Demand, own: Demand, others: Demand, limits: PolicyLimits) -> str | None:
    """Say which limit a demand would exceed, beside what its experiment and the others hold."""
    for name, bounds, held in (
        ("limits.experiment", limits.experiment, own),
        ("limits.namespace", limits.namespace, own + others),
    ):
        beyond = next(_beyond(demand, held, bounds), None)
        if beyond is not None:
            return f"{name}.{beyond}"
    return None


def _beyond(demand: Demand, held: Demand, limits: Limits) -> Iterator[str]:
    """Name the limits that a demand would exceed."""
    if limits.gpus is not None and demand.gpus and held.gpus + demand.gpus > limits.gpus:
        yield f"gpus allows {limits.gpus}, {held.gpus} are held"
    if limits.cpu is not None and _is_above(held.cores + demand.cores, limits.cpu):
        yield f"cpu allows {limits.cpu}, {_cores(held.cores)} are held"
    if limits.memory is not None and _is_above(
        held.memory_bytes + demand.memory_bytes, limits.memory
    ):
        yield f"memory allows {limits.memory}, {_bytes(held.memory_bytes)} are held"


def _is_above(amount: float, limit: str) -> bool:
    """Whether a sum exceeds a limit; three times 100m are 300m, though not as binary fractions."""
    return amount > parse_quantity(limit) * (1 + SUMS_DIFFER)


def _cores(cores: float) -> str:
    return format_cores(cores) if cores else "0"


def _bytes(size: float) -> str:
    return format_bytes(size) if size else "0"


def _is_someone_elses_turn(held: Demand, capacity: Capacity) -> bool:
    """Whether, where a namespace has a limit, a hungry neighbour holds less of it."""
    limits = capacity.limits.namespace
    for limit, measure in (
        (limits.gpus, _gpus_of),
        (limits.memory, _memory_of),
        (limits.cpu, _cores_of),
    ):
        if limit is not None:
            own = measure(held)
            return any(each.is_waiting and measure(each.held) < own for each in capacity.peers)
    return False


def _gpus_of(demand: Demand) -> float:
    return demand.gpus


def _memory_of(demand: Demand) -> float:
    return demand.memory_bytes


def _cores_of(demand: Demand) -> float:
    return demand.cores
