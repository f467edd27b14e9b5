"""A TLS proxy between an operator and the API server, which sees every request and can spoil it.

It runs in a thread of the test, so that a rule may kill the operator in the middle of a write. It
shows the API server's own certificate: the tests' control plane is on 127.0.0.1 too.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import assert_never

import aiohttp
from aiohttp import web

from testbed.api_request import ApiRequest, parse
from testbed.effects import Answer, Delay, EditWatch, Effect, Kill, Reset, Rule
from testbed.until_closed import CLOSED_SECONDS, run_until_closed

_HOP_BY_HOP = frozenset(
    {"connection", "host", "keep-alive", "transfer-encoding", "content-length", "content-encoding"}
)


@dataclass(frozen=True, slots=True)
class Passed:
    """A request that was answered by the API server, and with what."""

    request: ApiRequest
    code: int


def _nobody() -> None:
    message = "a rule kills, and the proxy does not know whom"
    raise AssertionError(message)


def _pass_on(_: ApiRequest) -> Effect | None:
    return None


@dataclass(slots=True)
class Proxy:
    """A running proxy. `rule` and `kill` may be changed at any time."""

    url: str = ""
    rule: Rule = _pass_on
    kill: Callable[[], None] = _nobody
    end: Callable[[], object] = lambda: None
    """Ends it; set once it runs."""
    passed: list[Passed] = field(default_factory=list[Passed])
    """What was forwarded and answered, in order; watches when they begin."""

    def writes(self) -> list[Passed]:
        """The writes that the API server has answered, in order."""
        return [passed for passed in self.passed if passed.request.is_write]

    def pass_on(self) -> None:
        """Spoil nothing any more."""
        self.rule = _pass_on


@dataclass(slots=True)
class _Upstream:
    url: str
    session: aiohttp.ClientSession


@contextmanager
def running(server: str, pki: Path) -> Generator[Proxy]:
    """Run a proxy to the API server at `server`, with the certificates in `pki`."""
    proxy = Proxy()
    ready = threading.Event()
    serving = _serve(proxy, (server, pki), ready)
    thread = threading.Thread(target=lambda: run_until_closed(serving), daemon=True)
    thread.start()
    try:
        if not ready.wait(10):
            message = "the proxy did not start"
            raise TimeoutError(message)
        yield proxy
    finally:
        proxy.end()
        thread.join(CLOSED_SECONDS)


async def _serve(proxy: Proxy, where: tuple[str, Path], ready: threading.Event) -> None:
    server, pki = where
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    proxy.end = lambda: loop.call_soon_threadsafe(ended.set)
    trust = ssl.create_default_context(cafile=str(pki / "ca.crt"))
    shown = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    shown.load_cert_chain(pki / "admin.crt", pki / "admin.key")
    timeout = aiohttp.ClientTimeout(total=None, sock_read=None)
    connector = aiohttp.TCPConnector(ssl=trust, limit=0)
    async with aiohttp.ClientSession(
        connector=connector, timeout=timeout, auto_decompress=False
    ) as session:
        upstream = _Upstream(server, session)

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            return await _handle(proxy, upstream, request)

        runner = web.ServerRunner(web.Server(handle), shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=shown)
        await site.start()
        port = runner.addresses[0][1]
        proxy.url = f"https://127.0.0.1:{port}"
        ready.set()
        await ended.wait()
        await runner.cleanup()
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


async def _handle(
    proxy: Proxy, upstream: _Upstream, request: web.BaseRequest
) -> web.StreamResponse:
    body = await request.read()
    api = parse(request.method, request.raw_path, body)
    effect = proxy.rule(api)
    match effect:
        case Answer():
            headers = {"Content-Type": "application/json"}
            if effect.retry_after_seconds is not None:
                headers["Retry-After"] = str(effect.retry_after_seconds)
            return web.Response(status=effect.code, body=effect.body, headers=headers)
        case Kill(forwarded=False):
            proxy.kill()
            return _hang_up(request)
        case Reset(forwarded=False):
            return _hang_up(request)
        case Delay():
            await asyncio.sleep(effect.seconds)
        case Kill() | Reset() | EditWatch() | None:
            pass
        case _:
            assert_never(effect)
    return await _forward(proxy, upstream, request, api, body, effect)


async def _forward(
    proxy: Proxy,
    upstream: _Upstream,
    request: web.BaseRequest,
    api: ApiRequest,
    body: bytes,
    effect: Effect | None,
) -> web.StreamResponse:
    headers = {
        name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP
    }
    try:
        answer = await upstream.session.request(
            request.method, upstream.url + request.raw_path, data=body or None, headers=headers
        )
    except aiohttp.ClientError:
        return _hang_up(request)  # the API server is away: so are we
    async with answer:
        proxy.passed.append(Passed(api, answer.status))
        kept = {
            name: value for name, value in answer.headers.items() if name.lower() not in _HOP_BY_HOP
        }
        if "Content-Encoding" in answer.headers:
            kept["Content-Encoding"] = answer.headers["Content-Encoding"]
        if api.is_watch and answer.status == 200:
            edit = effect if isinstance(effect, EditWatch) else EditWatch(lambda _, line: line)
            return await _stream(request, answer, kept, edit)
        content = await answer.read()
    if isinstance(effect, Kill):
        proxy.kill()
        return _hang_up(request)
    if isinstance(effect, Reset):
        return _hang_up(request)
    return web.Response(status=answer.status, body=content, headers=kept)


async def _stream(
    request: web.BaseRequest,
    answer: aiohttp.ClientResponse,
    headers: dict[str, str],
    edit: EditWatch,
) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers=headers)
    await response.prepare(request)
    number = 0
    rest = b""
    try:
        async for chunk in answer.content.iter_any():
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                changed = edit.edit(number, line + b"\n")
                if changed is not None:
                    await response.write(changed)
                if edit.ends(number):
                    await response.write_eof()
                    return response
                number += 1
    except (ConnectionError, aiohttp.ClientError):
        return _hang_up(request)  # one of the two sides is gone
    await response.write_eof()
    return response


def _hang_up(request: web.BaseRequest) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)
