"""Times of pods, as the operator learns of them: waits for a machine, idle slots."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from scaling_operator.api.names import LABEL_TRIAL
from scaling_operator.metrics.operator_metrics import OperatorMetrics, Owner

MAX_SLOTS = 1000
_ENDED = "Ended"
_FRESH_SECONDS = 2.0
"""Creation times are whole seconds: a younger pod counts as created now."""


@dataclass(slots=True)
class PodTimes:
    """Measures pods that the index takes in. `clock`: seconds since the epoch."""

    operator_metrics: OperatorMetrics
    clock: Callable[[], float]
    progress: dict[Owner, float] = field(default_factory=dict[Owner, float])
    """When a pod of an experiment last started or ended, or a report came."""
    _created: dict[str, float] = field(default_factory=dict[str, float])
    _free: dict[Owner, deque[float]] = field(default_factory=dict[Owner, deque[float]])

    def put(self, owner: Owner, before: Mapping[str, Any] | None, pod: Mapping[str, Any]) -> None:
        """Take in a pod, with the state before."""
        if LABEL_TRIAL not in pod["metadata"].get("labels", {}):
            return  # a finisher takes no slot
        uid = str(pod["metadata"]["uid"])
        if before is not None and before["metadata"]["uid"] != uid:
            before = None
        was, phase = _phase(before), _phase(pod)
        if phase != was:
            self.progress[owner] = self.clock()
        if before is None and phase == "Pending":
            self._begin(owner, uid, pod)
        if phase == "Running" and uid in self._created:
            self.operator_metrics.pod_waited(owner, self.clock() - self._created.pop(uid))
        if phase == _ENDED and was not in (_ENDED, None):
            self._created.pop(uid, None)
            self._free.setdefault(owner, deque(maxlen=MAX_SLOTS)).append(self.clock())

    def drop(self, pod: Mapping[str, Any]) -> None:
        """Forget a deleted pod."""
        self._created.pop(str(pod["metadata"].get("uid")), None)

    def progressed(self, owner: Owner) -> None:
        """Note progress of an experiment other than by a pod."""
        self.progress[owner] = self.clock()

    def settled(self, owner: Owner) -> None:
        """Forget free slots when nothing is left to start: they are not idle but unused."""
        self._free.pop(owner, None)

    def forget(self, owner: Owner) -> None:
        """Forget a deleted experiment."""
        self._free.pop(owner, None)
        self.progress.pop(owner, None)

    def _begin(self, owner: Owner, uid: str, pod: Mapping[str, Any]) -> None:
        now = self.clock()
        created = datetime.fromisoformat(pod["metadata"]["creationTimestamp"]).timestamp()
        self._created[uid] = created if now - created > _FRESH_SECONDS else now
        free = self._free.get(owner)
        if free:
            self.operator_metrics.slot_refilled(now - free.popleft())


def _phase(pod: Mapping[str, Any] | None) -> str | None:
    """Give the phase of a pod: Pending, Running or ended.

    A kubelet reports first that the containers have ended, and a moment later that the pod has. The
    operator does not wait for the second report, and neither does the measure of idle slots.
    """
    if pod is None:
        return None
    status = pod.get("status", {})
    containers: list[dict[str, Any]] = status.get("containerStatuses") or []
    ended = bool(containers) and all(
        "terminated" in container.get("state", {}) for container in containers
    )
    phase = str(status.get("phase", "Pending"))
    return _ENDED if ended or phase in ("Succeeded", "Failed") else phase
