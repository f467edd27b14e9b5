"""Servers in several threads: what comes to one of them reaches no other."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator

import aiohttp
import pytest
from aiohttp import web

from scaling_operator.server.limits import PortLimits
from scaling_operator.server.listen import Port, listen

HERE = "127.0.0.1"
MANY = PortLimits(connections=1000, connections_per_address=1000)
CLIENTS, REQUESTS = 4, 150
BODY_BYTES = 8000


@pytest.fixture(autouse=True)
def impatient_threads() -> Iterator[None]:
    """Let threads change at every opportunity, as they would some time in hours."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


async def echo(request: web.Request) -> web.Response:
    return web.Response(body=await request.read())


async def ask_itself(letter: str) -> set[bytes]:
    """Serve, ask with bodies of one letter, and give what came back."""
    app = web.Application()
    app.router.add_post("/", echo)
    server = await listen(app, Port(HERE, 0, MANY))
    body = letter.encode() * BODY_BYTES
    answers: set[bytes] = set()

    async def ask() -> None:
        async with aiohttp.ClientSession() as session:
            for _ in range(REQUESTS):
                async with session.post(f"http://{HERE}:{server.port}/", data=body) as answer:
                    answers.add(await answer.read())

    try:
        await asyncio.gather(*(ask() for _ in range(CLIENTS)))
    finally:
        await server.stop()
    return answers


def test_no_byte_of_a_request_comes_to_the_server_of_another_thread() -> None:
    answers: dict[str, set[bytes]] = {}

    def run(letter: str) -> None:
        answers[letter] = asyncio.run(ask_itself(letter))

    threads = [threading.Thread(target=run, args=(letter,)) for letter in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {letter: {letter.encode() * BODY_BYTES} for letter in "ab"}
