"""A request to an API server as Kubernetes names it: verb, resource, object."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete", "GET": "get"}


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """A request; `resource` holds the subresource too: `pods`, `scalingtrials/status`."""

    verb: str
    resource: str
    namespace: str = ""
    name: str = ""
    labels: str = ""
    body: Mapping[str, Any] | None = None

    @property
    def is_write(self) -> bool:
        """Whether it may change something."""
        return self.verb in WRITES

    @property
    def is_watch(self) -> bool:
        """Whether its answer is a stream of events."""
        return self.verb == "watch"

    def __str__(self) -> str:
        return " ".join(
            word for word in (self.verb, self.resource, self.name or self.labels) if word
        )


def parse(method: str, target: str, body: bytes = b"") -> ApiRequest:
    """Read a request line; paths that are no objects' (`/version`) give an empty resource."""
    url = urlsplit(target)
    query = parse_qs(url.query)
    steps = [step for step in url.path.split("/") if step]
    # /api/v1/... and /apis/GROUP/VERSION/...
    rest = steps[2:] if steps[:1] == ["api"] else steps[3:] if steps[:1] == ["apis"] else []
    namespace = ""
    if rest[:1] == ["namespaces"] and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    resource = "/".join((rest[0], *rest[2:])) if rest else ""
    name = rest[1] if len(rest) > 1 else ""
    document = _document(body)
    if method == "POST" and not name:
        name = str(document.get("metadata", {}).get("name", ""))
    return ApiRequest(
        _verb(method, name, is_watch=query.get("watch", [""])[0] in ("true", "1", "True")),
        resource,
        namespace,
        name,
        query.get("labelSelector", [""])[0],
        document or None,
    )


def _verb(method: str, name: str, *, is_watch: bool) -> str:
    if method == "GET" and not name:
        return "watch" if is_watch else "list"
    if method == "DELETE" and not name:
        return "deletecollection"
    return _VERBS.get(method, method.lower())


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except ValueError:
        return {}
    return cast("dict[str, Any]", document) if isinstance(document, dict) else {}
