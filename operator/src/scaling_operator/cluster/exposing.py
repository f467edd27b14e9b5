"""The port that Prometheus scrapes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from scaling_operator.metrics.exposition import Exposition
from scaling_operator.server.limits import Limits
from scaling_operator.server.listen import BoundedServer, Port, listen, unheard

LIMITS = Limits(connections=32, connections_per_address=8)
"""A Prometheus needs one, and there are two of it at most places."""


@asynccontextmanager
async def exposed(
    exposition: Exposition, address: str | None, port: int, refused: Callable[[str], None] = unheard
) -> AsyncGenerator[BoundedServer]:
    """Serve /metrics at an address; None: everywhere. Raises OSError."""

    async def metrics(request: web.Request) -> web.Response:
        body, content_type = await exposition.answer(request.headers.get("Accept", ""))
        response = web.Response(body=body, headers={"Content-Type": content_type})
        response.enable_compression()
        return response

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    server = await listen(app, Port(address, port, LIMITS), refused)
    try:
        yield server
    finally:
        await server.stop()
