"""Kubernetes Events: what a person must know, seldom enough to be read."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from scaling_operator.cluster.client import FIELD_MANAGER, Client
from scaling_operator.cluster.errors import ClusterError
from scaling_operator.cluster.kinds import EVENTS, Kind

log = logging.getLogger(__name__)
BURST = 25
REFILL_SECONDS = 10.0
MAX_NOTE = 1024


@dataclass(frozen=True, slots=True)
class Note:
    """What happened to an object. `warning`: somebody should look."""

    kind: Kind
    namespace: str
    name: str
    uid: str
    reason: str
    message: str
    warning: bool = True


@dataclass(slots=True)
class Events:
    """Sends Events in the background of a reconcile, at most a bounded rate of them."""

    client: Client
    identity: str
    _tokens: float = BURST
    _refilled: float = field(default_factory=time.monotonic)
    _waiting: list[Note] = field(default_factory=list[Note])

    def add(self, note: Note) -> None:
        """Have an Event sent; beyond the rate it is only logged."""
        now = time.monotonic()
        self._tokens = min(BURST, self._tokens + (now - self._refilled) / REFILL_SECONDS)
        self._refilled = now
        if self._tokens < 1:
            log.info("no Event for lack of rate: %s/%s %s", note.name, note.reason, note.message)
            return
        self._tokens -= 1
        self._waiting.append(note)

    async def send(self) -> None:
        """Send what waits. An Event that cannot be sent is lost: it is no record."""
        waiting, self._waiting = self._waiting, []
        for note in waiting:
            try:
                await self.client.create(EVENTS, note.namespace, self._body(note))
            except ClusterError as error:
                log.warning("the Event %s of %s was not sent: %s", note.reason, note.name, error)

    def _body(self, note: Note) -> dict[str, Any]:
        return {
            "apiVersion": EVENTS.api_version,
            "kind": EVENTS.name,
            "metadata": {"name": f"{note.name}.{uuid4().hex[:16]}", "namespace": note.namespace},
            "eventTime": datetime.now(tz=UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "reportingController": f"{FIELD_MANAGER}.dev",
            "reportingInstance": self.identity[:128],
            "action": note.reason,
            "reason": note.reason,
            "type": "Warning" if note.warning else "Normal",
            "note": note.message[:MAX_NOTE],
            "regarding": {
                "apiVersion": note.kind.api_version,
                "kind": note.kind.name,
                "namespace": note.namespace,
                "name": note.name,
                "uid": note.uid,
            },
        }
