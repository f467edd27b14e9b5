"""Kubernetes Events: what a person must know, seldom enough to be read."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import uuid4

from scaling_operator.kube.client.client import FIELD_MANAGER, Client
from scaling_operator.kube.client.errors import ClusterError
from scaling_operator.kube.client.kinds import EVENTS, TRIALS, Kind
from scaling_trainer.foreign_text import as_message

log = logging.getLogger(__name__)
BURST = 25
REFILL_SECONDS = 10.0
MAX_BUDGETS = 1000


class Regarding(NamedTuple):
    """The object that an Event is about."""

    kind: Kind
    namespace: str
    name: str
    uid: str


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

    @property
    def experiment(self) -> tuple[str, str]:
        """Namespace and name of the experiment that it is about."""
        name = self.name.rsplit("-", 2)[0] if self.kind is TRIALS else self.name
        return self.namespace, name


@dataclass(slots=True)
class _Budget:
    """How many Events an experiment may have now: a few at once, then one in a while."""

    clock: Callable[[], float]
    left: float = BURST
    counted_seconds: float = 0.0

    def __post_init__(self) -> None:
        self.counted_seconds = self.clock()

    def is_full(self) -> bool:
        now = self.clock()
        self.left = min(BURST, self.left + (now - self.counted_seconds) / REFILL_SECONDS)
        self.counted_seconds = now
        return self.left >= BURST

    def take(self) -> bool:
        self.is_full()
        if self.left < 1:
            return False
        self.left -= 1
        return True


@dataclass(slots=True)
class Events:
    """Sends Events at a reconcile's end, of each experiment at most a bounded rate.

    So an experiment with a thousand failures neither floods the cluster nor silences another one.
    """

    client: Client
    identity: str
    clock: Callable[[], float] = time.monotonic
    _budgets: dict[tuple[str, str], _Budget] = field(default_factory=dict[tuple[str, str], _Budget])
    _waiting: list[Note] = field(default_factory=list[Note])

    def add(self, note: Note) -> None:
        """Have an Event sent; beyond the rate it is only logged."""
        if len(self._budgets) >= MAX_BUDGETS:
            for key in [key for key, budget in self._budgets.items() if budget.is_full()]:
                del self._budgets[key]
        budget = self._budgets.setdefault(note.experiment, _Budget(self.clock))
        if budget.take():
            self._waiting.append(note)
        else:
            log.info("no Event for lack of rate: %s/%s %s", note.name, note.reason, note.message)

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
            "note": as_message(note.message),
            "regarding": {
                "apiVersion": note.kind.api_version,
                "kind": note.kind.name,
                "namespace": note.namespace,
                "name": note.name,
                "uid": note.uid,
            },
        }
