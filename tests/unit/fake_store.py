"""The objects of an API server in memory: stored, changed, deleted, watched, garbage collected."""

from __future__ import annotations

import copy
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from scaling_operator.api.names import GROUP
from scaling_operator.kube.client.kinds import JOBS, PODS, Kind

Object = dict[str, Any]
Place = tuple[Kind, str, str]
"""Kind, namespace (empty where there is none) and name."""
GRACE_SECONDS = 30


class Refused(Exception):
    """A request cannot be fulfilled: HTTP's code, and reason and message of the Status."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code, self.reason = code, reason


@dataclass(slots=True)
class Store:
    """Objects by place. `clock` gives seconds since the epoch; uids and versions count up."""

    clock: Callable[[], float] = time.time
    objects: dict[Place, Object] = field(default_factory=dict[Place, Object])
    many_hooks: list[Callable[[str, Kind, Object], None]] = field(
        default_factory=list[Callable[[str, Kind, Object], None]]
    )
    """Each hears ADDED, MODIFIED or DELETED, the kind, and a copy of the object."""
    revision: int = 0
    _uids: int = 0

    def all(self, kind: Kind, namespace: str | None = None) -> list[Object]:
        """Copy all objects of a kind, by namespace and name."""
        return copy.deepcopy(self.stored(kind, namespace))

    def stored(self, kind: Kind, namespace: str | None = None) -> list[Object]:
        """Give all objects of a kind, by namespace and name, themselves: do not change them."""
        places = sorted((place[1:], place) for place in self.objects if place[0] is kind)
        places = [place for where, place in places if namespace in (None, where[0])]
        return [self.objects[place] for place in places]

    def one(self, kind: Kind, namespace: str | None, name: str) -> Object:
        """Copy an object. Raises KeyError."""
        return copy.deepcopy(self.objects[(kind, namespace or "", name)])

    def add(self, kind: Kind, namespace: str | None, body: Object) -> Object:
        """Store an object as it is, its status too; complete its metadata."""
        stored = copy.deepcopy(body)
        metadata = stored["metadata"]
        place = (kind, namespace or "", metadata["name"])
        if place in self.objects:
            raise Refused(409, "AlreadyExists", f'{kind.plural} "{place[2]}" already exists')
        self._uids += 1
        metadata |= {"uid": str(uuid.UUID(int=self._uids)), "creationTimestamp": self._time(0)}
        metadata |= {"namespace": namespace} if namespace else {}
        if is_ours(kind) or kind is JOBS:
            metadata["generation"] = 1
        return self._store("ADDED", place, stored)

    def edit(
        self, kind: Kind, namespace: str | None, name: str, change: Callable[[Object], object]
    ) -> Object:
        """Change an object; one of another spec is of the next generation."""
        place = (kind, namespace or "", name)
        before, stored = self.objects[place], copy.deepcopy(self.objects[place])
        change(stored)
        if stored == before:
            return stored
        if "generation" in before["metadata"] and stored.get("spec") != before.get("spec"):
            stored["metadata"]["generation"] = before["metadata"]["generation"] + 1
        return self._store("MODIFIED", place, stored)

    def delete(self, kind: Kind, namespace: str | None, name: str) -> None:
        """Delete an object; a pod that is on a node stays until its kubelet has ended it."""
        stored = self.objects[(kind, namespace or "", name)]
        ended = stored.get("status", {}).get("phase") in ("Succeeded", "Failed")
        if kind is PODS and stored.get("spec", {}).get("nodeName") and not ended:
            due = self._time(GRACE_SECONDS)
            change: Callable[[Object], object] = lambda pod: pod["metadata"].setdefault(  # noqa: E731
                "deletionTimestamp", due
            )
            self.edit(kind, namespace, name, change)
        else:
            self.remove(kind, namespace, name)

    def remove(self, kind: Kind, namespace: str | None, name: str, *, orphan: bool = False) -> None:
        """Take an object away at once, and by garbage collection what it owned, unless orphaned."""
        stored = self.objects.pop((kind, namespace or "", name))
        self.revision += 1
        stored["metadata"]["resourceVersion"] = str(self.revision)
        self._tell("DELETED", kind, stored)
        for place, dependent in list(self.objects.items()):
            owners: list[Object] = dependent["metadata"].get("ownerReferences", [])
            if [owner["uid"] for owner in owners] == [stored["metadata"]["uid"]]:
                if orphan:
                    self.edit(*place, lambda owned: owned["metadata"].pop("ownerReferences"))
                elif place in self.objects:
                    self.delete(*place)

    def _time(self, seconds: float) -> str:
        moment = datetime.fromtimestamp(self.clock() + seconds, tz=UTC)
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")

    def _store(self, event: str, place: Place, stored: Object) -> Object:
        self.revision += 1
        stored["metadata"]["resourceVersion"] = str(self.revision)
        self.objects[place] = stored
        self._tell(event, place[0], stored)
        return copy.deepcopy(stored)

    def _tell(self, event: str, kind: Kind, stored: Object) -> None:
        for hooks in list(self.many_hooks):
            hooks(event, kind, copy.deepcopy(stored))


def is_ours(kind: Kind) -> bool:
    """Whether a kind is one of the project's own."""
    return kind.group == GROUP
