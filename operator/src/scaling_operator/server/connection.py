"""A connection of aiohttp with bounds of bytes and time.

aiohttp parses and answers, but reads ahead without a limit, and waits for ever for a client that
does not read its answer. This module limits both.
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
"""The header Server of every answer: no software, no version."""
MALFORMED, TOO_SLOW = "Malformed", "TooSlow"
CHUNK_BYTES = 8 * 1024


class _Chunk(threading.local):
    """A buffer for all connections of a thread: its event loop fills and empties it at once.

    While it is filled, the interpreter may switch to another thread, which has its own buffer.
    """

    def __init__(self) -> None:
        self.memory = memoryview(bytearray(CHUNK_BYTES))


_chunk = _Chunk()


class ConnectionListener(Protocol):
    """The server, as its connections call it."""

    refused: Callable[[str], None]

    def serves(self, connection: BoundedConnection) -> None:
        """Note that a request of the connection is served."""

    def waits(self, connection: BoundedConnection) -> None:
        """Note that the connection waits for a request."""

    def lost(self, connection: BoundedConnection) -> None:
        """Note that the connection has ended."""


class BoundedConnection(web.RequestHandler, asyncio.BufferedProtocol):
    """The connection of one client. `socket` is its transport below TLS."""

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
        """Begin, and wait for the first head."""
        super().connection_made(transport)
        self._expect_within(limits.HEAD_SECONDS)

    def connection_lost(self, exc: BaseException | None) -> None:
        """End."""
        self.is_lost = True
        self._expect_within(None)
        self._host.lost(self)
        super().connection_lost(exc)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Give the buffer for the next bytes."""
        del sizehint
        return _chunk.memory

    def buffer_updated(self, nbytes: int) -> None:
        """Take in the bytes of the buffer."""
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
        """Note that the head has arrived and the request is served."""
        self._serves, self._in_head, self._unread_bytes = True, False, 0
        self._expect_within(None)
        self._host.serves(self)
        self._read(on=True)

    def end(self, *, discards: bool) -> None:
        """Note that the answer is sent; `discards`: a body still arrives that nobody reads."""
        self._serves, self._unread_bytes = False, 0
        self._discarded_bytes = limits.MAX_DISCARDED_BYTES if discards else 0
        if not self.is_lost:
            self._expect_within(limits.IDLE_SECONDS)
            self._host.waits(self)
            self._read(on=True)

    def abort(self) -> None:
        """End at once, without sending what waits."""
        self._socket.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer malformed HTTP briefly. Any other error is a bug, which is logged."""
        if not isinstance(exc, HttpProcessingError):
            answer = super().handle_error(request, status, exc, message)
            answer.headers["Server"] = NAME
            return answer
        self._host.refused(MALFORMED)
        answer = web.Response(status=400, text="malformed request", headers={"Server": NAME})
        answer.force_close()
        return answer

    def _expect_within(self, seconds: float | None) -> None:
        """End the connection unless something happens within `seconds`; None: no deadline."""
        if self._deadline is not None:
            self._deadline.cancel()
        loop = asyncio.get_running_loop()
        self._deadline = None if seconds is None else loop.call_later(seconds, self._give_up)

    def _give_up(self) -> None:
        if self._in_head:
            self._host.refused(TOO_SLOW)
        self.abort()

    def _read(self, *, on: bool) -> None:
        for transport_or_socket in {self.transport, self._socket} - {None}:
            transport: Any = transport_or_socket
            if not transport.is_closing():
                (transport.resume_reading if on else transport.pause_reading)()
