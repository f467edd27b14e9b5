"""Rate limits: a token bucket for each of a bounded number of keys."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)

MAX_KEYS = 10_000


@dataclass(slots=True)
class Throttle(Generic[Key]):
    """Allows each key `burst` actions at once and `per_second` in the long run.

    Beyond `max_keys` the key whose last action is the oldest is forgotten.
    """

    per_second: float
    burst: int
    clock: Callable[[], float] = time.monotonic
    max_keys: int = MAX_KEYS
    _tokens: OrderedDict[Key, tuple[float, float]] = field(
        default_factory=OrderedDict[Key, tuple[float, float]]
    )

    def take(self, key: Key) -> float:
        """Take one token of the key and return 0; else return the seconds until it has one."""
        wait_seconds = self.wait(key)
        if wait_seconds == 0:
            tokens, counted_seconds = self._tokens[key]
            self._tokens[key] = (tokens - 1, counted_seconds)
        return wait_seconds

    def give_back(self, key: Key) -> None:
        """Undo a `take`."""
        if key in self._tokens:
            tokens, counted_seconds = self._tokens[key]
            self._tokens[key] = (min(float(self.burst), tokens + 1), counted_seconds)

    def wait(self, key: Key) -> float:
        """Give the seconds until the key has a token; 0: now."""
        now = self.clock()
        tokens, counted_seconds = self._tokens.get(key, (float(self.burst), now))
        tokens = min(float(self.burst), tokens + (now - counted_seconds) * self.per_second)
        self._tokens[key] = (tokens, now)
        self._tokens.move_to_end(key)
        if len(self._tokens) > self.max_keys:
            self._tokens.popitem(last=False)
        return 0.0 if tokens >= 1 else (1 - tokens) / self.per_second
