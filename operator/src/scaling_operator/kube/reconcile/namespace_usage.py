"""What the experiments of a namespace hold under its limits, and which of them wait for more.

What is held is counted from the workloads' objects, whoever created them. Whether an experiment is
in memory plays no part, so a restart and a change of leader change nothing. What is being created
is not in the index yet: it is reserved first, within one turn of the event loop, and stays so until
its object is seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from scaling_operator.api.names import LABEL_EXPERIMENT
from scaling_operator.api.policy import PolicyLimits
from scaling_operator.core.bounds import RESERVED_SECONDS
from scaling_operator.kube.client.client import Client
from scaling_operator.kube.client.index import Index, Key, Object
from scaling_operator.kube.client.kinds import JOBS, PODS, Kind
from scaling_operator.kube.client.ownership import owner_uid
from scaling_operator.kube.workloads.attempt_spec import GracePeriods
from scaling_operator.kube.workloads.held_resources import HeldResources, held_resources
from scaling_operator.kube.workloads.identity import attempt_of_name
from scaling_operator.runtime.sizer import Sizer
from scaling_operator.runtime.state import ExperimentState
from scaling_operator.runtime.tasks import InFlight
from scaling_operator.sizing.admission import NOTHING, Demand, Peers, PeerUsage, exceeded, total

HeldByName = dict[str, HeldResources]


@dataclass(frozen=True, slots=True)
class Reservation:
    """Room for a workload that is being created."""

    demand: Demand
    until_seconds: float


@dataclass(slots=True)
class HeldMachines:
    """Counts what the workloads of each experiment hold."""

    index: Index
    clock: Callable[[], float]
    grace: GracePeriods = field(default_factory=GracePeriods)
    _known: dict[Key, tuple[int, HeldByName]] = field(
        default_factory=dict[Key, "tuple[int, HeldByName]"]
    )
    """What workloads hold by name, with the index' change number at which it was counted."""
    _reserved: dict[Key, dict[str, Reservation]] = field(
        default_factory=dict[Key, "dict[str, Reservation]"]
    )
    _listed: set[str] = field(default_factory=set[str])
    """Namespaces whose workloads were listed since this process has the Lease."""
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def of(self, key: Key, is_counted: Callable[[str], bool] = lambda _: True) -> Demand:
        """Sum up what the counted workloads of an experiment hold."""
        now, workloads = self.clock(), self._workloads(key)
        held = (
            workload.demand
            for name, workload in workloads.items()
            if is_counted(name) and (workload.until_seconds is None or now < workload.until_seconds)
        )
        reserved = self._reservations(key)
        return total((*held, *(reserved[name].demand for name in reserved if is_counted(name))))

    def experiments(self, namespace: str) -> Iterator[Key]:
        """Give the experiments of a namespace that hold something, or did a moment ago."""
        keys = {key for _, key in self.index.workloads} | self._reserved.keys()
        return (key for key in sorted(keys) if key.namespace == namespace)

    def reserve(self, key: Key, name: str, demand: Demand, limits: PolicyLimits) -> str | None:
        """Reserve room for a workload to create; else say which limit it exceeds."""
        if name in self._workloads(key):
            return None
        own = self.of(key, lambda other: other != name)
        others = (self.of(other) for other in self.experiments(key.namespace) if other != key)
        exceeded_limit = exceeded(demand, own, total(others), limits)
        if exceeded_limit is None:
            until = self.clock() + RESERVED_SECONDS
            self._reserved.setdefault(key, {})[name] = Reservation(demand, until)
        return exceeded_limit

    def release(self, key: Key, name: str) -> None:
        """Drop a reservation: the workload is in the index, or was refused."""
        reserved = self._reserved.get(key, {})
        reserved.pop(name, None)
        if not reserved:
            self._reserved.pop(key, None)

    async def list_namespace(self, client: Client, kind: Kind, namespace: str) -> None:
        """List a namespace's workloads once, before this leader creates its first one there.

        The watches may be behind, and a workload that another leader has just created counts too.
        """
        async with self._lock:
            if namespace in self._listed:
                return
            for workload in await client.list(kind, namespace, LABEL_EXPERIMENT):
                if not self.index.is_deleted(workload):
                    self.index.put(kind, workload)
            self._listed.add(namespace)

    def list_again(self) -> None:
        """List each namespace again before it is used: another replica has led since."""
        self._listed.clear()

    def _workloads(self, key: Key) -> HeldByName:
        changes = self.index.changes.get(key, 0)
        cached = self._known.get(key)
        if cached is None or cached[0] != changes:
            held = {
                name: held_resources(workload, self.grace) for name, workload in self._objects(key)
            }
            self._known[key] = cached = (changes, held)
        return cached[1]

    def _objects(self, key: Key) -> Iterator[tuple[str, Object]]:
        """Give Jobs and pods, without the pods of Jobs: what they hold counts for the Job."""
        jobs = self.index.workloads.get((JOBS, key), {})
        yield from jobs.items()
        uids = {job["metadata"].get("uid") for job in jobs.values()}
        for name, pod in self.index.workloads.get((PODS, key), {}).items():
            if owner_uid(pod, JOBS) not in uids:
                yield name, pod

    def _reservations(self, key: Key) -> dict[str, Reservation]:
        """Give the reservations of workloads that the index lacks; each of them expires."""
        now, workloads = self.clock(), self._workloads(key)
        for name, reservation in list(self._reserved.get(key, {}).items()):
            if name in workloads or now >= reservation.until_seconds:
                self.release(key, name)
        return self._reserved.get(key, {})

    def forget(self, key: Key) -> None:
        """Drop a deleted experiment that holds nothing."""
        if not self._workloads(key):
            self._known.pop(key, None)


