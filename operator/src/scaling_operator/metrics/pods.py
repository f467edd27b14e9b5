"""Moments of pods, as the operator learns of them: waits for a machine, slots that stand idle."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from scaling_operator.api.names import LABEL_TRIAL
from scaling_operator.metrics.operator_metrics import OperatorMetrics, Owner

MAX_SLOTS = 1000
_ENDED = "over"
_FRESH_SECONDS = 2.0
"""A creation time is whole seconds: a younger pod is taken as made this very moment."""


@dataclass(slots=True)
class PodTimes:
    """Measures from what the index takes in. `clock`: seconds since the epoch."""

    operator_metrics: OperatorMetrics
    clock: Callable[[], float]
    progress: dict[Owner, float] = field(default_factory=dict[Owner, float])
    """When a pod of an experiment last began or ended, or a report came."""
    _created: dict[str, float] = field(default_factory=dict[str, float])
    _free: dict[Owner, deque[float]] = field(default_factory=dict[Owner, deque[float]])

    def put(self, owner: Owner, before: Mapping[str, Any] | None, pod: Mapping[str, Any]) -> None:
        """Take what a pod was known as, and what it is now."""
        if LABEL_TRIAL not in pod["metadata"].get("labels", {}):
            return  # a finisher's: it takes no slot
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
        """Forget a pod that is gone."""
        self._created.pop(str(pod["metadata"].get("uid")), None)

    def progressed(self, owner: Owner) -> None:
        """Note that something else of an experiment moved."""
        self.progress[owner] = self.clock()

    def settled(self, owner: Owner) -> None:
        """Forget free slots once nothing is left to be started: they stay free on purpose."""
        self._free.pop(owner, None)

    def forget(self, owner: Owner) -> None:
        """Forget an experiment that is gone."""
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
    """Say where a pod is: Pending, Running or over.

    A kubelet tells first that the containers have ended, and a moment later that the pod has; the
    operator does not wait for that, so neither does the measure of how long a slot stands idle.
    """
    if pod is None:
        return None
    status = pod.get("status", {})
    containers: list[dict[str, Any]] = status.get("containerStatuses") or []
    ended = bool(containers) and all("terminated" in each.get("state", {}) for each in containers)
    phase = str(status.get("phase", "Pending"))
    return _ENDED if ended or phase in ("Succeeded", "Failed") else phase
