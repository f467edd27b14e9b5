"""An API server in memory, behind the project's own client.

`FakeCluster.client()` gives the operator's own `Client`. The fake answers its requests as a real
API server does: `api_server_cases.py` tests both with the same table. The fake lacks admission, the
defaults and checks of a CRD (but for unknown fields of a status), other field managers, and
namespaces that do not exist.

`faults` disturb requests, `requests` records them, and hooks are called at every change. `add`,
`edit` and `remove` are changes by other clients: no fault applies to them, and `requests` does not
record them.
"""

from __future__ import annotations

import asyncio
import copy
import json
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import cache

from fake_store import Object, Place, Refused, Store, is_ours

from scaling_operator.kube.client.client import (
    METADATA_ONLY,
    Access,
    ApiAnswer,
    Call,
    Client,
    Request,
    always,
    ignore_request,
)
from scaling_operator.kube.client.kinds import JOBS, PODS, TOKEN_REVIEWS, Kind
from scaling_operator.validation.crd import KINDS, definition

# Answers of a fault, instead of the object: code and message.
BUSY = (503, "the server is currently unable to handle the request")
FORBIDDEN = (403, "is forbidden: the operator's account cannot do it")
NO_QUOTA = (403, "is forbidden: exceeded quota: compute, used: pods=2, limited: pods=2")
NO_SUCH_POD = (403, 'is forbidden: violates PodSecurity "restricted:latest"')
INVALID = (422, "is invalid: spec: Invalid value")
CHANGED = (409, "the object has been modified; please apply your changes to the latest version")
MISSING = (404, "not found")

SYSTEM = ("uid", "creationTimestamp", "generation", "namespace", "deletionTimestamp")
"""Metadata that the server writes."""


@dataclass(slots=True)
class Fault:
    """A fault of requests with this verb (the client's word), kind and, if given, name."""

    verb: str
    kind: Kind
    answer: tuple[int, str] | None = None
    """The answer, instead of carrying the request out."""
    is_lost: bool = False
    """Whether the request is carried out, and the connection breaks before the answer."""
    before: Callable[[], Awaitable[object]] | None = None
    """Awaited before the request: a delay, or a change by another client."""
    name: str | None = None
    times: int = 1

    def matches(self, call: Call, name: str) -> bool:
        """Whether the fault applies to a request."""
        has_verb_and_kind = (self.verb, self.kind) == (call.verb, call.kind)
        return has_verb_and_kind and self.times > 0 and self.name in (None, name)


