"""The certificate that the operator's ports show: kept in a Secret, renewed while they listen.

The chart creates the Secret empty, and the operator fills it. All replicas read and renew it,
guarded by the resourceVersion: the second one takes what the first has written. The operator may
read and update this one Secret, and cannot create it.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import ssl
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol, cast

from scaling_operator.kube.client.client import Client
from scaling_operator.kube.client.errors import ClusterError, Conflict
from scaling_operator.kube.client.kinds import SECRETS, Kind
from scaling_operator.kube.report_service.certificate import (
    BadMaterial,
    Material,
    issue,
    load_certificate,
    renewed,
    server_context,
)
from scaling_operator.kube.settings import Settings

ATTEMPTS = 5

_FILES = {
    "ca.crt": "authority",
    "ca.key": "authority_key",
    "tls.crt": "certificate",
    "tls.key": "key",
}

log = logging.getLogger(__name__)


class SecretClient(Protocol):
    """The part of a `Client` that reads and writes the Secret."""

    async def get(self, kind: Kind, namespace: str | None, name: str) -> dict[str, Any]: ...  # noqa: D102

    async def replace(  # noqa: D102
        self, kind: Kind, namespace: str | None, name: str, body: dict[str, Any]
    ) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class CertificateSecret:
    """The Secret with the keys."""

    client: SecretClient
    namespace: str
    name: str

    async def current(
        self, hosts: Collection[str], now: datetime, held: Material | None = None
    ) -> Material:
        """Read the keys for hosts; where they are missing or due, issue or renew and store them.

        Where the Secret was emptied, the keys that this replica holds are stored again: running
        pods trust them. Raises NotFound where the Secret does not exist, and other ClusterErrors.
        """
        for _ in range(ATTEMPTS - 1):
            try:
                return await self._current(hosts, now, held)
            except Conflict:
                log.info("another replica has written secret %s; reading it again", self.name)
        return await self._current(hosts, now, held)

    async def _current(
        self, hosts: Collection[str], now: datetime, held: Material | None
    ) -> Material:
        secret = await self.client.get(SECRETS, self.namespace, self.name)
        data = cast("dict[str, str]", secret.get("data") or {})
        stored = self._read(data)
        material = _wanted(stored or held, hosts, now)
        if material != stored:
            # `body` contains the resourceVersion that was read.
            body = secret | {"data": data | _data(material)}
            await self.client.replace(SECRETS, self.namespace, self.name, body)
            log.info("a certificate for %s is in secret %s", ", ".join(hosts), self.name)
        return material

    def _read(self, data: Mapping[str, str]) -> Material | None:
        if not any(data.get(file) for file in _FILES):
            return None
        try:
            return Material(**{name: _decoded(data[file]) for file, name in _FILES.items()})
        except KeyError as error:
            problem = f"{error} is missing"
        except (binascii.Error, UnicodeDecodeError, BadMaterial) as error:
            problem = str(error)
        log.warning("what secret %s holds is no good and is replaced: %s", self.name, problem)
        return None


def _wanted(material: Material | None, hosts: Collection[str], now: datetime) -> Material:
    return issue(hosts, now) if material is None else renewed(material, hosts, now)


def _decoded(text: str) -> str:
    return base64.b64decode(text, validate=True).decode()


def _data(material: Material) -> dict[str, str]:
    return {
        file: base64.b64encode(getattr(material, name).encode()).decode()
        for file, name in _FILES.items()
    }


REFRESH_SECONDS = 3600.0
RETRY_SECONDS = 30.0


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
    """TLS settings of the ports that show the certificate."""
    _refreshing: asyncio.Task[None] = field(init=False)

    def __post_init__(self) -> None:
        self.context = server_context(self._material)
        self._refreshing = asyncio.create_task(self._keep_fresh())

    @property
    def authority(self) -> str:
        """The certificate that clients are to trust, as PEM text."""
        return self._material.authority

    async def close(self) -> None:
        """Renew the certificate no longer."""
        self._refreshing.cancel()
        await asyncio.gather(self._refreshing, return_exceptions=True)

    async def refresh(self) -> None:
        """Renew a certificate that is due, or take that which another replica has renewed.

        Raises ClusterError and OSError.
        """
        material = await self._secret.current(self._hosts, datetime.now(UTC), self._material)
        if material != self._material:
            load_certificate(self.context, material)
            self._material = material

    async def _keep_fresh(self) -> None:
        pause_seconds = REFRESH_SECONDS
        while True:
            await asyncio.sleep(pause_seconds)
            try:
                await self.refresh()
                pause_seconds = REFRESH_SECONDS
            except (ClusterError, OSError) as error:
                log.warning("the endpoint's certificate: trying again: %s", error)
                pause_seconds = RETRY_SECONDS
