"""Attempts without a workload: why the launch failed, and when to try again."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from scaling_operator.api.names import Reason
from scaling_operator.core.bounds import FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS
from scaling_operator.core.reports import AttemptKey


@dataclass(frozen=True, slots=True)
class LaunchRefusal:
    """A workload that the API server refused, and when to try again."""

    reason: Reason | None
    message: str
    since_seconds: float
    times: int
    retry_at_seconds: float


@dataclass(slots=True)
class LaunchBackoff:
    """The refused launches of an experiment's attempts, each until its attempt is created."""

    clock: Callable[[], float]
    _known: dict[AttemptKey, LaunchRefusal] = field(default_factory=dict[AttemptKey, LaunchRefusal])
    _blocked: dict[AttemptKey, float] = field(default_factory=dict[AttemptKey, float])

    def current(self, key: AttemptKey) -> LaunchRefusal | None:
        """Say why an attempt has no workload; None where it may be tried now."""
        refusal = self._known.get(key)
        is_over = refusal is None or self.clock() >= refusal.retry_at_seconds
        return None if is_over else refusal

    def note_for_now(self, key: AttemptKey, reason: Reason | None, message: str) -> None:
        """Note a refusal that may pass; each pause is twice as long as the one before."""
        now, before = self.clock(), self._known.get(key)
        if before is not None and now > before.retry_at_seconds + LONGEST_RETRY_SECONDS:
            before = None  # no try in between: the waits are two
        times = 1 if before is None else before.times + 1
        pause = min(FIRST_RETRY_SECONDS * 2.0 ** min(times - 1, 10), LONGEST_RETRY_SECONDS)
        since = now if before is None else before.since_seconds
        self._known[key] = LaunchRefusal(reason, message, since, times, now + pause)

    def note_for_good(self, key: AttemptKey, reason: Reason, message: str) -> None:
        """Note a refusal that another try does not change."""
        self._known[key] = LaunchRefusal(reason, message, self.clock(), 1, math.inf)

    def blocked(self, key: AttemptKey, message: str) -> LaunchRefusal:
        """Say since when a foreign object has the name of an attempt's workload."""
        now = self.clock()
        since = self._blocked.setdefault(key, now)
        return LaunchRefusal(None, message, since, 1, now)

    def forget(self, key: AttemptKey) -> None:
        """Forget the refusals of an attempt that has its workload."""
        self._known.pop(key, None)
        self._blocked.pop(key, None)

    @property
    def wake_at_seconds(self) -> float | None:
        """When to try a refused launch again, of those whose time has not passed."""
        since = self.clock() - 1.0
        times = (refusal.retry_at_seconds for refusal in self._known.values())
        return min((time for time in times if since < time < math.inf), default=None)
