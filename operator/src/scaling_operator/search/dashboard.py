"""A web server for a dashboard, in a thread of its own: a WSGI application behind our bounds."""

from __future__ import annotations

import asyncio
import io
import sys
import threading
from collections.abc import Callable, Collection, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from aiohttp import web

from scaling_operator.search.mirror import Application
from scaling_operator.server.hosts import answers_to
from scaling_operator.server.limits import PortLimits
from scaling_operator.server.listen import BoundedServer, Port, ignore_refusal, listen

LIMITS = PortLimits(connections=64, connections_per_address=32)
"""A browser opens six; all that come through a proxy have its address."""
ANSWERS_AT_ONCE = 4
OTHER_NAME = (
    "This dashboard answers to addresses, localhost, names without a dot and names of Services. "
    "What else it is called has to be told: --name of scaling dashboard, dashboard.names of the "
    "chart.\n"
)


@contextmanager
def served(
    application: Application,
    host: str,
    port: int,
    refused: Callable[[str], None] = ignore_refusal,
    names: Collection[str] = (),
) -> Generator[int]:
    """Serve for as long as the block lasts; gives the port. Raises OSError where it is taken.

    `refused` is called in the server's thread. `names`: more of them that it is asked by.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="dashboard", daemon=True)
    thread.start()
    try:
        with ThreadPoolExecutor(ANSWERS_AT_ONCE, "dashboard-answer") as pool:
            app = web_application(application, pool, names)
            starting = listen(app, Port(host, port, LIMITS), refused)
            server: BoundedServer = asyncio.run_coroutine_threadsafe(starting, loop).result()
            try:
                yield server.port
            finally:
                asyncio.run_coroutine_threadsafe(server.stop(), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def web_application(
    application: Application, pool: ThreadPoolExecutor, names: Collection[str] = ()
) -> web.Application:
    """Let aiohttp ask a WSGI application, which reads no bodies, in the threads of a pool."""

    async def answer(request: web.Request) -> web.Response:
        if not answers_to(request.host, names):
            return web.Response(status=421, text=OTHER_NAME)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(pool, _answer, application, _environment(request))

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    return app


def _environment(request: web.Request) -> dict[str, Any]:
    """Describe a request as WSGI does: text is bytes, one a character."""
    host, _, port = request.host.rpartition(":")
    fields = {
        f"HTTP_{name.upper().replace('-', '_')}": value for name, value in request.headers.items()
    }
    return {
        **fields,
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": request.path.encode("utf-8", "replace").decode("latin-1"),
        "QUERY_STRING": request.rel_url.raw_query_string,
        "SERVER_NAME": host or request.host,
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }


def _answer(application: Application, environment: dict[str, Any]) -> web.Response:
    said: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(
        status: str, headers: list[tuple[str, str]], exc_info: object = None
    ) -> Callable[[bytes], None]:
        del exc_info
        said.append((status, headers))
        return lambda _: None

    parts = application(environment, start_response)
    try:
        body = b"".join(parts)
    finally:
        getattr(parts, "close", lambda: None)()
    status, headers = said[-1]
    code, _, reason = status.partition(" ")
    return web.Response(status=int(code), reason=reason, headers=headers, body=body)
