"""The objects that the watches have shown: hints, never the truth.

Events and the operator's own writes fill the index, the resync repairs it. No deletion, and no
further attempt, rests on the index alone: the API server has the last word (uid, resourceVersion,
name).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from scaling_operator.api.names import LABEL_EXPERIMENT
from scaling_operator.kube.client.kinds import EXPERIMENTS, JOBS, NAMESPACES, PODS, POLICIES, Kind
from scaling_operator.kube.client.ownership import owner_uid

Object = dict[str, Any]
MAX_DELETED = 10_000
"""Deleted objects to remember: minutes of the busiest operator, where seconds are needed."""


def _ignore(*arguments: object) -> None:
    del arguments


class Key(NamedTuple):
    """Namespace and name of an experiment: the unit of work.

    The key of a policy has an empty namespace, the key of a namespace an empty name.
    """

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(slots=True)
class Index:
    """Objects, by the experiment that they belong to."""

    experiments: dict[Key, Object] = field(default_factory=dict[Key, Object])
    workloads: dict[tuple[Kind, Key], dict[str, Object]] = field(
        default_factory=dict[tuple[Kind, Key], dict[str, Object]]
    )
    last_states: dict[tuple[Kind, Key], dict[str, Object]] = field(
        default_factory=dict[tuple[Kind, Key], dict[str, Object]]
    )
    """Last states of deleted workloads, until `forget_unawaited`: their end may not be read yet."""
    policies: dict[str, Object] = field(default_factory=dict[str, Object])
    namespaces: dict[str, Object] = field(default_factory=dict[str, Object])
    changes: dict[Key, int] = field(default_factory=dict[Key, int])
    """A number that changes with the workloads of an experiment."""
    on_put: Callable[[Kind, Key, Object | None, Object], None] = _ignore
    """Called with each object that the index takes in: kind, key, the state before, the object."""
    _last_change: int = 0
    _deleted_versions: dict[str, int] = field(default_factory=dict[str, int])
    """Versions of the objects deleted last, by uid: what arrives about them later is outdated."""
    _pods: dict[tuple[str, str], Key] = field(default_factory=dict[tuple[str, str], Key])
    """The experiment of a pod, by the pod's namespace and name: a report names only its pod."""
    _pods_of_jobs: dict[str, dict[str, Object]] = field(
        default_factory=dict[str, dict[str, Object]]
    )
    """Pods by the uid of the Job that controls them: such pods have names of their own."""

    def put(self, kind: Kind, object_: Object) -> Key | None:
        """Take in an object and return its key; None for a version that is not newer."""
        place = self._place(kind, object_)
        if place is None:
            return None
        key, objects, name = place
        before = objects.get(name)
        if self.is_deleted(object_):
            return None
        if before is not None and (_is_older(object_, before) or _is_same(object_, before)):
            return None
        object_["metadata"].pop("managedFields", None)
        objects[name] = object_
        self.last_states.get((kind, key), {}).pop(name, None)
        if kind in (PODS, JOBS):
            self._note_change(key)
        if kind is PODS:
            self._pods[(key.namespace, name)] = key
            self._forget_pod(before)
            job = owner_uid(object_, JOBS)
            if job is not None:
                self._pods_of_jobs.setdefault(job, {})[_uid(object_)] = object_
        self.on_put(kind, key, before, object_)
        return key

    def drop(self, kind: Kind, object_: Object) -> Key | None:
        """Take an object out, unless another object has its name now."""
        place = self._place(kind, object_)
        if place is None:
            return None
        key, objects, name = place
        self._note_deletion(object_, objects.get(name))
        if name in objects and _uid(objects[name]) == _uid(object_):
            indexed = objects.pop(name)
            if kind in (PODS, JOBS):
                self._note_change(key)
                # The event of a deletion carries the last state of the object.
                last = object_ if "status" in object_ else indexed
                self.last_states.setdefault((kind, key), {})[name] = last
            if kind is PODS:
                self._pods.pop((key.namespace, name), None)
                self._forget_pod(indexed)
        return key

    def workload(self, kind: Kind, key: Key, name: str) -> Object | None:
        """Find a pod or job of an experiment."""
        return self.workloads.get((kind, key), {}).get(name)

    def pod(self, namespace: str, name: str) -> Object | None:
        """Find a pod of an experiment by the pod's name."""
        key = self._pods.get((namespace, name))
        return None if key is None else self.workload(PODS, key, name)

    def pods_of(self, job: Object) -> Iterable[Object]:
        """All pods that a Job controls."""
        return self._pods_of_jobs.get(_uid(job), {}).values()

    def workloads_of(self, kind: Kind, key: Key) -> Iterator[Object]:
        """All pods or jobs of an experiment."""
        yield from list(self.workloads.get((kind, key), {}).values())

    def is_deleted(self, object_: Object) -> bool:
        """Whether the object's deletion was seen: lists and answers may be older than that event.

        An object that lost our label and got it back is newer; the index takes it in again.
        """
        return _version(object_) <= self._deleted_versions.get(_uid(object_), -1)

    def forget_unawaited(self, kind: Kind, key: Key, is_awaited: Callable[[str], bool]) -> None:
        """Forget the deleted workloads whose end nobody waits for."""
        gone = self.last_states.get((kind, key), {})
        for name in [name for name in gone if not is_awaited(name)]:
            del gone[name]

    def forget(self, key: Key) -> None:
        """Drop what belongs to a deleted experiment."""
        self.experiments.pop(key, None)
        for kind, owner in list(self.last_states):
            if owner == key:
                del self.last_states[(kind, owner)]
        for kind, owner in list(self.workloads):
            if owner == key and not self.workloads[(kind, owner)]:
                del self.workloads[(kind, owner)]
        if not any(owner == key for _, owner in self.workloads):
            self.changes.pop(key, None)

    def snapshot(self, kind: Kind) -> dict[tuple[Key, str], str]:
        """Give the uids of all indexed objects of a kind. Take the snapshot before you list."""
        return {
            (key, object_["metadata"]["name"]): _uid(object_)
            for key, objects in self._of(kind)
            for object_ in objects.values()
        }

    def repair(
        self, kind: Kind, listed: Iterable[Object], before: dict[tuple[Key, str], str]
    ) -> set[Key]:
        """Compare the index with a fresh list and repair it; return the keys that were wrong.

        `before` is the snapshot from before the list, which lacks objects created since.
        """
        wrong_keys: set[Key] = set()
        for object_ in listed:
            place = self._place(kind, object_)
            if place is not None and not self.is_deleted(object_):
                key, objects, name = place
                before.pop((key, object_["metadata"]["name"]), None)
                indexed = objects.get(name)
                if indexed is None or _uid(indexed) != _uid(object_) or _is_older(indexed, object_):
                    wrong_keys.add(key)
                    self.put(kind, object_)
        for (key, name), uid in before.items():
            labels = {LABEL_EXPERIMENT: key.name}
            metadata = {"name": name, "namespace": key.namespace, "uid": uid, "labels": labels}
            gone: Object = {"metadata": metadata}
            if self._knows(kind, gone):
                wrong_keys.add(key)
                self.drop(kind, gone)
        return wrong_keys

    def _note_deletion(self, object_: Object, indexed: Object | None) -> None:
        versions = [
            _version(version)
            for version in (object_, indexed)
            if version and _uid(version) == _uid(object_)
        ]
        self._deleted_versions[_uid(object_)] = max(versions)
        if len(self._deleted_versions) > MAX_DELETED:
            del self._deleted_versions[next(iter(self._deleted_versions))]

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
            for key, object_ in self.experiments.items():
                yield key, {key: object_}
        elif kind in (POLICIES, NAMESPACES):
            for name, object_ in self._outside_namespaces(kind).items():
                yield _key_of(kind, name), {name: object_}
        else:
            for (workload, key), objects in self.workloads.items():
                if workload is kind:
                    yield key, objects

    def _outside_namespaces(self, kind: Kind) -> dict[str, Object]:
        return self.policies if kind is POLICIES else self.namespaces

    def _knows(self, kind: Kind, object_: Object) -> bool:
        place = self._place(kind, object_)
        return place is not None and _uid(place[1].get(place[2], {"metadata": {}})) == _uid(object_)

    def _place(self, kind: Kind, object_: Object) -> tuple[Key, dict[Any, Object], Any] | None:
        metadata = object_["metadata"]
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
    """Give the key of a policy or a namespace, which lie in no namespace."""
    return Key("", name) if kind is POLICIES else Key(name, "")


def _uid(object_: Object) -> str:
    return str(object_["metadata"].get("uid"))


def _version(object_: Object) -> int:
    # Opaque by contract, yet etcd's revision in every API server; KEP-5504 makes that official.
    version = str(object_["metadata"].get("resourceVersion", ""))
    return int(version) if version.isdecimal() else 0


def _is_same(object_: Object, indexed: Object) -> bool:
    """Whether a watch shows what the answer to our own write has shown before."""
    return _uid(object_) == _uid(indexed) and 0 < _version(object_) == _version(indexed)


def _is_older(object_: Object, indexed: Object) -> bool:
    return _uid(object_) == _uid(indexed) and _version(object_) < _version(indexed)
