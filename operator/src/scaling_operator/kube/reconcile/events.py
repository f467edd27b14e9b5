"""Kubernetes Events: what a person must know, seldom enough to be read."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from scaling_operator.kube.client.client import FIELD_MANAGER, Client, micro_time
from scaling_operator.kube.client.errors import ClusterError
from scaling_operator.kube.client.index import Key
from scaling_operator.kube.client.kinds import EVENTS, Kind
from scaling_operator.server.throttle import Throttle
from scaling_trainer.foreign_text import as_message

log = logging.getLogger(__name__)
BURST = 25
REFILL_SECONDS = 10.0
MAX_EXPERIMENTS = 1000
"""For so many the rate is remembered; the one whose last Event is the oldest is forgotten first."""


@dataclass(frozen=True, slots=True)
class ObjectReference:
    """The object that an Event is about."""

    kind: Kind
    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Event:
    """What happened to an object. `is_warning`: somebody should look."""

    regarding: ObjectReference
    reason: str
    message: str
    is_warning: bool = True


@dataclass(slots=True)
class EventRecorder:
    """Sends Events at a reconcile's end, of each experiment at most a bounded rate.

    So an experiment with a thousand failures neither floods the cluster nor silences another one.
    """

    client: Client
    identity: str
    clock: Callable[[], float] = time.monotonic
    _throttle: Throttle[Key] = field(init=False)
    """A few Events at once, then one every `REFILL_SECONDS`."""
    _waiting: list[Event] = field(default_factory=list[Event])

    def __post_init__(self) -> None:
        self._throttle = Throttle(1 / REFILL_SECONDS, BURST, self.clock, MAX_EXPERIMENTS)

    def add(self, experiment: Key, event: Event) -> None:
        """Have an Event sent that counts for an experiment; beyond the rate it is only logged."""
        if self._throttle.take(experiment) == 0:
            self._waiting.append(event)
        else:
            name = event.regarding.name
            log.info("no Event for lack of rate: %s/%s %s", name, event.reason, event.message)

    async def send(self) -> None:
        """Send the waiting Events. An Event that cannot be sent is lost: Events are no record."""
        waiting, self._waiting = self._waiting, []
        for event in waiting:
            regarding = event.regarding
            try:
                await self.client.create(EVENTS, regarding.namespace, self._body(event))
            except ClusterError as error:
                message = "the Event %s of %s was not sent: %s"
                log.warning(message, event.reason, regarding.name, error)

    def _body(self, event: Event) -> dict[str, Any]:
        regarding = event.regarding
        return {
            "apiVersion": EVENTS.api_version,
            "kind": EVENTS.name,
            "metadata": {
                "name": f"{regarding.name}.{uuid4().hex[:16]}",
                "namespace": regarding.namespace,
            },
            "eventTime": micro_time(),
            "reportingController": f"{FIELD_MANAGER}.dev",
            "reportingInstance": self.identity[:128],
            "action": event.reason,
            "reason": event.reason,
            "type": "Warning" if event.is_warning else "Normal",
            "note": as_message(event.message),
            "regarding": {
                "apiVersion": regarding.kind.api_version,
                "kind": regarding.kind.name,
                "namespace": regarding.namespace,
                "name": regarding.name,
                "uid": regarding.uid,
            },
        }
