"""Connections to a real API server. No other module imports `kubernetes`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

import aiohttp
import yaml  # kubernetes reads kubeconfigs with it, and its errors come through
from kubernetes.aio import config as kubernetes_config
from kubernetes.aio.client import ApiClient, Configuration

from scaling_operator.kube.client.client import (
    FIELD_MANAGER,
    Access,
    ApiAnswer,
    Call,
    Client,
    Request,
    always,
    ignore_request,
)
from scaling_operator.kube.client.errors import NoCluster

REQUEST_SECONDS = 30.0
CONNECTIONS = 64

_METHODS = {
    "get": "GET",
    "list": "GET",
    "create": "POST",
    "update": "PUT",
    "patch": "PATCH",
    "delete": "DELETE",
    "deletecollection": "DELETE",
}


@dataclass(frozen=True, slots=True)
class ApiConnection:
    """Requests over HTTP by kubernetes' own client, with its TLS, tokens and connection pool."""

    api: Any

    async def access(self) -> Access:
        """Give the server and the credentials of the connection."""
        settings = self.api.configuration
        headers = await self._authorization()
        token = headers.get("authorization", "").partition(" ")[2] or None
        return Access(
            server=settings.host,
            ca_file=settings.ssl_ca_cert,
            verifies=settings.verify_ssl,
            token=token,
            certificate_file=settings.cert_file,
            key_file=settings.key_file,
        )

    async def send(self, call: Call) -> ApiAnswer:
        """Send a request. Raises TimeoutError and ConnectionError where no answer comes."""
        headers = await self._authorization()
        headers |= {"Accept": call.accept, "Content-Type": call.content_type}
        headers["User-Agent"] = FIELD_MANAGER
        query = f"?{urlencode(call.query)}" if call.query else ""
        try:
            answer = await self.api.call_api(
                _METHODS[call.verb],
                f"{self.api.configuration.host}{call.path}{query}",
                headers,
                body=call.body,
                _request_timeout=REQUEST_SECONDS,
            )
            text = await answer.read()
        except aiohttp.ClientError as error:
            raise ConnectionError(str(error) or type(error).__name__) from error
        return ApiAnswer(int(answer.status), text, answer.headers.get("Retry-After"))

    async def _authorization(self) -> dict[str, str]:
        # This reads a token anew that the kubelet has renewed.
        settings: Any = await self.api.configuration.auth_settings()
        return {
            header["key"].lower(): header["value"]
            for header in settings.values()
            if header["value"]
        }


@asynccontextmanager
async def connect(
    kubeconfig: Path | None,
    context: str | None = None,
    *,
    may_write: Callable[[], bool] = always,
    observe: Callable[[Request], None] = ignore_request,
) -> AsyncGenerator[Client]:
    """Connect as a kubeconfig says; without one, as the service account of the pod.

    Raises NoCluster.
    """
    settings: Any = Configuration()
    namespace = "default"
    loader = cast("Any", kubernetes_config)
    if kubeconfig is None:
        loader.load_incluster_config(settings)
    else:
        try:
            loaded = await loader.load_kube_config(
                str(kubeconfig), context, client_configuration=settings, persist_config=False
            )
        except loader.ConfigException as error:
            raise NoCluster(str(error)) from error
        except (yaml.YAMLError, OSError, TypeError, ValueError) as error:
            message = f"kubeconfig {kubeconfig} cannot be read: {error}"
            raise NoCluster(message) from error
        namespace = loaded.current_context.get("context", {}).get("namespace") or namespace
    settings.connection_pool_maxsize = CONNECTIONS
    api: Any = ApiClient(configuration=settings)
    try:
        connection = ApiConnection(api)
        yield Client(connection, namespace=namespace, may_write=may_write, observe=observe)
    finally:
        await api.close()
        await asyncio.sleep(0)  # lets aiohttp close its sockets