@dataclass(frozen=True, slots=True)
class Peer:
    """An experiment in memory: what it is about to create, and whether it waits for room."""

    sizer: Sizer
    in_flight: InFlight

    @property
    def pending_demand(self) -> Demand:
        """What the trials will hold that are being created."""
        return total(self.sizer.demand_of_scale(ask.scale) for ask in self.in_flight.asks)


@dataclass(slots=True)
class NamespaceUsage:
    """Compares the experiments of a namespace; only those in memory can wait for room."""

    held_machines: HeldMachines
    peers: dict[Key, Peer] = field(default_factory=dict[Key, Peer])
    _reported: dict[Key, tuple[Demand, bool]] = field(
        default_factory=dict[Key, tuple[Demand, bool]]
    )

    def peers_of(self, key: Key, state: ExperimentState) -> Peers:
        """Give what others hold beside an experiment's live trials, its own older workloads too."""

        def is_outdated(name: str) -> bool:
            attempt = attempt_of_name(key.name, name)
            return attempt is None or not state.is_current(attempt)

        return Peers(self.held_machines.of(key, is_outdated), tuple(self._peer_usages(key)))

    def waiting(self, key: Key) -> list[Key]:
        """Give the experiments that wait for room which an experiment frees."""
        return [
            other
            for other, peer in self.peers.items()
            if other != key and other.namespace == key.namespace and peer.sizer.is_waiting
        ]

    def stop_waiting(self, key: Key) -> None:
        """Note that an experiment waits no more: it cannot start anything now."""
        peer = self.peers.get(key)
        if peer is not None:
            peer.sizer.is_waiting = False

    def has_changed(self, key: Key) -> bool:
        """Whether an experiment's holdings or its waiting have changed since the last call."""
        peer = self.peers.get(key)
        now = self.held_machines.of(key), peer is not None and peer.sizer.is_waiting
        before = self._reported.pop(key, (NOTHING, False))
        if now != (NOTHING, False):
            self._reported[key] = now
        return now != before

    def _peer_usages(self, key: Key) -> Iterator[PeerUsage]:
        holders = set(self.held_machines.experiments(key.namespace))
        waiters = {other for other in self.peers if other.namespace == key.namespace}
        for other in sorted((holders | waiters) - {key}):
            held, peer = self.held_machines.of(other), self.peers.get(other)
            if peer is not None:
                held = held + peer.pending_demand
            yield PeerUsage(held, is_waiting=peer is not None and peer.sizer.is_waiting)
