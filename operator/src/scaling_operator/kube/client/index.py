"""What the watches have shown: hints, never the truth.

Filled by events and by our own writes, repaired by the resync. A deletion, or a further attempt, is
never decided on it without the API server having the last word (uid, resourceVersion, name).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from scaling_operator.api.names import LABEL_EXPERIMENT
from scaling_operator.kube.client.kinds import EXPERIMENTS, JOBS, NAMESPACES, PODS, POLICIES, Kind
from scaling_operator.kube.client.ownership import owner_uid

Object = dict[str, Any]
MOST_DEPARTED = 10_000
"""So many that went are remembered: minutes of the busiest operator, where seconds are needed."""


def _ignore(*heard: object) -> None:
    del heard


class Key(NamedTuple):
    """Namespace and name of an experiment: the unit of work. A policy has no namespace.

    A namespace by itself has no name beside it.
    """

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(slots=True)
class Index:
    """Objects by the experiment that they belong to."""

    experiments: dict[Key, Object] = field(default_factory=dict[Key, Object])
    workloads: dict[tuple[Kind, Key], dict[str, Object]] = field(
        default_factory=dict[tuple[Kind, Key], dict[str, Object]]
    )
    gone: dict[tuple[Kind, Key], dict[str, Object]] = field(
        default_factory=dict[tuple[Kind, Key], dict[str, Object]]
    )
    """Workloads as they were last seen, until `bury`: their end may not have been read yet."""
    policies: dict[str, Object] = field(default_factory=dict[str, Object])
    namespaces: dict[str, Object] = field(default_factory=dict[str, Object])
    changes: dict[Key, int] = field(default_factory=dict[Key, int])
    """Another number for each state of an experiment's workloads."""
    on_put: Callable[[Kind, Key, Object | None, Object], None] = _ignore
    """Is told of each object that is taken in: what it was before, and what it is."""
    _last_change: int = 0
    _departed: dict[str, int] = field(default_factory=dict[str, int])
    """Versions of the last objects that went, by uid: what is told of them later is older news."""
    _pods: dict[tuple[str, str], Key] = field(default_factory=dict[tuple[str, str], Key])
    """Whose a pod is, by namespace and name: a report names its pod alone."""
    _pods_of_jobs: dict[str, dict[str, Object]] = field(
        default_factory=dict[str, dict[str, Object]]
    )
    """Pods by the uid of the Job that controls them: they have names of their own."""

    def put(self, kind: Kind, thing: Object) -> Key | None:
        """Take in an object; return whom it concerns, None where we know it, or a newer one."""
        found = self._place(kind, thing)
        if found is None:
            return None
        key, things, name = found
        before = things.get(name)
        if self.has_departed(thing):
            return None
        if before is not None and (_is_older(thing, before) or _is_same(thing, before)):
            return None
        thing["metadata"].pop("managedFields", None)
        things[name] = thing
        self.gone.get((kind, key), {}).pop(name, None)
        if kind in (PODS, JOBS):
            self._note_change(key)
        if kind is PODS:
            self._pods[(key.namespace, name)] = key
            self._forget_pod(before)
            job = owner_uid(thing, JOBS)
            if job is not None:
                self._pods_of_jobs.setdefault(job, {})[_uid(thing)] = thing
        self.on_put(kind, key, before, thing)
        return key

    def drop(self, kind: Kind, thing: Object) -> Key | None:
        """Take an object out, unless another one of its name has come since."""
        found = self._place(kind, thing)
        if found is None:
            return None
        key, things, name = found
        self._note_departure(thing, things.get(name))
        if name in things and _uid(things[name]) == _uid(thing):
            known = things.pop(name)
            if kind in (PODS, JOBS):
                self._note_change(key)
                # The event of a deletion shows the object's last state.
                last = thing if "status" in thing else known
                self.gone.setdefault((kind, key), {})[name] = last
            if kind is PODS:
                self._pods.pop((key.namespace, name), None)
                self._forget_pod(known)
        return key

    def workload(self, kind: Kind, key: Key, name: str) -> Object | None:
        """Find a pod or job of an experiment."""
        return self.workloads.get((kind, key), {}).get(name)

    def pod(self, namespace: str, name: str) -> Object | None:
        """Find a pod of ours by its name."""
        key = self._pods.get((namespace, name))
        return None if key is None else self.workload(PODS, key, name)

    def pods_of(self, job: Object) -> Iterable[Object]:
        """All pods that a Job controls."""
        return self._pods_of_jobs.get(_uid(job), {}).values()

    def workloads_of(self, kind: Kind, key: Key) -> Iterator[Object]:
        """All pods or jobs of an experiment."""
        yield from list(self.workloads.get((kind, key), {}).values())

    def has_departed(self, thing: Object) -> bool:
        """Whether an object's end was seen: a list, or an answer, may be older than that event.

        One that lost our label and got it back is newer, and is taken in again.
        """
        return _version(thing) <= self._departed.get(_uid(thing), -1)

    def forget_awaited(self, kind: Kind, key: Key, is_awaited: Callable[[str], bool]) -> None:
        """Forget the workloads that are gone and whose end nobody waits for."""
        gone = self.gone.get((kind, key), {})
        for name in [name for name in gone if not is_awaited(name)]:
            del gone[name]

    def forget(self, key: Key) -> None:
        """Drop what belongs to an experiment that is gone."""
        self.experiments.pop(key, None)
        for kind, owner in list(self.gone):
            if owner == key:
                del self.gone[(kind, owner)]
        for kind, owner in list(self.workloads):
            if owner == key and not self.workloads[(kind, owner)]:
                del self.workloads[(kind, owner)]
        if not any(owner == key for _, owner in self.workloads):
            self.changes.pop(key, None)

    def snapshot(self, kind: Kind) -> dict[tuple[Key, str], str]:
        """Name what is known of a kind now, with uids: to be taken before a list is asked for."""
        return {
            (key, thing["metadata"]["name"]): _uid(thing)
            for key, things in self._of(kind)
            for thing in things.values()
        }

    def repair(
        self, kind: Kind, listed: Iterable[Object], before: dict[tuple[Key, str], str]
    ) -> set[Key]:
        """Compare with a fresh list; mend the index and name the keys about which it erred.

        `before` is the snapshot from before the list: what was made since may lack in the list.
        """
        wrong: set[Key] = set()
        for thing in listed:
            found = self._place(kind, thing)
            if found is not None and not self.has_departed(thing):
                key, things, name = found
                before.pop((key, thing["metadata"]["name"]), None)
                known = things.get(name)
                if known is None or _uid(known) != _uid(thing) or _is_older(known, thing):
                    wrong.add(key)
                    self.put(kind, thing)
        for (key, name), uid in before.items():
            labels = {LABEL_EXPERIMENT: key.name}
            metadata = {"name": name, "namespace": key.namespace, "uid": uid, "labels": labels}
            gone: Object = {"metadata": metadata}
            if self._knows(kind, gone):
                wrong.add(key)
                self.drop(kind, gone)
        return wrong

    def _note_departure(self, thing: Object, known: Object | None) -> None:
        versions = [_version(each) for each in (thing, known) if each and _uid(each) == _uid(thing)]
        self._departed[_uid(thing)] = max(versions)
        if len(self._departed) > MOST_DEPARTED:
            del self._departed[next(iter(self._departed))]

    def _note_change(self, key: Key) -> None:
        self._last_change += 1
        self.changes[key] = self._last_change

    def _forget_pod(self, pod: Object | None) -> None:
        job = None if pod is None else owner_uid(pod, JOBS)
        if pod is not None and job is not None:
            pods = self._pods_of_jobs.get(job, {})
            pods.pop(_uid(pod), None)
            if not pods:
                self._pods_of_jobs.pop(job, None)

    def _of(self, kind: Kind) -> Iterator[tuple[Key, dict[Any, Object]]]:
        if kind is EXPERIMENTS:
            for key, thing in self.experiments.items():
                yield key, {key: thing}
        elif kind in (POLICIES, NAMESPACES):
            for name, thing in self._outside_namespaces(kind).items():
                yield _key_of(kind, name), {name: thing}
        else:
            for (workload, key), things in self.workloads.items():
                if workload is kind:
                    yield key, things

    def _outside_namespaces(self, kind: Kind) -> dict[str, Object]:
        return self.policies if kind is POLICIES else self.namespaces

    def _knows(self, kind: Kind, thing: Object) -> bool:
        found = self._place(kind, thing)
        return found is not None and _uid(found[1].get(found[2], {"metadata": {}})) == _uid(thing)

    def _place(self, kind: Kind, thing: Object) -> tuple[Key, dict[Any, Object], Any] | None:
        metadata = thing["metadata"]
        name = metadata["name"]
        if kind in (POLICIES, NAMESPACES):
            return _key_of(kind, name), self._outside_namespaces(kind), name
        if kind is EXPERIMENTS:
            key = Key(metadata["namespace"], name)
            return key, self.experiments, key
        if kind in (PODS, JOBS):
            owner = metadata.get("labels", {}).get(LABEL_EXPERIMENT)
            if owner is None:
                return None
            key = Key(metadata["namespace"], owner)
            return key, self.workloads.setdefault((kind, key), {}), name
        message = f"{kind.plural} are not watched"
        raise ValueError(message)


def _key_of(kind: Kind, name: str) -> Key:
    """Give the key of what lies in no namespace."""
    return Key("", name) if kind is POLICIES else Key(name, "")


def _uid(thing: Object) -> str:
    return str(thing["metadata"].get("uid"))


def _version(thing: Object) -> int:
    # Opaque by contract, yet etcd's revision in every API server: KEP-5504 makes it official.
    version = str(thing["metadata"].get("resourceVersion", ""))
    return int(version) if version.isdecimal() else 0


def _is_same(thing: Object, known: Object) -> bool:
    """Whether a watch tells what our own write has brought back before."""
    return _uid(thing) == _uid(known) and 0 < _version(thing) == _version(known)


def _is_older(thing: Object, known: Object) -> bool:
    return _uid(thing) == _uid(known) and _version(thing) < _version(known)
