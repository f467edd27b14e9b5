"""Ways to take more of a server than one's share, over and over until a moment.

Only this machine is attacked, from addresses 127.0.x.y. Started by bench_attacks.py, which writes
an Order to its standard input; it answers with how often it attacked.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import resource
import ssl
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass

HERE = "127.0.0.1"
PATIENCE_SECONDS = 30.0
ALLOWED_FIELDS = b"".join(b"h%d: %s\r\n" % (number, b"x" * 4000) for number in range(20))
LARGE_FIELDS = b"".join(b"h%d: %s\r\n" % (number, b"x" * 8100) for number in range(120))
PATHS = {"reports": b"/v1/report", "metrics": b"/metrics", "health": b"/healthz", "dashboard": b"/"}
TOKENS = {"metrics": b"prometheus"}


@dataclass(frozen=True, slots=True)
class Target:
    """A port, what is asked of it, and its TLS where it has any."""

    name: str
    port: int
    context: ssl.SSLContext | None

    def head(self, fields: bytes = b"", method: bytes = b"GET", token: bytes = b"bad") -> bytes:
        """Write a head without its end."""
        start = b"%s %s HTTP/1.1\r\nHost: x\r\n" % (method, PATHS[self.name])
        return start + b"Authorization: Bearer %s\r\n" % token + fields


Parts = AsyncIterator[bytes]
Kind = Callable[[Target], Parts]


async def unfinished_heads(target: Target) -> Parts:
    yield target.head(ALLOWED_FIELDS)


async def large_heads(target: Target) -> Parts:
    yield target.head(LARGE_FIELDS)


async def requests_ahead(target: Target) -> Parts:
    for _ in range(200):
        yield target.head(ALLOWED_FIELDS) + b"\r\n"


async def heads_in_drops(target: Target) -> Parts:
    for place in itertools.count():
        yield target.head(ALLOWED_FIELDS)[place : place + 1]
        await asyncio.sleep(0.5)


async def bodies_without_end(target: Target) -> Parts:
    yield target.head(b"Transfer-Encoding: chunked\r\n", b"POST") + b"\r\n"
    while True:
        yield b"1000\r\n" + b"x" * 4096 + b"\r\n"
        await asyncio.sleep(0.05)


async def no_http(target: Target) -> Parts:
    del target
    yield b"GET / HTTP/1.1\r\nHost : x\r\n\r\n"


async def answers_unread(target: Target) -> Parts:
    yield (target.head(token=TOKENS.get(target.name, b"bad")) + b"\r\n") * 8


async def silence(target: Target) -> Parts:
    del target
    yield b""


async def bad_tokens(target: Target) -> Parts:
    for number in itertools.count():
        yield target.head(token=b"bad-%d" % number) + b"\r\n"
        await asyncio.sleep(0.05)


KINDS: tuple[Kind, ...] = (
    *(unfinished_heads, large_heads, requests_ahead, heads_in_drops, bodies_without_end),
    *(no_http, answers_unread, silence, bad_tokens),
)


async def attack(kind: Kind, target: Target, address: str, until: float) -> int:
    """Do it again and again from an address; return how often."""
    times = 0
    while time.monotonic() < until:
        # Who says nothing does not even begin with TLS.
        context = None if kind is silence else target.context
        try:
            async with asyncio.timeout(min(PATIENCE_SECONDS, max(0.1, until - time.monotonic()))):
                reads = kind is not answers_unread
                await _once(kind(target), target.port, context, address, reads=reads)
        except (OSError, TimeoutError, ssl.SSLError, asyncio.IncompleteReadError):
            pass
        times += 1
        await asyncio.sleep(0.05)
    return times


async def _once(
    parts: Parts, port: int, context: ssl.SSLContext | None, address: str, *, reads: bool
) -> None:
    reader, writer = await asyncio.open_connection(HERE, port, ssl=context, local_addr=(address, 0))
    try:
        async for part in parts:
            if writer.is_closing():
                break
            writer.write(part)
            await writer.drain()
        if not reads:
            await asyncio.sleep(PATIENCE_SECONDS)
        while await reader.read(2**16):
            pass
    finally:
        writer.transport.abort()


def addresses(count: int) -> Iterator[str]:
    """Name addresses of this machine besides 127.0.0.1, again and again."""
    return itertools.cycle(f"127.0.{1 + place // 250}.{1 + place % 250}" for place in range(count))


@dataclass(frozen=True, slots=True)
class Order:
    """Whom to attack, for how long, by how many clients of how many addresses."""

    ports: dict[str, int]
    authority: str
    secured: list[str]
    seconds: float
    clients: int
    addresses: int


async def carry_out(order: Order) -> int:
    """Attack all ports in all ways at once; return how often."""
    context = ssl.create_default_context(cadata=order.authority)
    targets = [
        Target(name, port, context if name in order.secured else None)
        for name, port in order.ports.items()
    ]
    until = time.monotonic() + order.seconds
    pairs = itertools.cycle((kind, target) for kind in KINDS for target in targets)
    assignments = zip(range(order.clients), pairs, addresses(order.addresses), strict=False)
    return sum(
        await asyncio.gather(*(attack(*pair, address, until) for _, pair, address in assignments))
    )


if __name__ == "__main__":
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 8192), most))
    sys.stdout.write(str(asyncio.run(carry_out(Order(**json.loads(sys.stdin.read()))))))
