"""Limits of what clients may use of a server, and the choice of who stays connected.

All servers have the same limits but for the number of connections.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

MAX_LINE_BYTES = 4096
MAX_FIELD_BYTES = 4096
"""Of a name, or a value, of a header. A service account's token has some 1,200 bytes."""
MAX_HEADERS = 24
MAX_UNREAD_BYTES = 24 * 1024
"""Read from a connection ahead of its handler: a head with the longest report's body."""
MAX_DISCARDED_BYTES = 1024 * 1024
"""Of a refused body: read and dropped, so that its sender gets the answer."""
HEAD_SECONDS = 5.0
"""Time for the head of a request to arrive."""
IDLE_SECONDS = 15.0
"""From an answer to the next request, including the time in which the client reads the answer."""
LINGERING_SECONDS = 2.0
"""Time for the rest of a refused body, and for the end of TLS."""
HANDSHAKE_SECONDS = 5.0
CLOSING_SECONDS = 2.0
"""Time for running requests when a server stops."""


@dataclass(frozen=True, slots=True)
class PortLimits:
    """Connections at once: of all clients, and of one address.

    A further connection takes the place of one that waits for a request, if its own address, or an
    address with more connections, has such a one. `opened_per_second` limits new connections of an
    address, `opened_at_once` how many come at once: with TLS each costs 2 ms. None: no limit, as
    they cost next to nothing.
    """

    connections: int
    connections_per_address: int
    opened_per_second: float | None = None
    opened_at_once: int = 1


Connection = TypeVar("Connection", bound=Hashable)


class NoPlace(Exception):
    """All places are taken by connections with requests, or by addresses with fewer connections."""


class Places(Generic[Connection]):
    """The connections of a server: each waits for a request, or has one served.

    Pure: it names the connection that has to go, and closes nothing.
    """

    def __init__(self, limits: PortLimits) -> None:
        self._limits = limits
        self._addresses: dict[Connection, str] = {}
        self._held = Counter[str]()
        self._waiting: dict[Connection, None] = {}
        """The connection that has waited longest comes first."""

    def __len__(self) -> int:
        return len(self._addresses)

    def of(self, address: str) -> int:
        """Count the connections of an address."""
        return self._held[address]

    def enter(self, connection: Connection, address: str) -> Connection | None:
        """Add a connection; return the connection that has to go for it, if any. Raises NoPlace."""
        leaving = self._to_leave(address)
        if leaving is not None:
            self.leave(leaving)
        self._addresses[connection] = address
        self._held[address] += 1
        self._waiting[connection] = None
        return leaving

    def serve(self, connection: Connection) -> None:
        """Note that a request of the connection is served: it keeps its place meanwhile."""
        self._waiting.pop(connection, None)

    def wait(self, connection: Connection) -> None:
        """Note that the connection waits for the next request from now on."""
        if connection in self._addresses:
            self._waiting.pop(connection, None)
            self._waiting[connection] = None

    def leave(self, connection: Connection) -> bool:
        """Remove a connection; return whether it had a place."""
        address = self._addresses.pop(connection, None)
        self._waiting.pop(connection, None)
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
        waiting = {self._addresses[connection] for connection in self._waiting}
        most = max((self._held[other] for other in waiting), default=0)
        if most <= self._held[address]:
            raise NoPlace
        return self._first_waiting({other for other in waiting if self._held[other] == most})

    def _first_waiting(self, addresses: set[str]) -> Connection:
        for connection in self._waiting:
            if self._addresses[connection] in addresses:
                return connection
        raise NoPlace
