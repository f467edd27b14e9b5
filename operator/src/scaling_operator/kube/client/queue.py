"""The work queue: which experiment is reconciled next.

A key waits once, however often it is added. A key has one worker at a time; a key that is added
while it is processed waits again. Groups (namespaces) take turns; within a group it is first come,
first served. No group has all workers, so none starves another. A key that failed returns after a
delay that doubles, with jitter.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

K = TypeVar("K")
FIRST_BACKOFF_SECONDS = 0.2
MAX_BACKOFF_SECONDS = 60.0


def _single_group(key: object) -> str:
    del key
    return ""


@dataclass(slots=True)
class WorkQueue(Generic[K]):
    """Keys to work on. The queue is used in one event loop."""

    clock: Callable[[], float]
    """Monotonic, in seconds."""
    group: Callable[[K], str] = _single_group
    """The group of a key. The keys of a group share its turns."""
    most_per_group: int = sys.maxsize
    """Keys of one group that have a worker at the same time."""
    _waiting: dict[str, dict[K, float]] = field(default_factory=dict[str, dict[K, float]])
    """Since when each key waits, by group; the group with the next turn comes first."""
    _busy: set[K] = field(default_factory=set[K])
    _busy_in: Counter[str] = field(default_factory=Counter[str])
    _taken_seconds: float = float("-inf")
    """When a worker last took a key."""
    _again: set[K] = field(default_factory=set[K])
    _timers: dict[K, asyncio.TimerHandle] = field(default_factory=dict[K, asyncio.TimerHandle])
    _failures: dict[K, int] = field(default_factory=dict[K, int])
    _added: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, key: K) -> None:
        """Queue a key."""
        if key in self._busy:
            self._again.add(key)
        else:
            self._waiting.setdefault(self.group(key), {}).setdefault(key, self.clock())
            self._added.set()

    def add_after(self, key: K, seconds: float) -> None:
        """Queue a key after a delay; the earliest of several delays counts."""
        if seconds <= 0:
            self.add(key)
            return
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        if timer is not None:
            if timer.when() <= loop.time() + seconds:
                return
            timer.cancel()
        self._timers[key] = loop.call_later(seconds, self._due, key)

    async def get(self) -> K:
        """Wait for the next key. The caller calls `done` or `failed` afterwards."""
        while (group := self._next_group()) is None:
            self._added.clear()
            await self._added.wait()
        keys = self._waiting.pop(group)
        key = next(iter(keys))
        del keys[key]
        if keys:
            self._waiting[group] = keys  # behind all others
        self._busy.add(key)
        self._busy_in[group] += 1
        self._taken_seconds = self.clock()
        return key

    def done(self, key: K) -> None:
        """Note that work on a key has succeeded."""
        self._failures.pop(key, None)
        self._release(key)

    def failed(self, key: K, at_least_seconds: float = 0.0) -> float:
        """Note that work on a key has failed; return the delay in seconds until it returns."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        backoff = min(FIRST_BACKOFF_SECONDS * 2.0 ** min(failures, 30), MAX_BACKOFF_SECONDS)
        jitter = random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, keeps no secret
        delay = max(at_least_seconds, backoff * jitter)
        # A key that was added meanwhile waits as well: the same work would fail again at once.
        self._again.discard(key)
        self._release(key)
        self.add_after(key, delay)
        return delay

    def forget(self, key: K) -> None:
        """Drop the delays and failures of a key that is gone."""
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        self._failures.pop(key, None)

    def clear(self) -> None:
        """Drop all waiting keys; work that has begun goes on to its end."""
        for key in list(self._timers):
            self.forget(key)
        self._waiting.clear()
        self._again.clear()
        self._failures.clear()

    def __len__(self) -> int:
        """How many keys wait."""
        return sum(len(keys) for keys in self._waiting.values())

    @property
    def oldest_seconds(self) -> float:
        """The longest wait of a key; 0 where none waits."""
        since = min((min(keys.values()) for keys in self._waiting.values()), default=self.clock())
        return self.clock() - since

    @property
    def stalled_seconds(self) -> float:
        """For how long keys have waited and no worker took one; 0 where none waits."""
        return min(self.oldest_seconds, self.clock() - self._taken_seconds)

    def _next_group(self) -> str | None:
        has_room = (name for name in self._waiting if self._busy_in[name] < self.most_per_group)
        return next(has_room, None)

    def _due(self, key: K) -> None:
        self._timers.pop(key, None)
        self.add(key)

    def _release(self, key: K) -> None:
        if key in self._busy:
            self._busy.discard(key)
            group = self.group(key)
            self._busy_in[group] -= 1
            if not self._busy_in[group]:
                del self._busy_in[group]
            self._added.set()  # a worker may be free for this group again
        if key in self._again:
            self._again.discard(key)
            self.add(key)
