"""Which of the trials that want a machine may request one now.

Across scales the order is the plan's, the cheapest scale first; within a scale the trial with the
largest memory goes first. Nothing starts beyond a limit, or beside a workload of the same shape
that no node has room for: a trial that waits has no pod. Of the experiments that share a
namespace's limit, the experiment that holds least goes first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from scaling_operator.api.names import Reason, TrialKey
from scaling_operator.api.policy import Limits, PolicyLimits
from scaling_operator.api.quantities import format_bytes, format_cores, parse_quantity
from scaling_operator.api.status_sizing import AttemptResources
from scaling_operator.sizing.allocation import Allocation, to_status

SUMS_DIFFER = 1e-9
"""The relative difference that two sums of the same numbers may have."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What a trial holds or wants: accelerators, cores and host memory, and of which shape."""

    gpus: int = 0
    cores: float = 0.0
    memory_bytes: float = 0.0
    shape: str | None = None
    device_bytes: float = 0.0

    def __add__(self, other: Demand) -> Demand:
        """Sum up; the shape is that of the first demand."""
        return Demand(
            self.gpus + other.gpus,
            self.cores + other.cores,
            self.memory_bytes + other.memory_bytes,
            self.shape,
        )


NOTHING = Demand()


def total(demands: Iterable[Demand]) -> Demand:
    """Sum up many demands; the sum has no shape."""
    gpus, cores, memory_bytes = 0, 0.0, 0.0
    for demand in demands:
        gpus += demand.gpus
        cores += demand.cores
        memory_bytes += demand.memory_bytes
    return Demand(gpus, cores, memory_bytes)


def demand_of(allocation: Allocation) -> Demand:
    """Reduce an allocation to the amounts that limits bound."""
    return demand_of_record(to_status(allocation))


def demand_of_record(recorded: AttemptResources) -> Demand:
    """Read the amounts that limits bound from the record on a workload: equal to the byte."""
    return Demand(
        gpus=recorded.count,
        cores=0.0 if recorded.cpu is None else parse_quantity(recorded.cpu),
        memory_bytes=0.0 if recorded.memory is None else parse_quantity(recorded.memory),
        shape=recorded.shape,
        device_bytes=recorded.estimated_device_bytes or 0.0,
    )


@dataclass(frozen=True, slots=True)
class PeerUsage:
    """Another experiment of the namespace: what it holds, and whether it waits for machines."""

    held: Demand
    is_waiting: bool


@dataclass(frozen=True, slots=True)
class Peers:
    """What is held beside an experiment's live trials.

    `left` is held by the experiment's own workloads that are still to be deleted: those of ended
    trials and of older attempts.
    """

    left: Demand = NOTHING
    peers: tuple[PeerUsage, ...] = ()


@dataclass(frozen=True, slots=True)
class Capacity:
    """What an experiment may still take.

    `held` is what its live workloads have. `waiting` are the shapes for which one of its workloads
    finds no node, each with the message of the scheduler.
    """

    limits: PolicyLimits
    held: Demand = NOTHING
    peers: tuple[PeerUsage, ...] = ()
    waiting: tuple[tuple[str | None, str], ...] = ()


@dataclass(frozen=True, slots=True)
class AdmissionRequest:
    """A trial without a workload, live or still to be asked for.

    `order` is the position of its scale in running order.
    """

    key: TrialKey
    demand: Demand
    order: int


@dataclass(frozen=True, slots=True)
class Rejected:
    """A trial that has to wait, and why."""

    key: TrialKey
    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Admission:
    """The trials that may start now, in order, and those that wait."""

    admitted: tuple[TrialKey, ...] = ()
    rejected: tuple[Rejected, ...] = ()


def admit(requests: Sequence[AdmissionRequest], capacity: Capacity) -> Admission:
    """Admit as many trials as there is room for, in order; smaller trials may pass larger ones."""
    held, admitted, rejected = capacity.held, list[TrialKey](), list[Rejected]()
    for request in ordered(requests):
        obstacle = _obstacle(request.demand, held, capacity)
        if obstacle is None:
            admitted.append(request.key)
            held = held + request.demand
        else:
            rejected.append(Rejected(request.key, *obstacle))
    return Admission(tuple(admitted), tuple(rejected))


def ordered(requests: Sequence[AdmissionRequest]) -> list[AdmissionRequest]:
    """Order by scale, the cheapest first; then by memory, the largest first; then by number."""
    return sorted(
        requests,
        key=lambda request: (
            request.order,
            -request.demand.device_bytes,
            -request.demand.memory_bytes,
            request.key,
        ),
    )


def _obstacle(demand: Demand, held: Demand, capacity: Capacity) -> tuple[Reason, str] | None:
    for shape, message in capacity.waiting:
        if shape == demand.shape:
            behind = f"waits behind another trial on {shape or 'a machine'}: {message}"
            return Reason.UNSCHEDULABLE, behind
    others = total(peer.held for peer in capacity.peers)
    beyond = exceeded(demand, held, others, capacity.limits)
    if beyond is not None:
        return Reason.QUOTA_EXCEEDED, beyond
    if _is_turn_of_a_peer(held, capacity):
        return Reason.QUOTA_EXCEEDED, "limits.namespace: another experiment waits and holds less"
    return None


def exceeded(demand: Demand, own: Demand, others: Demand, limits: PolicyLimits) -> str | None:
    """Say which limit a demand would exceed, beside what its experiment and its peers hold."""
    for name, bounds, held in (
        ("limits.experiment", limits.experiment, own),
        ("limits.namespace", limits.namespace, own + others),
    ):
        beyond = next(_beyond(demand, held, bounds), None)
        if beyond is not None:
            return f"{name}.{beyond}"
    return None


def _beyond(demand: Demand, held: Demand, limits: Limits) -> Iterator[str]:
    """Name the limits that a demand would exceed, and what is held of each."""
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


def _is_turn_of_a_peer(held: Demand, capacity: Capacity) -> bool:
    """Whether, where a namespace has a limit, a waiting peer holds less of the limited amount."""
    limits = capacity.limits.namespace
    for limit, amount in (
        (limits.gpus, _gpus_of),
        (limits.memory, _memory_of),
        (limits.cpu, _cores_of),
    ):
        if limit is not None:
            own = amount(held)
            return any(peer.is_waiting and amount(peer.held) < own for peer in capacity.peers)
    return False


def _gpus_of(demand: Demand) -> float:
    return demand.gpus


def _memory_of(demand: Demand) -> float:
    return demand.memory_bytes


def _cores_of(demand: Demand) -> float:
    return demand.cores
