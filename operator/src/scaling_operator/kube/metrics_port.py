"""The port that Prometheus scrapes: plain, or by TLS for clients that the API server allows."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from scaling_operator.kube.client.client import Client
from scaling_operator.kube.client.errors import ClusterError
from scaling_operator.kube.report_service.serving_certificate import open_certificate
from scaling_operator.kube.report_service.tokens import (
    METRICS_PATH,
    MetricsReader,
    MetricsReaderReview,
    Tokens,
)
from scaling_operator.kube.settings import Settings
from scaling_operator.metrics.exposition import Exposition
from scaling_operator.report_endpoint.endpoint import NotNow, bearer_token
from scaling_operator.server.limits import PortLimits
from scaling_operator.server.listen import BoundedServer, Port, ignore_refusal, listen

LIMITS = PortLimits(
    connections=32, connections_per_address=8, opened_per_second=20.0, opened_at_once=100
)
"""A Prometheus needs one connection, and most sites run two of them."""

log = logging.getLogger(__name__)


@asynccontextmanager
async def serve_metrics(
    exposition: Exposition,
    settings: Settings,
    client: Client,
    refused: Callable[[str], None] = ignore_refusal,
) -> AsyncGenerator[BoundedServer]:
    """Serve /metrics as the settings say.

    Raises OSError, and ClusterError where the certificate's Secret cannot be read or written.
    """
    guard = Guard(Tokens(MetricsReaderReview(client)), refused) if settings.metrics_secure else None

    async def metrics(request: web.Request) -> web.Response:
        if guard is not None:
            await guard.admit(request)
        body, content_type = await exposition.answer(request.headers.get("Accept", ""))
        response = web.Response(body=body, headers={"Content-Type": content_type})
        response.enable_compression()
        return response

    app = web.Application()
    app.router.add_get(METRICS_PATH, metrics)
    async with AsyncExitStack() as stack:
        context = None
        if guard is not None:
            certificate = await open_certificate(settings, client)
            stack.push_async_callback(certificate.close)
            context = certificate.context
        port = Port(settings.address, settings.metrics_port, LIMITS, context)
        server = await listen(app, port, refused)
        stack.push_async_callback(server.stop)
        yield server


@dataclass(frozen=True, slots=True)
class Guard:
    """Admits clients that may `get` the path by the API server's access rules."""

    tokens: Tokens[MetricsReader]
    refused: Callable[[str], None]

    async def admit(self, request: web.Request) -> None:
        """Raise an HTTPException for all other clients."""
        token = bearer_token(request)
        try:
            reader = token and await self.tokens.authenticate(token, request.remote or "")
        except (NotNow, ClusterError) as error:
            if isinstance(error, ClusterError):
                log.warning("a scrape waits: %s", error)
            self.refused("NotNow")
            raise web.HTTPServiceUnavailable(text="come again later") from error
        if not reader:
            self.refused("BadToken")
            raise web.HTTPUnauthorized(text="the bearer token is nobody's")
        if not reader.may_read:
            self.refused("Forbidden")
            raise web.HTTPForbidden(text=f"{reader.name} may not get {METRICS_PATH}")
