"""An API server in memory, behind the project's own client.

`FakeCluster.client()` is the operator's `Client`; what it asks for is answered here as a real API
server does: `api_server_cases.py` holds both to the same table. What is not here: admission, the
defaults and checks of a CRD (but for a status's unknown fields), other field managers, namespaces
that do not exist.

`faults` spoil requests, `requests` tells them, `watchers` hear of every change. `add`, `edit` and
`remove` are what somebody else does: no fault meets them and `requests` does not tell them.
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

# An answer instead of what was asked for, as a fault's `answer`: code and message.
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
    """What befalls requests of a verb (the client's word), a kind and, if given, a name."""

    verb: str
    kind: Kind
    answer: tuple[int, str] | None = None
    """What it gets; nothing is done."""
    is_lost: bool = False
    """It is done, and the connection breaks before the answer."""
    before: Callable[[], Awaitable[object]] | None = None
    """Is awaited first: a delay, or what somebody else does just then."""
    name: str | None = None
    times: int = 1

    def meets(self, call: Call, name: str) -> bool:
        """Whether it befalls a request."""
        same = (self.verb, self.kind) == (call.verb, call.kind)
        return same and self.times > 0 and self.name in (None, name)


@dataclass(slots=True)
class FakeCluster(Store):
    """A server and its objects: a `Transport`."""

    requests: list[str] = field(default_factory=list[str])
    """Each as `create pods team/study-0-0-0`; a subresource stands behind a slash."""
    faults: list[Fault] = field(default_factory=list[Fault])
    tokens: dict[str, Object] = field(default_factory=dict[str, Object])
    """The status of each token's review."""
    busy_seconds: float = 0.0
    """Processor time that answers have taken: none of the client's."""

    def client(
        self,
        may_write: Callable[[], bool] = always,
        observe: Callable[[Request], None] = ignore_request,
    ) -> Client:
        """Make a client of this server."""
        return Client(self, may_write=may_write, observe=observe)

    async def access(self) -> Access:
        """Refuse: there is no address to be connected to."""
        message = "this API server has no address"
        raise ConnectionError(message)

    async def send(self, call: Call) -> ApiAnswer:
        """Answer a request, or do to it what a fault says."""
        name = call.name or str(_metadata(call).get("name", ""))
        below = f"/{call.below}" if call.below else ""
        at = "/".join(each for each in (call.namespace, name) if each)
        self.requests.append(f"{call.verb} {call.kind.plural}{below} {at}".rstrip())
        await asyncio.sleep(0)  # as a network does, it lets others go first
        fault = next((each for each in self.faults if each.meets(call, name)), None)
        if fault is not None:
            fault.times -= 1
            if fault.before is not None:
                await fault.before()
            if fault.answer is not None:
                return _answer(fault.answer[0], {"message": f"{name} {fault.answer[1]}"})
        began = time.thread_time()
        try:
            answer = _answer(200, self._do(call))
        except Refused as refused:
            answer = _answer(refused.code, {"reason": refused.reason, "message": str(refused)})
        self.busy_seconds += time.thread_time() - began
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
                for thing in self._selected(call):
                    self.delete(call.kind, call.namespace, thing["metadata"]["name"])
                return {"items": []}
            case _:
                return self._do_to_one(call)

    def _do_to_one(self, call: Call) -> Object:
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
                return self.edit(*place, lambda thing: thing.update(status=body["status"]))
            case _:
                version = _metadata(call).get("resourceVersion")
                if version is None and is_ours(call.kind):
                    raise Refused(422, "Invalid", "metadata.resourceVersion: must be specified")
                self._expect(place, "resourceVersion", version)
                return self.edit(*place, lambda thing: _replace(call.kind, thing, body))

    def _create(self, call: Call) -> Object:
        body = copy.deepcopy(call.body or {})
        if call.kind is TOKEN_REVIEWS:
            known = self.tokens.get(body["spec"]["token"], {"authenticated": False})
            return body | {"status": known}
        metadata = _metadata(call)
        if not metadata.get("name"):
            raise Refused(422, "Invalid", "metadata.name: Required value")
        if metadata.get("namespace", call.namespace) != call.namespace:
            message = "the namespace of the object does not match the namespace of the request"
            raise Refused(400, "BadRequest", message)
        if _has_status_apart(call.kind):
            body.pop("status", None)
        if call.kind is PODS:
            body["status"] = {"phase": "Pending"}
        return self.add(call.kind, call.namespace, body)

    def _list(self, call: Call) -> Object:
        query = call.query or {}
        found = [each for each in self._selected(call) if _token(each) > query.get("continue", "")]
        page = found[: int(query.get("limit", len(found)))]
        more = {"continue": _token(page[-1])} if len(page) < len(found) else {}
        items: list[Object] | None = page
        if call.accept == METADATA_ONLY:
            items = [{"metadata": each["metadata"]} for each in page] or None
        elif not is_ours(call.kind):
            bare = ("apiVersion", "kind")  # the list says them once
            items = [{name: each[name] for name in each if name not in bare} for each in page]
        return {"metadata": {"resourceVersion": str(self.revision)} | more, "items": items}

    def _selected(self, call: Call) -> list[Object]:
        selector = (call.query or {}).get("labelSelector", "")
        things = self.stored(call.kind, call.namespace)  # the answer's JSON is the copy
        return [each for each in things if _matches(selector, each["metadata"].get("labels", {}))]

    def _expect(self, place: Place, name: str, wanted: str | None) -> None:
        found = self.objects[place]["metadata"][name]
        if wanted not in (None, found):
            message = f"{place[0].plural} {place[2]}: the {name} is {found}, not {wanted}"
            raise Refused(409, "Conflict", message)


def _answer(code: int, document: Object) -> ApiAnswer:
    return ApiAnswer(code, json.dumps(document).encode())


def _metadata(call: Call) -> Object:
    found: Object = (call.body or {}).get("metadata", {})
    return found


def _has_status_apart(kind: Kind) -> bool:
    return is_ours(kind) or kind in (PODS, JOBS)


def _expect_declared(kind: Kind, status: Object) -> None:
    """Refuse a field that the kind's definition lacks, as server-side apply does."""
    if is_ours(kind):
        for name in status.keys() - _declared(kind):
            why = f".status.{name}: field not declared in schema"
            raise Refused(500, "", f"failed to create typed patch object: {why}")


@cache
def _declared(kind: Kind) -> frozenset[str]:
    ours = next(each for each in KINDS if each.plural == kind.plural)
    schema = definition(ours)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return frozenset(schema["properties"]["status"]["properties"])


def _replace(kind: Kind, thing: Object, body: Object) -> None:
    """Write an object whole, but for what the server writes and what has a path of its own."""
    system = {name: thing["metadata"][name] for name in SYSTEM if name in thing["metadata"]}
    version = {"resourceVersion": thing["metadata"]["resourceVersion"]}
    status = thing if _has_status_apart(kind) else body
    kept = {"status": status["status"]} if "status" in status else {}
    body.pop("status", None)
    thing.clear()
    thing |= body | kept | {"metadata": body.get("metadata", {}) | system | version}


def _token(thing: Object) -> str:
    return f"{thing['metadata'].get('namespace', '')}/{thing['metadata']['name']}"


def _matches(selector: str, labels: dict[str, str]) -> bool:
    """Whether labels fit `key`, `key=value` and `key in (a,b)`, joined by commas."""
    for one in re.findall(r"[^,()]+(?:\([^)]*\))?", selector):
        key, among, values = one.partition(" in (")
        name, equals, value = key.partition("=")
        allowed = values.rstrip(")").split(",") if among else [value] if equals else None
        if name not in labels or (allowed is not None and labels[name] not in allowed):
            return False
    return True
