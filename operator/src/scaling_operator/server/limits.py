"""What a client may take of a server. The same for all servers but the number of connections."""

from __future__ import annotations

from dataclasses import dataclass

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
