"""Who may be connected: a bounded number of places, shared fairly by addresses.

Pure: it names who has to go, and closes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from typing import Generic, TypeVar

from scaling_operator.server.limits import PortLimits

Holder = TypeVar("Holder", bound=Hashable)


class NoPlace(Exception):
    """All places are taken by connections that are served, or by more modest addresses."""


class Places(Generic[Holder]):
    """The connections of a server: each waits for a request, or is served."""

    def __init__(self, limits: PortLimits) -> None:
        self._limits = limits
        self._addresses: dict[Holder, str] = {}
        self._held = Counter[str]()
        self._waiting: dict[Holder, None] = {}
        """Who has waited the longest comes first."""

    def __len__(self) -> int:
        return len(self._addresses)

    def of(self, address: str) -> int:
        """How many places an address has."""
        return self._held[address]

    def enter(self, holder: Holder, address: str) -> Holder | None:
        """Give a place; return whose it was, if somebody has to go for it. Raises NoPlace."""
        leaving = self._to_leave(address)
        if leaving is not None:
            self.leave(leaving)
        self._addresses[holder] = address
        self._held[address] += 1
        self._waiting[holder] = None
        return leaving

    def serve(self, holder: Holder) -> None:
        """Note that a request of it is served: it keeps its place meanwhile."""
        self._waiting.pop(holder, None)

    def wait(self, holder: Holder) -> None:
        """Note that it waits for the next request from now on."""
        if holder in self._addresses:
            self._waiting.pop(holder, None)
            self._waiting[holder] = None

    def leave(self, holder: Holder) -> bool:
        """Free its place; return whether it had one."""
        address = self._addresses.pop(holder, None)
        self._waiting.pop(holder, None)
        if address is not None:
            self._held[address] -= 1
            if not self._held[address]:
                del self._held[address]
        return address is not None

    def _to_leave(self, address: str) -> Holder | None:
        if self._held[address] >= self._limits.connections_per_address:
            return self._first_waiting({address})
        if len(self) < self._limits.connections:
            return None
        waiting = {self._addresses[holder] for holder in self._waiting}
        most = max((self._held[each] for each in waiting), default=0)
        if most <= self._held[address]:
            raise NoPlace
        return self._first_waiting({each for each in waiting if self._held[each] == most})

    def _first_waiting(self, addresses: set[str]) -> Holder:
        for holder in self._waiting:
            if self._addresses[holder] in addresses:
                return holder
        raise NoPlace
