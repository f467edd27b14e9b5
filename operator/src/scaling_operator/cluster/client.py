"""The API server as plain dictionaries: the only importer of `kubernetes`.

Objects go in and come out as JSON has them; typed models would cost more than all the rest of a
reconcile. Every failure is a ClusterError (errors.py).
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

import aiohttp
import yaml  # kubernetes' own, which reads kubeconfigs by it and lets its errors through
from kubernetes.aio import config as kubernetes_config
from kubernetes.aio.client import ApiClient, Configuration

from scaling_operator.cluster.errors import ClusterBusy, ClusterForbidden, NoCluster, error_of
from scaling_operator.cluster.kinds import LEASES, SECRETS, TOKEN_REVIEWS, Kind

FIELD_MANAGER = "scaling-operator"
REQUEST_SECONDS = 30.0
PAGE_SIZE = 500
CONNECTIONS = 64
METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
# Leases make a leader; certificates are guarded by their resourceVersion; reviews change nothing.
_UNGUARDED = (LEASES, SECRETS, TOKEN_REVIEWS)

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """A request that was answered: for metrics. `code` is 0 where no answer came."""

    verb: str
    kind: Kind
    code: int
    seconds: float


def _unobserved(request: Request) -> None:
    del request


@dataclass(frozen=True, slots=True)
class Access:
    """How to connect: paths are files, `token` goes into a bearer header."""

    server: str
    ca_file: str | None
    verifies: bool
    token: str | None = field(repr=False)
    certificate_file: str | None
    key_file: str | None


@dataclass(frozen=True, slots=True)
class _Call:
    """A request to be made."""

    verb: str
    kind: Kind
    path: str
    query: Mapping[str, str] | None = None
    body: Object | None = None
    content_type: str = "application/json"
    accept: str = "application/json"

    @property
    def is_guarded(self) -> bool:
        """Whether only the leader may do it: every write but those named above."""
        return self.verb not in ("get", "list") and self.kind not in _UNGUARDED


class Client:
    """A connection to one API server. Made by `connect`."""

    def __init__(
        self, api: Any, may_write: Callable[[], bool], observe: Callable[[Request], None]
    ) -> None:
        self.namespace = "default"
        """The namespace of the kubeconfig's context: for people, who need not name it."""
        self._api = api
        self._may_write = may_write
        self._observe = observe

    async def access(self) -> Access:
        """Tell how this client connects: kopf's watches connect alike."""
        settings = self._api.configuration
        headers = await self._authorization()
        token = headers.get("authorization", "").partition(" ")[2] or None
        return Access(
            *(settings.host, settings.ssl_ca_cert, settings.verify_ssl, token),
            certificate_file=settings.cert_file,
            key_file=settings.key_file,
        )

    async def get(self, kind: Kind, namespace: str | None, name: str) -> Object:
        """Read an object. Raises NotFound."""
        return await self._send(_Call("get", kind, kind.path(namespace, name)))

    async def list(self, kind: Kind, namespace: str | None, labels: str = "") -> list[Object]:
        """Read all objects, of all namespaces where none is given, as they are now."""
        items: list[Object] = []
        query = {"limit": str(PAGE_SIZE)} | ({"labelSelector": labels} if labels else {})
        while True:
            page = await self._send(_Call("list", kind, kind.path(namespace), query))
            items += page["items"] or ()
            following = page["metadata"].get("continue")
            if not following:
                return items
            query["continue"] = following

    async def names(self, kind: Kind, namespace: str | None, labels: str = "") -> dict[str, str]:
        """Read the names of all objects, with their uids: a tenth of what a list costs."""
        query = {"limit": str(PAGE_SIZE)} | ({"labelSelector": labels} if labels else {})
        found: dict[str, str] = {}
        while True:
            call = _Call("list", kind, kind.path(namespace), query, accept=METADATA_ONLY)
            page = await self._send(call)
            # Null where none is selected and only metadata were asked for.
            metadata = (item["metadata"] for item in page["items"] or ())
            found |= {str(each["name"]): str(each["uid"]) for each in metadata}
            following = page["metadata"].get("continue")
            if not following:
                return found
            query["continue"] = following

    async def create(self, kind: Kind, namespace: str | None, body: Object) -> Object:
        """Create an object. Raises AlreadyExists."""
        return await self._send(_Call("create", kind, kind.path(namespace), body=body))

    async def replace(self, kind: Kind, namespace: str | None, name: str, body: Object) -> Object:
        """Replace an object whose `resourceVersion` must be the one in `body`. Raises Conflict."""
        return await self._send(_Call("update", kind, kind.path(namespace, name), body=body))

    async def apply_status(
        self, kind: Kind, namespace: str | None, name: str, body: Object
    ) -> Object:
        """Write a status whole, by server-side apply.

        With `metadata.resourceVersion` in `body` it raises Conflict where the object has changed.
        """
        return await self._send(
            _Call(
                *("patch", kind, kind.path(namespace, name, "status")),
                query={"fieldManager": FIELD_MANAGER, "force": "true"},
                body={"apiVersion": kind.api_version, "kind": kind.name, **body},
                content_type="application/apply-patch+yaml",
            )
        )

    async def delete(
        self, kind: Kind, namespace: str, name: str, *, uid: str | None = None
    ) -> None:
        """Delete an object, if its uid is the given one. Raises NotFound, Conflict."""
        body: Object = {"propagationPolicy": "Background"}
        if uid is not None:
            body["preconditions"] = {"uid": uid}
        await self._send(_Call("delete", kind, kind.path(namespace, name), body=body))

    async def delete_collection(self, kind: Kind, namespace: str, labels: str) -> None:
        """Delete all objects that the labels select."""
        body = {"propagationPolicy": "Background"}
        query = {"labelSelector": labels}
        await self._send(_Call("deletecollection", kind, kind.path(namespace), query, body))

    async def _send(self, call: _Call) -> Object:
        if call.is_guarded and not self._may_write():
            message = f"{call.verb} {call.path}: this replica does not lead any more"
            raise ClusterForbidden(message)
        started = time.monotonic()
        code = 0
        try:
            answer = await self._request(call)
            code = int(answer.status)
            text = await answer.read()
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            message = f"{call.verb} {call.path}: no answer: {error or type(error).__name__}"
            raise ClusterBusy(message) from error
        finally:
            self._observe(Request(call.verb, call.kind, code, time.monotonic() - started))
        document = _decoded(text)
        if code >= 400:  # noqa: PLR2004 - where HTTP's errors begin
            raise error_of(code, document, answer.headers.get("Retry-After"))
        return document

    async def _request(self, call: _Call) -> Any:
        headers = await self._authorization()
        headers |= {"Accept": call.accept, "Content-Type": call.content_type}
        headers["User-Agent"] = FIELD_MANAGER
        query = f"?{urlencode(call.query)}" if call.query else ""
        return await self._api.call_api(
            *(_METHODS[call.verb], f"{self._api.configuration.host}{call.path}{query}", headers),
            body=call.body,
            _request_timeout=REQUEST_SECONDS,
        )

    async def _authorization(self) -> dict[str, str]:
        # Reads a token that the kubelet has renewed.
        settings: Any = await self._api.configuration.auth_settings()
        return {each["key"].lower(): each["value"] for each in settings.values() if each["value"]}


