"""What the workloads of a namespace hold: counted from their objects, whoever has made them.

Whether an experiment is in memory plays no part, so a restart and a change of leader change
nothing. What is being created is not in the index yet: it is reserved first, within one turn of the
event loop, and stays so until its object is seen.
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
from scaling_operator.kube.workloads.attempt_spec import Bounds
from scaling_operator.kube.workloads.held import Held, held_by
from scaling_operator.sizing.admission import Demand, exceeded, total

_Named = dict[str, Held]


@dataclass(frozen=True, slots=True)
class _Reserved:
    """Room for a workload that is being created."""

    demand: Demand
    until_seconds: float


@dataclass(slots=True)
class HeldMachines:
    """What is held, by experiment."""

    index: Index
    clock: Callable[[], float]
    bounds: Bounds = field(default_factory=Bounds)
    _known: dict[Key, tuple[int, _Named]] = field(default_factory=dict[Key, "tuple[int, _Named]"])
    """By experiment, as of a count of changes in the index."""
    _reserved: dict[Key, dict[str, _Reserved]] = field(
        default_factory=dict[Key, "dict[str, _Reserved]"]
    )
    _seen: set[str] = field(default_factory=set[str])
    """Namespaces whose workloads were listed since this process leads."""
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def of(self, key: Key, is_counted: Callable[[str], bool] = lambda _: True) -> Demand:
        """Sum up what workloads of an experiment hold, those whose names are counted."""
        now, named = self.clock(), self._workloads(key)
        held = (
            each.demand
            for name, each in named.items()
            if is_counted(name) and (each.until_seconds is None or now < each.until_seconds)
        )
        reserved = self._reservations(key)
        return total((*held, *(reserved[name].demand for name in reserved if is_counted(name))))

    def experiments(self, namespace: str) -> Iterator[Key]:
        """Name the experiments of a namespace that hold something, or did a moment ago."""
        keys = {key for _, key in self.index.workloads} | self._reserved.keys()
        return (key for key in sorted(keys) if key.namespace == namespace)

    def reserve(self, key: Key, name: str, demand: Demand, limits: PolicyLimits) -> str | None:
        """Take room for a workload that is about to be created; else say what is exceeded."""
        if name in self._workloads(key):
            return None
        own = self.of(key, lambda other: other != name)
        others = (self.of(other) for other in self.experiments(key.namespace) if other != key)
        beyond = exceeded(demand, own, total(others), limits)
        if beyond is None:
            until = self.clock() + RESERVED_SECONDS
            self._reserved.setdefault(key, {})[name] = _Reserved(demand, until)
        return beyond

    def release(self, key: Key, name: str) -> None:
        """Give room back: the workload is in the index, or was refused."""
        reserved = self._reserved.get(key, {})
        reserved.pop(name, None)
        if not reserved:
            self._reserved.pop(key, None)

    async def look(self, client: Client, kind: Kind, namespace: str) -> None:
        """List a namespace's workloads once, before the first of them is made by this leader.

        The watches may be behind; what another leader has just made counts all the same.
        """
        async with self._lock:
            if namespace in self._seen:
                return
            for thing in await client.list(kind, namespace, LABEL_EXPERIMENT):
                if not self.index.has_departed(thing):
                    self.index.put(kind, thing)
            self._seen.add(namespace)

    def look_again(self) -> None:
        """Believe the API server alone: another replica has led since."""
        self._seen.clear()

    def _workloads(self, key: Key) -> _Named:
        changes = self.index.changes.get(key, 0)
        known = self._known.get(key)
        if known is None or known[0] != changes:
            named = {name: held_by(each, self.bounds) for name, each in self._objects(key)}
            self._known[key] = known = (changes, named)
        return known[1]

    def _objects(self, key: Key) -> Iterator[tuple[str, Object]]:
        """Give Jobs and pods; what a Job's pod holds is its Job's."""
        jobs = self.index.workloads.get((JOBS, key), {})
        yield from jobs.items()
        uids = {job["metadata"].get("uid") for job in jobs.values()}
        for name, pod in self.index.workloads.get((PODS, key), {}).items():
            if owner_uid(pod, JOBS) not in uids:
                yield name, pod

    def _reservations(self, key: Key) -> dict[str, _Reserved]:
        """Give what is reserved and not seen yet; no reply is waited for for ever."""
        now, workloads = self.clock(), self._workloads(key)
        for name, each in list(self._reserved.get(key, {}).items()):
            if name in workloads or now >= each.until_seconds:
                self.release(key, name)
        return self._reserved.get(key, {})

    def forget(self, key: Key) -> None:
        """Drop what is kept of an experiment that is gone and holds nothing."""
        if not self._workloads(key):
            self._known.pop(key, None)
