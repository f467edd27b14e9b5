"""Requests to the API server; objects are plain dictionaries.

A Transport carries the requests (connection.py). Objects stay as JSON has them: typed models would
cost more than all the rest of a reconcile. Every failure is a ClusterError (errors.py).
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol, cast
from weakref import WeakValueDictionary

from scaling_operator.kube.client.errors import (
    ClusterBusy,
    ClusterForbidden,
    Conflict,
    NotFound,
    error_of,
)
from scaling_operator.kube.client.kinds import (
    LEASES,
    SECRETS,
    SUBJECT_ACCESS_REVIEWS,
    TOKEN_REVIEWS,
    Kind,
)

FIELD_MANAGER = "scaling-operator"
PAGE_SIZE = 500
METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
# The Lease makes a leader; resourceVersions guard certificates; reviews change nothing.
_UNGUARDED = (LEASES, SECRETS, TOKEN_REVIEWS, SUBJECT_ACCESS_REVIEWS)

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """A request that was sent, for metrics. `code` is 0 where no answer came."""

    verb: str
    kind: Kind
    code: int
    seconds: float


def ignore_request(request: Request) -> None:
    """Do nothing with a request."""
    del request


@dataclass(frozen=True, slots=True)
class Access:
    """How to connect. Certificates and keys are paths of files; `token` is a bearer token."""

    server: str
    ca_file: str | None
    verifies: bool
    token: str | None = field(repr=False)
    certificate_file: str | None
    key_file: str | None


@dataclass(frozen=True, slots=True)
class Call:
    """A request to send. Without `name` it is about a collection."""

    verb: str
    kind: Kind
    namespace: str | None
    name: str | None = None
    subresource: str = ""
    """The subresource."""
    query: Mapping[str, str] | None = None
    body: Object | None = None
    content_type: str = "application/json"
    accept: str = "application/json"

    @property
    def is_guarded(self) -> bool:
        """Whether only the leader may send it: every write but those of the kinds above."""
        return self.verb not in ("get", "list") and self.kind not in _UNGUARDED

    @property
    def path(self) -> str:
        """Path of the object or the collection."""
        return self.kind.path(self.namespace, self.name, self.subresource)


@dataclass(frozen=True, slots=True)
class ApiAnswer:
    """An answer: HTTP's code, the body, and the header Retry-After."""

    code: int
    body: bytes
    retry_after: str | None = None


class Transport(Protocol):
    """Carries requests to one API server."""

    async def send(self, call: Call) -> ApiAnswer:
        """Send a request. Raises TimeoutError and ConnectionError where no answer comes."""
        ...

    async def access(self) -> Access:
        """Give the server and the credentials of the connection."""
        ...