@dataclass(slots=True)
class FakeCluster(Store):
    """A server and its objects: a `Transport`."""

    requests: list[str] = field(default_factory=list[str])
    """Each as `create pods team/study-0-0-0`; a subresource follows a slash."""
    faults: list[Fault] = field(default_factory=list[Fault])
    tokens: dict[str, Object] = field(default_factory=dict[str, Object])
    """The status of each token's review."""
    busy_seconds: float = 0.0
    """Processor time of the answers, without the client's."""

    def client(
        self,
        may_write: Callable[[], bool] = always,
        observe: Callable[[Request], None] = ignore_request,
    ) -> Client:
        """Make a client of this server."""
        return Client(self, may_write=may_write, observe=observe)

    async def access(self) -> Access:
        """Refuse: this server has no address."""
        message = "this API server has no address"
        raise ConnectionError(message)

    async def send(self, call: Call) -> ApiAnswer:
        """Answer a request, or apply a fault to it."""
        name = call.name or str(_metadata(call).get("name", ""))
        below = f"/{call.subresource}" if call.subresource else ""
        path = "/".join(part for part in (call.namespace, name) if part)
        self.requests.append(f"{call.verb} {call.kind.plural}{below} {path}".rstrip())
        await asyncio.sleep(0)  # as a network does: other tasks go on first
        fault = next((part for part in self.faults if part.matches(call, name)), None)
        if fault is not None:
            fault.times -= 1
            if fault.before is not None:
                await fault.before()
            if fault.answer is not None:
                return _answer(fault.answer[0], {"message": f"{name} {fault.answer[1]}"})
        started = time.thread_time()
        try:
            answer = _answer(200, self._do(call))
        except Refused as refused:
            answer = _answer(refused.code, {"reason": refused.reason, "message": str(refused)})
        self.busy_seconds += time.thread_time() - started
        if fault is not None and fault.is_lost:
            message = "the connection broke"
            raise ConnectionResetError(message)
        return answer

    def _do(self, call: Call) -> Object:
        match call.verb:
            case "create":
                return self._create(call)
            case "list":
                return self._list(call)
            case "deletecollection":
                for object_ in self._selected(call):
                    self.delete(call.kind, call.namespace, object_["metadata"]["name"])
                return {"items": []}
            case _:
                return self._do_to_object(call)

    def _do_to_object(self, call: Call) -> Object:
        place: Place = (call.kind, call.namespace or "", call.name or "")
        if place not in self.objects:
            raise Refused(404, "NotFound", f'{call.kind.plural} "{call.name}" not found')
        body = copy.deepcopy(call.body or {})
        match call.verb:
            case "get":
                return self.objects[place]
            case "delete":
                self._expect(place, "uid", body.get("preconditions", {}).get("uid"))
                self.delete(*place)
                return {"status": "Success"}
            case "patch":
                self._expect(place, "resourceVersion", _metadata(call).get("resourceVersion"))
                _expect_declared(call.kind, body["status"])
                return self.edit(*place, lambda object_: object_.update(status=body["status"]))
            case _:
                version = _metadata(call).get("resourceVersion")
                if version is None and is_ours(call.kind):
                    raise Refused(422, "Invalid", "metadata.resourceVersion: must be specified")
                self._expect(place, "resourceVersion", version)
                return self.edit(*place, lambda object_: _replace(call.kind, object_, body))

    def _create(self, call: Call) -> Object:
        body = copy.deepcopy(call.body or {})
        if call.kind is TOKEN_REVIEWS:
            status = self.tokens.get(body["spec"]["token"], {"authenticated": False})
            return body | {"status": status}
        metadata = _metadata(call)
        if not metadata.get("name"):
            raise Refused(422, "Invalid", "metadata.name: Required value")
        if metadata.get("namespace", call.namespace) != call.namespace:
            message = "the namespace of the object does not match the namespace of the request"
            raise Refused(400, "BadRequest", message)
        if _has_status_subresource(call.kind):
            body.pop("status", None)
        if call.kind is PODS:
            body["status"] = {"phase": "Pending"}
        return self.add(call.kind, call.namespace, body)

    def _list(self, call: Call) -> Object:
        query = call.query or {}
        selected = [
            object_
            for object_ in self._selected(call)
            if _continue_token(object_) > query.get("continue", "")
        ]
        page = selected[: int(query.get("limit", len(selected)))]
        continuation = {"continue": _continue_token(page[-1])} if len(page) < len(selected) else {}
        items: list[Object] | None = page
        if call.accept == METADATA_ONLY:
            items = [{"metadata": object_["metadata"]} for object_ in page] or None
        elif not is_ours(call.kind):
            type_fields = ("apiVersion", "kind")  # the list has them once
            items = [
                {name: object_[name] for name in object_ if name not in type_fields}
                for object_ in page
            ]
        return {"metadata": {"resourceVersion": str(self.revision)} | continuation, "items": items}

    def _selected(self, call: Call) -> list[Object]:
        selector = (call.query or {}).get("labelSelector", "")
        stored = self.stored(call.kind, call.namespace)  # encoding the answer copies it
        return [
            object_
            for object_ in stored
            if _matches(selector, object_["metadata"].get("labels", {}))
        ]

    def _expect(self, place: Place, name: str, expected: str | None) -> None:
        actual = self.objects[place]["metadata"][name]
        if expected not in (None, actual):
            message = f"{place[0].plural} {place[2]}: the {name} is {actual}, not {expected}"
            raise Refused(409, "Conflict", message)


def _answer(code: int, document: Object) -> ApiAnswer:
    return ApiAnswer(code, json.dumps(document).encode())


def _metadata(call: Call) -> Object:
    metadata: Object = (call.body or {}).get("metadata", {})
    return metadata


def _has_status_subresource(kind: Kind) -> bool:
    return is_ours(kind) or kind in (PODS, JOBS)


def _expect_declared(kind: Kind, status: Object) -> None:
    """Refuse a field that the kind's definition lacks, as server-side apply does."""
    if is_ours(kind):
        for name in status.keys() - _declared(kind):
            reason = f".status.{name}: field not declared in schema"
            raise Refused(500, "", f"failed to create typed patch object: {reason}")


@cache
def _declared(kind: Kind) -> frozenset[str]:
    ours = next(kind_of_ours for kind_of_ours in KINDS if kind_of_ours.plural == kind.plural)
    schema = definition(ours)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return frozenset(schema["properties"]["status"]["properties"])


def _replace(kind: Kind, object_: Object, body: Object) -> None:
    """Replace an object, but for the server's metadata and a status with its own subresource."""
    system = {name: object_["metadata"][name] for name in SYSTEM if name in object_["metadata"]}
    version = {"resourceVersion": object_["metadata"]["resourceVersion"]}
    status = object_ if _has_status_subresource(kind) else body
    kept = {"status": status["status"]} if "status" in status else {}
    body.pop("status", None)
    object_.clear()
    object_ |= body | kept | {"metadata": body.get("metadata", {}) | system | version}


def _continue_token(object_: Object) -> str:
    return f"{object_['metadata'].get('namespace', '')}/{object_['metadata']['name']}"


def _matches(selector: str, labels: dict[str, str]) -> bool:
    """Whether labels fit `key`, `key=value` and `key in (a,b)`, joined by commas."""
    for requirement in re.findall(r"[^,()]+(?:\([^)]*\))?", selector):
        key, is_set, values = requirement.partition(" in (")
        name, has_value, value = key.partition("=")
        allowed = values.rstrip(")").split(",") if is_set else [value] if has_value else None
        if name not in labels or (allowed is not None and labels[name] not in allowed):
            return False
    return True
