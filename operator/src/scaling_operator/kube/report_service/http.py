"""The report endpoint of a cluster: HTTPS on a port of its own, tokens checked by the API server.

Connections, handshakes, bodies and rates are bounded (`ingest`, and below): whoever runs a pod can
reach it.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from scaling_operator.api.names import REPORT_AUDIENCE
from scaling_operator.core.reports import Reply, Report
from scaling_operator.kube.client.client import Client
from scaling_operator.kube.client.errors import ClusterBusy, ClusterError
from scaling_operator.kube.report_service.reviews import PodReview
from scaling_operator.kube.report_service.serving_certificate import (
    ServingCertificate,
    open_certificate,
)
from scaling_operator.kube.report_service.tokens import PodIdentity, Tokens
from scaling_operator.kube.settings import Settings
from scaling_operator.report_endpoint.answers import counted
from scaling_operator.report_endpoint.endpoint import Endpoint, NotAnAttempt, NotNow, Rate
from scaling_operator.report_endpoint.web import application
from scaling_operator.server.limits import PortLimits
from scaling_operator.server.listen import BoundedServer, Port, listen, unheard

# A connection costs 0.28 MB, a new one 2 ms (measured). A node's pods may share an address.
LIMITS = PortLimits(
    connections=500, connections_per_address=30, opened_per_second=20.0, opened_at_once=100
)
RETRY_SECONDS = 30.0

_AWAY = "the operator cannot reach the API server now"

T = TypeVar("T")


def _nobody(pod: PodIdentity) -> bool:
    del pod
    return False


_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ReportHandlers:
    """What the operator says to reports. Its functions may raise ClusterError and NotAnAttempt."""

    on_report: Callable[[PodIdentity, Report], Awaitable[Reply]]
    is_active: Callable[[], bool]
    experiment: Callable[[PodIdentity], Awaitable[Mapping[str, Any]]] | None = None
    knows: Callable[[PodIdentity], bool] = _nobody
    """Whether there is such a pod, by what has been seen of the cluster."""
    accepted: Callable[[str], None] = unheard
    """Is told what each report was answered."""
    refused: Callable[[str], None] = unheard
    """Is told why one was refused."""
    turned_away: Callable[[str], None] = unheard
    """Is told why a connection, or what it sent, never came to be a report."""


async def start(
    settings: Settings, client: Client, listener: ReportHandlers, address: str | None = None
) -> ReportServer:
    """Read or issue the certificate, and serve reports at `address`; None: everywhere.

    Raises ClusterError where the Secret cannot be read or written, and OSError.
    """
    certificate = await open_certificate(settings, client)
    app = application(
        _endpoint(client, listener),
        counted(listener.accepted, listener.refused, listener.is_active),
    )
    port = Port(address, settings.reports.port, LIMITS, certificate.context)
    try:
        server = await listen(app, port, listener.turned_away)
    except BaseException:
        await certificate.close()
        raise
    return ReportServer(certificate, server)


@dataclass(slots=True)
class ReportServer:
    """A report endpoint that listens; `start` makes it."""

    _certificate: ServingCertificate
    _server: BoundedServer

    @property
    def authority(self) -> str:
        """The certificate that pods are to trust, as PEM text: SCALING_REPORT_CA."""
        return self._certificate.authority

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._server.port

    async def stop(self) -> None:
        """End the connections; their senders try again, here or elsewhere."""
        await self._certificate.close()
        await self._server.stop()

    async def refresh(self) -> None:
        """Renew the certificate where it is time, or take what another replica has renewed.

        Raises ClusterError and OSError.
        """
        await self._certificate.refresh()


def _endpoint(client: Client, listener: ReportHandlers) -> Endpoint[PodIdentity]:
    tokens = Tokens(PodReview(client, REPORT_AUDIENCE), listener.knows)
    described = listener.experiment

    async def authenticate(token: str, address: str) -> PodIdentity | None:
        return await _or_later(tokens.authenticate(token, address))

    async def on_report(sender: PodIdentity, report: Report) -> Reply:
        reply = await _or_later(listener.on_report(sender, report))
        listener.accepted(reply.answer.value)
        return reply

    async def experiment(sender: PodIdentity) -> Mapping[str, Any]:
        if described is None:
            message = "this operator describes no experiments"
            raise NotAnAttempt(message)
        return await _or_later(described(sender))

    return Endpoint(authenticate, on_report, listener.is_active, experiment, Rate())


async def _or_later(asked: Awaitable[T]) -> T:
    """Tell the sender to come again where the API server is what does not answer."""
    try:
        return await asked
    except ClusterBusy as error:
        raise NotNow(_AWAY, error.retry_after_seconds) from error
    except ClusterError as error:
        # Nothing that its sender could mend, or should read.
        _log.warning("a report waits: %s", error)
        raise NotNow(_AWAY, RETRY_SECONDS) from error