def micro_time() -> str:
    """Give the present time as Kubernetes' MicroTime."""
    return datetime.now(tz=UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def always() -> bool:
    """Allow every write."""
    return True


class Client:
    """The operator's requests to one API server. `connect` makes a client of a real server.

    The client asks `may_write` before every guarded write: a replica that lost its Lease stops.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        namespace: str = "default",
        may_write: Callable[[], bool] = always,
        observe: Callable[[Request], None] = ignore_request,
    ) -> None:
        self.namespace = namespace
        """The namespace of the kubeconfig's context, for people who name none."""
        self._transport = transport
        self._may_write = may_write
        self._observe = observe
        self._turns = NamespaceSlots()

    async def access(self) -> Access:
        """Give this client's server and credentials: kopf's watches use the same."""
        return await self._transport.access()

    async def get(self, kind: Kind, namespace: str | None, name: str) -> Object:
        """Read an object. Raises NotFound."""
        return await self._send(Call("get", kind, namespace, name))

    async def list(self, kind: Kind, namespace: str | None, labels: str = "") -> list[Object]:
        """Read all objects as they are now; of all namespaces where `namespace` is None."""
        items: list[Object] = []
        async for page in self.pages(kind, namespace, labels):
            items += page
        return items

    async def pages(
        self, kind: Kind, namespace: str | None, labels: str = ""
    ) -> AsyncGenerator[Sequence[Object]]:
        """Read all objects page by page, so that many are never in memory at once."""
        query = {"limit": str(PAGE_SIZE)} | ({"labelSelector": labels} if labels else {})
        while True:
            page = await self._send(Call("list", kind, namespace, query=query))
            yield page["items"] or ()
            following = page["metadata"].get("continue")
            if not following:
                return
            query["continue"] = following

    async def names(self, kind: Kind, namespace: str | None, labels: str = "") -> dict[str, str]:
        """Read the names of all objects, with their uids."""
        objects = await self.metadata(kind, namespace, labels)
        return {str(metadata["name"]): str(metadata["uid"]) for metadata in objects}

    async def metadata(self, kind: Kind, namespace: str | None, labels: str = "") -> list[Object]:
        """Read the metadata of all objects, at a tenth or less of the cost of a list."""
        query = {"limit": str(PAGE_SIZE)} | ({"labelSelector": labels} if labels else {})
        objects: list[Object] = []
        while True:
            call = Call("list", kind, namespace, query=query, accept=METADATA_ONLY)
            page = await self._send(call)
            # `items` is null where no object is selected and only metadata are requested.
            objects += (item["metadata"] for item in page["items"] or ())
            following = page["metadata"].get("continue")
            if not following:
                return objects
            query["continue"] = following

    async def create(self, kind: Kind, namespace: str | None, body: Object) -> Object:
        """Create an object. Raises AlreadyExists."""
        return await self._send(Call("create", kind, namespace, body=body))

    async def replace(self, kind: Kind, namespace: str | None, name: str, body: Object) -> Object:
        """Replace an object. Raises Conflict where its `resourceVersion` is not that in `body`."""
        return await self._send(Call("update", kind, namespace, name, body=body))

    async def apply_status(
        self, kind: Kind, namespace: str | None, name: str, body: Object
    ) -> Object:
        """Write a whole status by server-side apply.

        Raises Conflict where `body` has a `metadata.resourceVersion` and the object has changed.
        """
        return await self._send(
            Call(
                verb="patch",
                kind=kind,
                namespace=namespace,
                name=name,
                subresource="status",
                query={"fieldManager": FIELD_MANAGER, "force": "true"},
                body={"apiVersion": kind.api_version, "kind": kind.name, **body},
                content_type="application/apply-patch+yaml",
            )
        )

    async def delete(
        self, kind: Kind, namespace: str, name: str, *, uid: str | None = None
    ) -> None:
        """Delete an object. Raises NotFound, and Conflict where its uid is not `uid`."""
        body: Object = {"propagationPolicy": "Background"}
        if uid is not None:
            body["preconditions"] = {"uid": uid}
        await self._send(Call("delete", kind, namespace, name, body=body))

    async def delete_collection(self, kind: Kind, namespace: str, labels: str) -> None:
        """Delete all objects with these labels."""
        body = {"propagationPolicy": "Background"}
        query = {"labelSelector": labels}
        await self._send(Call("deletecollection", kind, namespace, query=query, body=body))

    async def _send(self, call: Call) -> Object:
        # The renewal of the Lease must not wait for other requests.
        async with self._turns.held_by(None if call.kind is LEASES else call.namespace):
            return await self._send_now(call)

    async def _send_now(self, call: Call) -> Object:
        if call.is_guarded and not self._may_write():
            message = f"{call.verb} {call.path}: this replica does not lead any more"
            raise ClusterForbidden(message)
        started = time.monotonic()
        code = 0
        try:
            answer = await self._transport.send(call)
            code = answer.code
        except (TimeoutError, ConnectionError) as error:
            message = f"{call.verb} {call.path}: no answer: {error or type(error).__name__}"
            raise ClusterBusy(message) from error
        finally:
            self._observe(Request(call.verb, call.kind, code, time.monotonic() - started))
        document = _decoded(answer.body)
        if code >= 400:  # noqa: PLR2004 - where HTTP's errors begin
            raise error_of(code, document, answer.retry_after)
        return document


def _decoded(text: bytes) -> Object:
    try:
        document = json.loads(text)
    except ValueError:
        # A proxy between may answer with text that is no JSON.
        document = {"message": text[:200].decode(errors="replace")}
    return cast("Object", document) if isinstance(document, dict) else {}


TRIES = 5


def _never(stored: Object) -> bool:
    del stored
    return False


async def write_status(
    client: Client,
    kind: Kind,
    read: Object,
    status: dict[str, Any],
    stays: Callable[[Object], bool] = _never,
) -> Object:
    """Write a whole status to the object that was read, and return the stored object.

    Only the metadata of `read` matter. Where the object has changed since, the function reads it
    again, and leaves it unchanged where `stays` says so. Raises NotFound where the object is gone,
    also where another object has its name now.
    """
    metadata = read["metadata"]
    namespace, name = metadata.get("namespace"), str(metadata["name"])
    version = metadata["resourceVersion"]
    for _ in range(TRIES):
        body: Object = {"metadata": {"resourceVersion": version}, "status": status}
        try:
            return await client.apply_status(kind, namespace, name, body)
        except Conflict:
            stored = await client.get(kind, namespace, name)
        if stored["metadata"]["uid"] != metadata["uid"]:
            message = f"{kind.plural} {name} is another one now"
            raise NotFound(message)
        if stays(stored):
            return stored
        version = stored["metadata"]["resourceVersion"]
    message = f"{name} changes faster than it can be written"
    raise ClusterBusy(message)


MAX_REQUESTS_PER_NAMESPACE = 16


@dataclass(frozen=True, slots=True)
class NamespaceSlots:
    """Lets so many of a namespace go at once; the rest waits in order."""

    most: int = MAX_REQUESTS_PER_NAMESPACE
    _of: WeakValueDictionary[str, asyncio.Semaphore] = field(
        default_factory=WeakValueDictionary[str, asyncio.Semaphore]
    )

    @asynccontextmanager
    async def held_by(self, namespace: str | None) -> AsyncGenerator[None]:
        """Wait for a turn; what lies in no namespace waits for nobody."""
        if namespace is None:
            yield
            return
        turns = self._of.get(namespace)
        if turns is None:
            self._of[namespace] = turns = asyncio.Semaphore(self.most)
        async with turns:
            yield
