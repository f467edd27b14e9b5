"""A connection that takes no more than its share: aiohttp's own, with bounds of bytes and time.

aiohttp parses and answers. What it leaves open is closed here: it reads ahead as much as comes, and
waits for ever for a client that does not read its answer.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, Protocol

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from scaling_operator.server import limits

NAME = "scaling-operator"
"""What every answer says of the server: no software, no version."""
MALFORMED, TOO_SLOW = "Malformed", "TooSlow"
CHUNK_BYTES = 8 * 1024


class _Chunk(threading.local):
    """One for all connections of a thread: its event loop fills and empties it without a pause.

    While it is filled the interpreter may let another thread go on, which has one of its own.
    """

    def __init__(self) -> None:
        self.memory = memoryview(bytearray(CHUNK_BYTES))


_chunk = _Chunk()


class ConnectionListener(Protocol):
    """What a connection tells its server."""

    refused: Callable[[str], None]

    def serves(self, connection: BoundedConnection) -> None:
        """Hear that a request of it is served."""

    def waits(self, connection: BoundedConnection) -> None:
        """Hear that it waits for a request."""

    def lost(self, connection: BoundedConnection) -> None:
        """Hear that it has ended."""


class BoundedConnection(web.RequestHandler, asyncio.BufferedProtocol):
    """One client. `socket` is its connection below TLS."""

    def __init__(
        self, manager: web.Server, host: ConnectionListener, socket: asyncio.Transport
    ) -> None:
        super().__init__(
            manager,
            loop=asyncio.get_running_loop(),
            access_log=None,  # pyright: ignore[reportArgumentType] - as web.AppRunner passes it
            auto_decompress=False,
            keepalive_timeout=limits.IDLE_SECONDS,
            lingering_time=limits.LINGERING_SECONDS,
            max_line_size=limits.MAX_LINE_BYTES,
            max_field_size=limits.MAX_FIELD_BYTES,
            max_headers=limits.MAX_HEADERS,
            read_bufsize=CHUNK_BYTES,
        )
        self.is_lost = False
        self._host = host
        self._socket = socket
        self._deadline: asyncio.TimerHandle | None = None
        self._serves = False
        self._in_head = False
        self._unread_bytes = 0
        self._discarded_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin: the first head is awaited."""
        super().connection_made(transport)
        self._expect_within(limits.HEAD_SECONDS)

    def connection_lost(self, exc: BaseException | None) -> None:
        """End."""
        self.is_lost = True
        self._expect_within(None)
        self._host.lost(self)
        super().connection_lost(exc)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Give the place for a little of what has come."""
        del sizehint
        return _chunk.memory

    def buffer_updated(self, nbytes: int) -> None:
        """Take what has come."""
        if self._discarded_bytes:
            self._discarded_bytes = max(0, self._discarded_bytes - nbytes)
        else:
            self._unread_bytes += nbytes
        if not (self._serves or self._in_head or self._discarded_bytes):
            self._in_head = True
            self._expect_within(limits.HEAD_SECONDS)
        self.data_received(bytes(_chunk.memory[:nbytes]))
        if self._unread_bytes > limits.MAX_UNREAD_BYTES:
            self._read(on=False)

    def begin(self) -> None:
        """Note that the head is there and the request is served."""
        self._serves, self._in_head, self._unread_bytes = True, False, 0
        self._expect_within(None)
        self._host.serves(self)
        self._read(on=True)

    def end(self, *, discards: bool) -> None:
        """Note that the answer is on its way; `discards`: so is a body that nobody reads."""
        self._serves, self._unread_bytes = False, 0
        self._discarded_bytes = limits.MAX_DISCARDED_BYTES if discards else 0
        if not self.is_lost:
            self._expect_within(limits.IDLE_SECONDS)
            self._host.waits(self)
            self._read(on=True)

    def abort(self) -> None:
        """End at once, whatever is still to be sent."""
        self._socket.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is no HTTP in a word. Anything else is a bug, which is logged."""
        if not isinstance(exc, HttpProcessingError):
            answer = super().handle_error(request, status, exc, message)
            answer.headers["Server"] = NAME
            return answer
        self._host.refused(MALFORMED)
        answer = web.Response(status=400, text="malformed request", headers={"Server": NAME})
        answer.force_close()
        return answer

    def _expect_within(self, seconds: float | None) -> None:
        """End unless something happens within so many seconds; None: take your time."""
        if self._deadline is not None:
            self._deadline.cancel()
        loop = asyncio.get_running_loop()
        self._deadline = None if seconds is None else loop.call_later(seconds, self._give_up)

    def _give_up(self) -> None:
        if self._in_head:
            self._host.refused(TOO_SLOW)
        self.abort()

    def _read(self, *, on: bool) -> None:
        for each in {self.transport, self._socket} - {None}:
            transport: Any = each
            if not transport.is_closing():
                (transport.resume_reading if on else transport.pause_reading)()
