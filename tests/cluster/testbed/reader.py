"""Reads of the API server that cost a millisecond, for tests that look often."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

TRIES = 60
PAUSE_SECONDS = 0.5
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
        code, text = self._patiently(path)
        if code == 404:
            raise Gone(path)
        assert code == 200, f"{path}: {code} {text.decode(errors='replace')}"
        document: dict[str, Any] = json.loads(text)
        return document

    def _patiently(self, path: str) -> tuple[int, bytes]:
        """Ask again where the API server says that it is beginning, or has been restarted."""
        for _ in range(TRIES):
            try:
                self._connection.request("GET", path)
                answer = self._connection.getresponse()
                text = answer.read()
            except (http.client.HTTPException, OSError):
                self._connection.close()
            else:
                if answer.status not in (429, 503):
                    return answer.status, text
            time.sleep(PAUSE_SECONDS)
        message = f"{path}: no answer"
        raise AssertionError(message)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
