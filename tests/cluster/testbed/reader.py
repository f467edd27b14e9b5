"""Reads of the API server that cost a millisecond, for tests that look often."""

from __future__ import annotations

import http.client
import json
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

_CUSTOM = "/apis/scaling-operator.dev/v1alpha1"
_ROOTS = {
    "scalingexperiments": _CUSTOM,
    "scalingtrials": _CUSTOM,
    "pods": "/api/v1",
    "events": "/api/v1",
    "jobs": "/apis/batch/v1",
    "leases": "/apis/coordination.k8s.io/v1",
}


class Gone(Exception):
    """There is no such object."""


class Reader:
    """Lists and reads objects as the cluster's admin, over one connection."""

    def __init__(self, server: str, pki: Path) -> None:
        url = urlsplit(server)
        assert url.hostname is not None
        trust = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        trust.load_cert_chain(pki / "admin.crt", pki / "admin.key")
        self._connection = http.client.HTTPSConnection(
            url.hostname, url.port, context=trust, timeout=30
        )

    def list(self, resource: str, namespace: str, labels: str = "") -> list[dict[str, Any]]:
        """Read all objects of a resource in a namespace."""
        query = f"?{urlencode({'labelSelector': labels})}" if labels else ""
        items: list[dict[str, Any]] = self.get(resource, namespace, query)["items"]
        return items

    def read(self, resource: str, namespace: str, name: str) -> dict[str, Any]:
        """Read an object. Raises Gone."""
        return self.get(resource, namespace, f"/{name}")

    def get(self, resource: str, namespace: str, rest: str) -> dict[str, Any]:
        """Read what lies at a path. Raises Gone."""
        path = f"{_ROOTS[resource]}/namespaces/{namespace}/{resource}{rest}"
        try:
            answer = self._ask(path)
        except (http.client.HTTPException, OSError):
            self._connection.close()  # the API server may have been restarted
            answer = self._ask(path)
        text = answer.read()
        if answer.status == 404:
            raise Gone(path)
        assert answer.status == 200, f"{path}: {answer.status} {text.decode(errors='replace')}"
        document: dict[str, Any] = json.loads(text)
        return document

    def _ask(self, path: str) -> http.client.HTTPResponse:
        self._connection.request("GET", path)
        return self._connection.getresponse()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
