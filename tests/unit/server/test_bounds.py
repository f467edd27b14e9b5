"""What a client may take of a server: connections, bytes, time; and what it may not break."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import tracemalloc
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scaling_operator.kube.report_service.certificate import issue, server_context
from scaling_operator.server import limits
from scaling_operator.server.limits import PortLimits
from scaling_operator.server.listen import BoundedServer, Port, listen

MANY = PortLimits(connections=1000, connections_per_address=1000)
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
LARGE = b"x" * (8 * 2**20)
ATTACKER, HONEST = "127.0.0.2", "127.0.0.1"


@dataclass(slots=True)
class Bench:
    """A server of this process, and what it told."""

    server: BoundedServer = field(init=False)
    refused: list[str] = field(default_factory=list[str])
    loaded: list[socket.socket] = field(default_factory=list[socket.socket])
    asked: list[str] = field(default_factory=list[str])
    answers: asyncio.Event = field(default_factory=asyncio.Event)

    async def connect(self, address: str = HONEST) -> socket.socket:
        """Open a connection that sends and reads when it is told to."""
        loaded = socket.socket()
        self.loaded.append(loaded)
        loaded.settimeout(0)
        loaded.bind((address, 0))
        await asyncio.get_running_loop().sock_connect(loaded, (HONEST, self.server.port))
        return loaded

    async def said(self, sent: bytes, address: str = HONEST) -> bytes:
        """Send something, and read until the server has closed."""
        loop = asyncio.get_running_loop()
        with await self.connect(address) as loaded:
            await loop.sock_sendall(loaded, sent)
            return await read_all(loaded)


async def read_all(loaded: socket.socket) -> bytes:
    parts: list[bytes] = []
    try:
        while part := await asyncio.get_running_loop().sock_recv(loaded, 2**16):
            parts.append(part)
    except ConnectionError:
        pass
    return b"".join(parts)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.01)


def pushed(loaded: socket.socket, whole: bytes) -> int:
    """Send as much as it takes now; return how much that was."""
    try:
        return loaded.send(whole)
    except BlockingIOError:
        return 0


def application(bench: Bench) -> web.Application:
    async def hello(request: web.Request) -> web.Response:
        bench.asked.append(request.remote or "")
        return web.Response(text="hello\n")

    async def slow(request: web.Request) -> web.Response:
        del request
        await bench.answers.wait()
        return web.Response(text="late\n")

    async def large(request: web.Request) -> web.Response:
        del request
        return web.Response(body=LARGE)

    async def body(request: web.Request) -> web.Response:
        return web.Response(text=str(len(await request.read())))

    async def broken(request: web.Request) -> web.Response:
        del request
        message = "a bug"
        raise LookupError(message)

    app = web.Application(client_max_size=16 * 1024)
    for path, handler in (("/", hello), ("/slow", slow), ("/large", large), ("/broken", broken)):
        app.router.add_get(path, handler)
    app.router.add_post("/body", body)
    return app


def play(
    story: Callable[[Bench], Awaitable[None]],
    bounds: PortLimits = MANY,
    context: ssl.SSLContext | None = None,
) -> Bench:
    async def run() -> Bench:
        bench = Bench()
        bench.server = await listen(
            application(bench), Port(HONEST, 0, bounds, context), bench.refused.append
        )
        try:
            async with asyncio.timeout(60):
                await story(bench)
        finally:
            bench.answers.set()
            for loaded in bench.loaded:
                loaded.close()
            await bench.server.stop()
        assert bench.server.connections == 0
        return bench

    return asyncio.run(run())


@pytest.fixture(scope="module")
def context() -> ssl.SSLContext:
    return server_context(issue([HONEST], datetime.now(UTC)))


TOO_LARGE = b"".join(b"h%d: %s\r\n" % (number, b"x" * 8100) for number in range(120))
JUST_ALLOWED = b"".join(b"h%d: %s\r\n" % (number, b"x" * 4000) for number in range(20))


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(TOO_LARGE, id="fields that are too large"),
        pytest.param(JUST_ALLOWED, id="many that are allowed by themselves"),
        pytest.param(b"GET /" + b"x" * 10**6, id="a line without end"),
        pytest.param(b"h: x\r\n" * 10**5, id="more fields than are counted"),
    ],
)
def test_unfinished_heads_cost_no_memory(head: bytes) -> None:
    clients = 100

    async def story(bench: Bench) -> None:
        tracemalloc.start()
        try:
            held = [await bench.connect() for _ in range(clients)]
            for loaded in held:
                start = b"" if head.startswith(b"GET") else b"GET / HTTP/1.1\r\n"
                pushed(loaded, start + head)
            for _ in range(200):
                await asyncio.sleep(0)
            most = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        for loaded in held:
            loaded.close()
        # A head that is allowed, as it came and as it was read, with the connection itself.
        assert most / clients < 4 * limits.MAX_UNREAD_BYTES

    play(story)


def test_a_client_that_asks_ahead_is_read_no_further_than_one_request() -> None:
    request = GET.replace(b"/ ", b"/slow ").replace(b"\r\n\r\n", b"\r\n" + JUST_ALLOWED + b"\r\n")

    async def story(bench: Bench) -> None:
        loaded = await bench.connect()
        loaded.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        loaded.send(GET.replace(b"/ ", b"/slow "))
        total = 0
        for _ in range(300):
            total += pushed(loaded, request)
            await asyncio.sleep(0)
        # What lies in the kernel, at both ends, is counted too.
        assert total < 10 * limits.MAX_UNREAD_BYTES
        loaded.close()

    play(story)


def test_one_address_cannot_take_the_places_of_others() -> None:
    async def story(bench: Bench) -> None:
        held = [await bench.connect(ATTACKER) for _ in range(520)]
        await until(lambda: len(bench.refused) == 490)
        assert bench.server.connections == 30
        for _ in range(50):
            assert b"hello" in await bench.said(
                GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
            )
        for loaded in held:
            loaded.close()

    bench = play(story, PortLimits(connections=500, connections_per_address=30))
    assert bench.asked == [HONEST] * 50
    assert set(bench.refused) == {"TooMany"}


def test_many_addresses_together_cannot_either() -> None:
    async def story(bench: Bench) -> None:
        held = [await bench.connect(f"127.0.1.{last}") for last in range(1, 21) for _ in range(4)]
        await until(lambda: len(bench.refused) == 60)
        assert bench.server.connections == 20
        for _ in range(20):
            assert b"hello" in await bench.said(
                GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
            )
        for loaded in held:
            loaded.close()

    play(story, PortLimits(connections=20, connections_per_address=4))


def test_new_connections_of_an_address_are_bounded() -> None:
    async def story(bench: Bench) -> None:
        held = [await bench.connect(ATTACKER) for _ in range(30)]
        await until(lambda: len(bench.refused) >= 19)
        assert bench.server.connections <= 11
        with await bench.connect() as honest:
            honest.send(GET)
            await until(lambda: bench.asked == [HONEST])
        for loaded in held:
            loaded.close()

    assert set(play(story, PortLimits(100, 100, 0.01, 10)).refused) == {"TooOften"}


def test_handshakes_that_are_never_made_are_connections_too(context: ssl.SSLContext) -> None:
    async def story(bench: Bench) -> None:
        held = [await bench.connect(ATTACKER) for _ in range(40)]
        await until(lambda: len(bench.refused) == 30)
        assert bench.server.connections == 10
        for loaded in held:
            loaded.close()
        await until(lambda: bench.server.connections == 0)

    bench = play(story, PortLimits(100, 10), context)
    assert bench.refused == ["TooMany"] * 30 + ["Handshake"] * 10


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
def test_who_says_nothing_is_closed(
    monkeypatch: pytest.MonkeyPatch, context: ssl.SSLContext, *, tls: bool
) -> None:
    monkeypatch.setattr(limits, "HEAD_SECONDS", 0.2)
    monkeypatch.setattr(limits, "HANDSHAKE_SECONDS", 0.2)

    async def story(bench: Bench) -> None:
        assert await bench.said(b"") == b""
        await until(lambda: bench.server.connections == 0)

    play(story, context=context if tls else None)


def test_a_head_that_comes_in_drops_is_closed_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HEAD_SECONDS", 0.3)

    async def story(bench: Bench) -> None:
        with await bench.connect() as loaded:
            loaded.send(b"GET /")
            while not bench.refused:
                loaded.send(b"x")
                await asyncio.sleep(0.02)
            assert await read_all(loaded) == b""
            assert bench.refused == ["TooSlow"]

    play(story)


def test_a_connection_is_kept_for_a_moment_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "IDLE_SECONDS", 0.3)

    async def story(bench: Bench) -> None:
        assert (await bench.said(GET + GET)).count(b"hello") == 2

    play(story)


def test_who_does_not_read_its_answer_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "IDLE_SECONDS", 0.3)

    async def story(bench: Bench) -> None:
        with await bench.connect() as loaded:
            loaded.send(GET.replace(b"/ ", b"/large "))
            await until(lambda: bench.server.connections == 1)
            await until(lambda: bench.server.connections == 0)
            assert len(await read_all(loaded)) < len(LARGE)

    play(story)


def test_who_reads_it_gets_all_of_it() -> None:
    async def story(bench: Bench) -> None:
        closing = b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        assert (await bench.said(closing)).endswith(LARGE)

    play(story)


def post(rest: bytes) -> bytes:
    return b"POST /body HTTP/1.1\r\nHost: x\r\n" + rest


MALFORMED = [
    pytest.param(b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", id="a space before the colon"),
    pytest.param(b"hello\r\n\r\n", id="no HTTP"),
    pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", id="TLS"),
    pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="HTTP/2"),
    pytest.param(b"GET / HTTP/1.1\r\n" + TOO_LARGE + b"\r\n", id="large fields"),
    pytest.param(b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n", id="many fields"),
    pytest.param(b"GET /" + b"x" * 5000 + b" HTTP/1.1\r\n\r\n", id="a long line"),
    pytest.param(b"GET / HTTP/9.9\r\n\r\n", id="a version of its own"),
    pytest.param(b"GET http://[/ HTTP/1.1\r\nHost: x\r\n\r\n", id="half an address"),
    pytest.param(post(b"Content-Length: +5\r\n\r\nhello"), id="a length with a sign"),
    pytest.param(
        post(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), id="two lengths"
    ),
    pytest.param(post(b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n"), id="a chunk without length"),
    pytest.param(
        post(b"Transfer-Encoding: chunked\r\n\r\n5\r\nhelloxx"), id="a chunk that does not end"
    ),
]


@pytest.mark.parametrize("sent", MALFORMED)
def test_what_is_no_http_is_answered_counted_and_not_logged(
    caplog: pytest.LogCaptureFixture, sent: bytes
) -> None:
    async def story(bench: Bench) -> None:
        assert (await bench.said(sent)).startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))

    assert play(story).refused == ["Malformed"]
    assert caplog.records == []


LEFT = [
    pytest.param(b"GET / HT", id="in its head"),
    pytest.param(post(b"Content-Length: 100\r\n\r\nhello"), id="in its body"),
    pytest.param(post(b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel"), id="in a chunk"),
    pytest.param(GET.replace(b"/ ", b"/slow "), id="before its answer"),
    pytest.param(GET.replace(b"/ ", b"/large "), id="in its answer"),
]


@pytest.mark.parametrize("sent", LEFT)
def test_who_leaves_is_not_logged(caplog: pytest.LogCaptureFixture, sent: bytes) -> None:
    async def story(bench: Bench) -> None:
        loaded = await bench.connect()
        loaded.send(sent)
        await until(lambda: bench.server.connections == 1)
        await asyncio.sleep(0.05)
        loaded.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")  # a reset
        loaded.close()
        await until(lambda: bench.server.connections == 0)

    play(story)
    assert caplog.records == []


@pytest.mark.parametrize(
    ("size", "status"), [(16 * 1024, b"200"), (16 * 1024 + 1, b"413"), (800_000, b"413")]
)
def test_who_sends_too_much_still_gets_to_read_why(size: int, status: bytes) -> None:
    async def story(bench: Bench) -> None:
        head = b"Connection: close\r\nContent-Length: %d\r\n\r\n" % size
        said = await bench.said(post(head) + b"x" * size)
        assert said.startswith(b"HTTP/1.1 " + status)

    play(story)


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(GET, id="an answer"),
        pytest.param(GET.replace(b"/ ", b"/none "), id="no such page"),
        pytest.param(b"DELETE / HTTP/1.1\r\nHost: x\r\n\r\n", id="another method"),
        pytest.param(b"no HTTP\r\n\r\n", id="malformed"),
        pytest.param(GET.replace(b"/ ", b"/broken "), id="a bug"),
    ],
)
def test_no_answer_tells_what_the_server_is_made_of(
    monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(limits, "IDLE_SECONDS", 0.1)

    async def story(bench: Bench) -> None:
        said = (await bench.said(sent)).lower()
        assert b"server: scaling-operator\r\n" in said
        assert b"aiohttp" not in said
        assert b"python" not in said

    play(story)


def test_a_bug_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def story(bench: Bench) -> None:
        assert (await bench.said(GET.replace(b"/ ", b"/broken "))).startswith(b"HTTP/1.1 500 ")

    assert play(story).refused == []
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "LookupError: a bug" in caplog.text


PARTS = st.sampled_from(
    [b"GET ", b"POST ", b"/", b"/body", b" HTTP/1.1", b"\r\n", b"\n", b"\r\n\r\n", b":", b" ",
     b"Host: x", b"Content-Length: 5", b"Transfer-Encoding: chunked", b"Expect: 100-continue",
     b"Upgrade: websocket", b"Connection: upgrade", b"0\r\n\r\n", b"5\r\nhello\r\n", b"%", b"%ff",
     b"\xed\xa0\x80", b"//", b"?", b"#", b"[", b"*", b"http://", b"\0", b"OPTIONS", b"CONNECT"]
)  # fmt: skip
REQUESTS = st.lists(PARTS | st.binary(max_size=8), max_size=14).map(b"".join)


@pytest.mark.slow
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(REQUESTS, min_size=1, max_size=20))
def test_nothing_that_anybody_sends_is_our_fault(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, sent: list[bytes]
) -> None:
    monkeypatch.setattr(limits, "HEAD_SECONDS", 0.05)
    monkeypatch.setattr(limits, "IDLE_SECONDS", 0.05)

    async def story(bench: Bench) -> None:
        for said in await asyncio.gather(*(bench.said(request) for request in sent)):
            assert b" 500 " not in said.partition(b"\r\n")[0]

    play(story)
    assert caplog.records == []
