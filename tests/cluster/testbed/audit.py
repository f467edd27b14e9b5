"""The API server's own account of who asked for what."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from testbed.api_request import WRITES


@dataclass(frozen=True, slots=True)
class Entry:
    """A request that was answered; times are seconds since the epoch."""

    verb: str
    group: str
    resource: str
    namespace: str
    name: str
    user: str
    agent: str
    code: int
    received_seconds: float
    answered_seconds: float

    @property
    def is_write(self) -> bool:
        """Whether it may have changed something."""
        return self.verb in WRITES


class AuditLog:
    """The log of a control plane that the tests started."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def position(self) -> int:
        """Where the log ends now: what follows can be read from there."""
        return self._file.stat().st_size

    def entries(self, start: int = 0) -> Iterator[Entry]:
        """Read what was written since `start`, each request once; a watch when it begins."""
        seen: set[str] = set()
        with self._file.open("rb") as lines:
            lines.seek(start)
            for line in lines:
                document = json.loads(line)
                if "objectRef" in document and document["auditID"] not in seen:
                    seen.add(document["auditID"])
                    yield _entry(document)


def _entry(document: dict[str, Any]) -> Entry:
    target = document["objectRef"]
    resource, subresource = target.get("resource", ""), target.get("subresource", "")
    return Entry(
        document["verb"],
        target.get("apiGroup", ""),
        f"{resource}/{subresource}" if subresource else resource,
        target.get("namespace", ""),
        target.get("name", ""),
        document["user"]["username"],
        document.get("userAgent", "").split("/")[0],
        document.get("responseStatus", {}).get("code", 0),
        _seconds(document["requestReceivedTimestamp"]),
        _seconds(document["stageTimestamp"]),
    )


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
