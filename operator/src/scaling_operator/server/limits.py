"""What a client may take of a server, and who may be connected.

All servers have the same limits but for the number of connections.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

MAX_LINE_BYTES = 4096
MAX_FIELD_BYTES = 4096
"""A name, or a value, of a header. A service account's token has some 1,200 bytes."""
MAX_HEADERS = 24
MAX_UNREAD_BYTES = 24 * 1024
"""Taken from a connection ahead of its handler: a head with the longest report's body."""
MAX_DISCARDED_BYTES = 1024 * 1024
"""Of a body that is refused: read and dropped, so that its sender gets to read the answer."""
HEAD_SECONDS = 5.0
"""For the head of a request to arrive."""
IDLE_SECONDS = 15.0
"""From an answer to the next request, with the time that its reader takes to read it."""
LINGERING_SECONDS = 2.0
"""For the rest of a body that is refused, and for TLS to end."""
HANDSHAKE_SECONDS = 5.0
CLOSING_SECONDS = 2.0
"""For requests under way, when a server stops."""


@dataclass(frozen=True, slots=True)
class PortLimits:
    """Connections at once: of all clients, and of one address.

    A further one takes the place of one that waits, if its own address, or a greedier one, has such
    a connection. `opened_per_second` bounds new ones of an address, `opened_at_once` of them at
    once: with TLS each costs 2 ms. None: they cost nothing to speak of.
    """

    connections: int
    connections_per_address: int
    opened_per_second: float | None = None
    opened_at_once: int = 1


Connection = TypeVar("Connection", bound=Hashable)


class NoPlace(Exception):
    """All places are taken by connections that are served, or by more modest addresses."""


class Places(Generic[Connection]):
    """The connections of a server: each waits for a request, or is served."""

    def __init__(self, limits: PortLimits) -> None:
        self._limits = limits
        self._addresses: dict[Connection, str] = {}
        self._held = Counter[str]()
        self._waiting: dict[Connection, None] = {}
        """Who has waited the longest comes first."""

    def __len__(self) -> int:
        return len(self._addresses)

    def of(self, address: str) -> int:
        """How many places an address has."""
        return self._held[address]

    def enter(self, holder: Connection, address: str) -> Connection | None:
        """Give a place; return whose it was, if somebody has to go for it. Raises NoPlace."""
        leaving = self._to_leave(address)
        if leaving is not None:
            self.leave(leaving)
        self._addresses[holder] = address
        self._held[address] += 1
        self._waiting[holder] = None
        return leaving

    def serve(self, holder: Connection) -> None:
        """Note that a request of it is served: it keeps its place meanwhile."""
        self._waiting.pop(holder, None)

    def wait(self, holder: Connection) -> None:
        """Note that it waits for the next request from now on."""
        if holder in self._addresses:
            self._waiting.pop(holder, None)
            self._waiting[holder] = None

    def leave(self, holder: Connection) -> bool:
        """Free its place; return whether it had one."""
        address = self._addresses.pop(holder, None)
        self._waiting.pop(holder, None)
        if address is not None:
            self._held[address] -= 1
            if not self._held[address]:
                del self._held[address]
        return address is not None

    def _to_leave(self, address: str) -> Connection | None:
        if self._held[address] >= self._limits.connections_per_address:
            return self._first_waiting({address})
        if len(self) < self._limits.connections:
            return None
        waiting = {self._addresses[holder] for holder in self._waiting}
        most = max((self._held[each] for each in waiting), default=0)
        if most <= self._held[address]:
            raise NoPlace
        return self._first_waiting({each for each in waiting if self._held[each] == most})

    def _first_waiting(self, addresses: set[str]) -> Connection:
        for holder in self._waiting:
            if self._addresses[holder] in addresses:
                return holder
        raise NoPlace
