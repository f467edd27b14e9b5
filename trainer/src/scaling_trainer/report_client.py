"""The client of the operator's report endpoint: one kept connection, with pauses after failures.

The module needs the standard library alone. A network error is a return value here, never an
exception: training continues without the operator.
"""

from __future__ import annotations

import http.client
import json
import logging
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from scaling_trainer.reading import UnreadableFile, read_text

# Long enough for a handshake on a busy machine, short compared with a long training step.
TIMEOUT_SECONDS = 5.0
MOST_TOKEN_BYTES = 64 * 1024
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
# One address may lead to several replicas of the operator. One of the replicas accepts reports.
TRIES_AT_REPLICAS = 5

# The endpoint would refuse the same body again.
_REFUSED = (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)

# With Retry-After: the endpoint works, but limits the rate or waits for something itself.
_LATER = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Refused:
    """The endpoint refuses this body for good."""

    message: str


@dataclass(frozen=True, slots=True)
class Away:
    """The endpoint cannot be reached now."""


@dataclass(frozen=True, slots=True)
class Busy:
    """The endpoint works, and accepts this body after so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Lost:
    """The kept connection has ended. The next document opens a new connection."""


Answer = Mapping[str, Any] | Refused | Away | Busy | Lost


class _Standby(http.client.HTTPException):
    """This replica of the operator accepts no reports. Another replica may."""


class _SinglePacketConnection(http.client.HTTPConnection):
    """A connection that sends head and body in one packet.

    http.client sends two packets, because it sets TCP_NODELAY.
    """

    _parts: list[bytes] | None = None

    def send_whole(self, path: str, body: bytes, headers: Mapping[str, str]) -> None:
        """POST a body. `getresponse` gives the answer."""
        self._parts = []
        try:
            self.request("POST", path, body, headers)
            whole = b"".join(self._parts)
        finally:
            self._parts = None
        super().send(whole)

    def send(self, data: Any) -> None:
        """Keep the parts of a request until the request is complete."""
        if self._parts is None:
            super().send(data)
        else:
            self._parts.append(data)


class _SinglePacketTlsConnection(_SinglePacketConnection, http.client.HTTPSConnection):
    """A connection over TLS that sends head and body in one packet."""


@dataclass(slots=True)
class ReportClient:
    """The report endpoint: `url`, a file with the bearer token, and the CA as PEM text."""

    url: str
    token_file: Path | None = None
    ca: str | None = None
    _connection: _SinglePacketConnection | None = None
    _pause_seconds: float = 0.0
    _next_try: float = 0.0
    _paused_answer: Away | Busy = field(default_factory=Away)
    _has_warned: bool = False
    _context: ssl.SSLContext | None = field(default=None, repr=False)

    def post(self, path: str, document: Mapping[str, Any], *, insist: bool = False) -> Answer:
        """Send one document.

        After each failure the client pauses, longer each time. During a pause `post` returns Away
        at once, or Busy if the endpoint asked for the pause. With `insist` the client sends during
        a pause too.
        """
        if not insist and time.monotonic() < self._next_try:
            return self._paused_answer
        body = json.dumps(document, separators=(",", ":")).encode()
        reused = self._connection is not None
        try:
            return self._send_to_replica(path, body)
        except (OSError, UnreadableFile, http.client.HTTPException) as error:
            self.close()
            return Lost() if reused else self._away(error)

    def close(self) -> None:
        """Close the connection. The next document opens a new connection."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _send_to_replica(self, path: str, body: bytes) -> Answer:
        """Send to the replica that accepts reports. A new connection may reach another replica."""
        tries_left = TRIES_AT_REPLICAS
        while True:
            reused = self._connection is not None
            tries_left -= 1
            try:
                return self._send(path, body)
            except _Standby:
                if reused or not tries_left:
                    raise
                self.close()

    def _send(self, path: str, body: bytes) -> Answer:
        if self._connection is None:
            self._connection = self._connect()
        headers = {"Content-Type": "application/json"}
        if self.token_file is not None:
            # Kubernetes renews the token in its file.
            headers["Authorization"] = (
                f"Bearer {read_text(self.token_file, MOST_TOKEN_BYTES).strip()}"
            )
        prefix = urlsplit(self.url).path.rstrip("/")
        self._connection.send_whole(prefix + path, body, headers)
        response = self._connection.getresponse()
        text = response.read()
        if response.status in _REFUSED:
            return Refused(text.decode(errors="replace")[:200])
        retry_after = _seconds(response.getheader("Retry-After"))
        if response.status in _LATER and retry_after is not None:
            return self._busy(retry_after)
        if response.status != HTTPStatus.OK:
            message = f"HTTP {response.status} {text.decode(errors='replace')[:200]}"
            standby = response.status == HTTPStatus.SERVICE_UNAVAILABLE
            raise _Standby(message) if standby else http.client.HTTPException(message)
        answer = _object(text)
        self._pause_seconds, self._next_try = 0.0, 0.0
        return answer

    def _connect(self) -> _SinglePacketConnection:
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        if parts.scheme != "https":
            return _SinglePacketConnection(host, parts.port, timeout=TIMEOUT_SECONDS)
        if self._context is None:
            self._context = ssl.create_default_context(cadata=self.ca)
        return _SinglePacketTlsConnection(
            host, parts.port, timeout=TIMEOUT_SECONDS, context=self._context
        )

    def _busy(self, seconds: float) -> Busy:
        self._next_try = time.monotonic() + seconds
        self._paused_answer = Busy(seconds)
        return self._paused_answer

    def _away(self, error: Exception) -> Away:
        longer = max(FIRST_PAUSE_SECONDS, 2 * self._pause_seconds)
        self._pause_seconds = min(longer, LONGEST_PAUSE_SECONDS)
        self._next_try = time.monotonic() + self._pause_seconds
        self._paused_answer = Away()
        if not self._has_warned:
            _log.warning("reports wait: %s does not take them: %s", self.url, error)
            self._has_warned = True
        return Away()


def _seconds(text: str | None) -> float | None:
    """Read a Retry-After in seconds, as the operator sends it, within the bounds of a pause."""
    if text is None or not (text.isascii() and text.isdecimal()):
        return None
    return min(max(float(text), FIRST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)


def _object(text: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(text)
    except ValueError as error:
        message = f"the answer is not JSON: {error}"
        raise http.client.HTTPException(message) from error
    if not isinstance(document, dict):
        message = "the answer is not a JSON object"
        raise http.client.HTTPException(message)
    return cast("dict[str, Any]", document)