_METHODS = {
    "get": "GET",
    "list": "GET",
    "create": "POST",
    "update": "PUT",
    "patch": "PATCH",
    "delete": "DELETE",
    "deletecollection": "DELETE",
}


def _decoded(text: bytes) -> Object:
    try:
        document = json.loads(text)
    except ValueError:
        # A proxy on the way answers in its own words.
        document = {"message": text[:200].decode(errors="replace")}
    return cast("Object", document) if isinstance(document, dict) else {}


def _always() -> bool:
    return True


@asynccontextmanager
async def connect(
    kubeconfig: Path | None,
    context: str | None = None,
    *,
    may_write: Callable[[], bool] = _always,
    observe: Callable[[Request], None] = _unobserved,
) -> AsyncGenerator[Client]:
    """Connect as a kubeconfig says, or as the pod's own account where there is none.

    `may_write` is asked before every write but the Lease's: a replica that lost its Lease stops.
    Raises NoCluster.
    """
    settings: Any = Configuration()
    namespace = "default"
    loader = cast("Any", kubernetes_config)
    if kubeconfig is None:
        loader.load_incluster_config(settings)
    else:
        try:
            known = await loader.load_kube_config(
                str(kubeconfig), context, client_configuration=settings, persist_config=False
            )
        except loader.ConfigException as error:
            raise NoCluster(str(error)) from error
        except (yaml.YAMLError, OSError, TypeError, ValueError) as error:
            message = f"kubeconfig {kubeconfig} cannot be read: {error}"
            raise NoCluster(message) from error
        namespace = known.current_context.get("context", {}).get("namespace") or namespace
    settings.connection_pool_maxsize = CONNECTIONS
    api: Any = ApiClient(configuration=settings)
    try:
        client = Client(api, may_write, observe)
        client.namespace = namespace
        yield client
    finally:
        await api.close()
        await asyncio.sleep(0)  # lets aiohttp close its sockets
