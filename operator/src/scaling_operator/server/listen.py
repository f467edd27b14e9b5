"""Serves an aiohttp application within limits (limits.py), with or without TLS.

Every port of the operator is served by this module.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler, Middleware

from scaling_operator.server import limits
from scaling_operator.server.connection import MALFORMED, NAME, BoundedConnection
from scaling_operator.server.limits import NoPlace, Places, PortLimits
from scaling_operator.server.throttle import Throttle

REFUSALS = (MALFORMED, "TooSlow", "TooMany", "TooOften", "Handshake")
"""Why a server refuses a connection or a request before its application sees it."""
# The kernel's buffer of each connection; it counts for the cgroup too.
_RECEIVE_BYTES = 32 * 1024


def ignore_refusal(reason: str) -> None:
    """Do nothing with a refusal."""
    del reason


@dataclass(frozen=True, slots=True)
class Port:
    """Where to listen, and within which limits. Address None: all; number 0: any free one."""

    address: str | None
    number: int
    limits: PortLimits
    context: ssl.SSLContext | None = None
    """TLS settings; None: plain HTTP."""


async def listen(
    app: web.Application, port: Port, refused: Callable[[str], None] = ignore_refusal
) -> BoundedServer:
    """Serve `app`. `refused` is called with one of REFUSALS at each refusal.

    The application belongs to this server from now on. Raises OSError where the port is taken.
    """
    app.middlewares.insert(0, _track_requests(refused))
    app.on_response_prepare.append(_hide_software)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=limits.CLOSING_SECONDS)
    await runner.setup()
    assert runner.server is not None  # noqa: S101 - that is what setup does
    server = BoundedServer(runner, runner.server, port.limits, port.context, refused)
    try:
        await server.start(port)
    except BaseException:
        await runner.cleanup()
        raise
    return server


@dataclass(slots=True)
class BoundedServer:
    """A server that listens; `listen` makes it."""

    _runner: web.AppRunner
    _manager: web.Server
    _limits: PortLimits
    _context: ssl.SSLContext | None
    refused: Callable[[str], None]
    _places: Places[BoundedConnection] = field(init=False)
    _opened: Throttle[str] | None = field(init=False)
    _handshakes: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])
    _server: asyncio.Server | None = None

    def __post_init__(self) -> None:
        per_second, at_once = self._limits.opened_per_second, self._limits.opened_at_once
        self._places = Places(self._limits)
        self._opened = None if per_second is None else Throttle[str](per_second, at_once)

    @property
    def port(self) -> int:
        """The port it listens on."""
        assert self._server is not None  # noqa: S101 - `listen` has started it
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def connections(self) -> int:
        """Count the connections, those in their TLS handshake too."""
        return len(self._places)

    async def start(self, port: Port) -> None:
        """Accept connections from now on. Raises OSError."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: _AcceptedSocket(self), port.address, port.number, start_serving=False
        )
        for listening_socket in server.sockets:
            listening_socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
        await server.start_serving()
        self._server = server

    async def stop(self) -> None:
        """End the connections; running requests get CLOSING_SECONDS."""
        if self._server is not None:
            self._server.close()
        for handshake in list(self._handshakes):
            handshake.cancel()
        await asyncio.gather(*self._handshakes, return_exceptions=True)
        await self._runner.cleanup()

    def accept(self, socket: asyncio.Transport) -> None:
        """Admit a connection, or end it."""
        peer = socket.get_extra_info("peername")
        if not peer:
            socket.abort()  # the client has left already
            return
        connection = BoundedConnection(self._manager, self, socket)
        if not self._admit(connection, str(peer[0])):
            socket.abort()
        elif self._context is None:
            socket.set_protocol(connection)
            connection.connection_made(socket)
        else:
            socket.pause_reading()  # nothing is read before TLS can read it
            task = asyncio.create_task(self._secure(connection, socket, self._context))
            self._handshakes.add(task)
            task.add_done_callback(self._handshakes.discard)

    def serves(self, connection: BoundedConnection) -> None:
        """Note that a request of the connection is served."""
        self._places.serve(connection)

    def waits(self, connection: BoundedConnection) -> None:
        """Note that the connection waits for a request."""
        self._places.wait(connection)

    def lost(self, connection: BoundedConnection) -> None:
        """Note that the connection has ended."""
        self._places.leave(connection)

    def _admit(self, connection: BoundedConnection, address: str) -> bool:
        if self._opened is not None and self._opened.take(address) > 0:
            self.refused("TooOften")
            return False
        try:
            leaving = self._places.enter(connection, address)
        except NoPlace:
            self.refused("TooMany")
            return False
        if leaving is not None:
            self.refused("TooMany")
            leaving.abort()
        return True

    async def _secure(
        self, connection: BoundedConnection, socket: asyncio.Transport, context: ssl.SSLContext
    ) -> None:
        try:
            secured = None
            if not socket.is_closing():
                secured = await asyncio.get_running_loop().start_tls(
                    socket,
                    connection,
                    context,
                    server_side=True,
                    ssl_handshake_timeout=limits.HANDSHAKE_SECONDS,
                    ssl_shutdown_timeout=limits.LINGERING_SECONDS,
                )
        except OSError:  # errors of TLS are OSErrors
            secured = None
        except asyncio.CancelledError:
            self._places.leave(connection)
            raise
        if secured is None:
            if self._places.leave(connection):
                self.refused("Handshake")
        elif not connection.is_lost:
            connection.connection_made(secured)


@dataclass(slots=True)
class _AcceptedSocket(asyncio.Protocol):
    """An accepted socket: only now its address is known."""

    listening: BoundedServer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - of a socket
        self.listening.accept(transport)


def _track_requests(refused: Callable[[str], None]) -> Middleware:
    """Make the middleware that tells a connection when its request begins and ends."""

    @web.middleware
    async def step(request: web.Request, handler: Handler) -> web.StreamResponse:
        connection = request.protocol
        assert isinstance(connection, BoundedConnection)  # noqa: S101 - `arrive` makes no other
        connection.begin()
        try:
            answer = await _answer(request, handler, refused)
            _close_where_unread(request, answer)
        except web.HTTPException as error:
            _close_where_unread(request, error)
            raise
        finally:
            connection.end(discards=not request.content.is_eof())
        return answer

    return step


def _close_where_unread(request: web.Request, answer: web.StreamResponse) -> None:
    """End a connection whose request has an unread rest."""
    if not request.content.is_eof():
        answer.force_close()


async def _answer(
    request: web.Request, handler: Handler, refused: Callable[[str], None]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except (web.RequestPayloadError, HttpProcessingError) as error:
        refused(MALFORMED)
        raise web.HTTPBadRequest(text="malformed body") from error
    except ConnectionError as error:
        # The client has left, and will not read this.
        raise web.HTTPBadRequest from error


async def _hide_software(request: web.Request, response: web.StreamResponse) -> None:
    del request
    response.headers["Server"] = NAME
