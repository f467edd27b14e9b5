"""The certificate that the operator's ports show, kept fresh while they listen."""

from __future__ import annotations

import asyncio
import logging
import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime

from scaling_operator.kube.client.client import Client
from scaling_operator.kube.client.errors import ClusterError
from scaling_operator.kube.report_service.certificate import Material, server_context, show
from scaling_operator.kube.report_service.certificate_secret import CertificateSecret
from scaling_operator.kube.settings import Settings

REFRESH_SECONDS = 3600.0
RETRY_SECONDS = 30.0

_log = logging.getLogger(__name__)


async def open_certificate(settings: Settings, client: Client) -> ServingCertificate:
    """Read or issue the certificate of these settings.

    Raises ClusterError where the Secret cannot be read or written.
    """
    reports = settings.reports
    secret = CertificateSecret(client, settings.namespace, reports.secret)
    material = await secret.current(reports.hosts, datetime.now(UTC), None)
    return ServingCertificate(secret, reports.hosts, material)


@dataclass(slots=True)
class ServingCertificate:
    """A certificate in use; `open_certificate` makes it."""

    _secret: CertificateSecret
    _hosts: tuple[str, ...]
    _material: Material
    context: ssl.SSLContext = field(init=False)
    """TLS of the ports that show it."""
    _refreshing: asyncio.Task[None] = field(init=False)

    def __post_init__(self) -> None:
        self.context = server_context(self._material)
        self._refreshing = asyncio.create_task(self._keep_fresh())

    @property
    def authority(self) -> str:
        """The certificate that clients are to trust, as PEM text."""
        return self._material.authority

    async def close(self) -> None:
        """Keep it fresh no longer."""
        self._refreshing.cancel()
        await asyncio.gather(self._refreshing, return_exceptions=True)

    async def refresh(self) -> None:
        """Renew the certificate where it is time, or take what another replica has renewed.

        Raises ClusterError and OSError.
        """
        material = await self._secret.current(self._hosts, datetime.now(UTC), self._material)
        if material != self._material:
            show(self.context, material)
            self._material = material

    async def _keep_fresh(self) -> None:
        pause_seconds = REFRESH_SECONDS
        while True:
            await asyncio.sleep(pause_seconds)
            try:
                await self.refresh()
                pause_seconds = REFRESH_SECONDS
            except (ClusterError, OSError) as error:
                _log.warning("the endpoint's certificate: trying again: %s", error)
                pause_seconds = RETRY_SECONDS
