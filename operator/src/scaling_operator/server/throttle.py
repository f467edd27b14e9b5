"""How much a sender may do: a token bucket for each of a bounded number of them."""

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
    """Allows `burst` at once and `per_second` in the long run, to each key by itself.

    The key that was quiet the longest is forgotten when there are more than `max_keys`.
    """

    per_second: float
    burst: int
    clock: Callable[[], float] = time.monotonic
    max_keys: int = MAX_KEYS
    _left: OrderedDict[Key, tuple[float, float]] = field(
        default_factory=OrderedDict[Key, tuple[float, float]]
    )

    def take(self, key: Key) -> float:
        """Take one of the key's allowance: 0, or the seconds until there is one."""
        wait_seconds = self.wait(key)
        if wait_seconds == 0:
            left, at = self._left[key]
            self._left[key] = (left - 1, at)
        return wait_seconds

    def give_back(self, key: Key) -> None:
        """Undo a `take`."""
        if key in self._left:
            left, at = self._left[key]
            self._left[key] = (min(float(self.burst), left + 1), at)

    def wait(self, key: Key) -> float:
        """Seconds until the key may do something; 0: now."""
        now = self.clock()
        left, at = self._left.get(key, (float(self.burst), now))
        left = min(float(self.burst), left + (now - at) * self.per_second)
        self._left[key] = (left, now)
        self._left.move_to_end(key)
        if len(self._left) > self.max_keys:
            self._left.popitem(last=False)
        return 0.0 if left >= 1 else (1 - left) / self.per_second
