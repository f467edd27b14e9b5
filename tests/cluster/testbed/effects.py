"""Effects of the proxy on a request, and rules that choose one."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from testbed.api_request import ApiRequest


@dataclass(frozen=True, slots=True)
class Kill:
    """Kill the operator: before the request is forwarded, or before its answer is passed on."""

    forwarded: bool


@dataclass(frozen=True, slots=True)
class Reset:
    """Close the connection without an answer: before forwarding, or after (a lost reply)."""

    forwarded: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer in the API server's place."""

    code: int
    reason: str = ""
    retry_after_seconds: int | None = None

    @property
    def body(self) -> bytes:
        """A Status as the API server writes it."""
        return json.dumps(status_of(self.code, self.reason)).encode()


@dataclass(frozen=True, slots=True)
class Delay:
    """Forward it later."""

    seconds: float


@dataclass(frozen=True, slots=True)
class EditWatch:
    """Change the events of a watch: each line, with its number from 0, becomes another, or none.

    `after` ends the stream behind the last line that it lets through.
    """

    edit: Callable[[int, bytes], bytes | None]
    ends: Callable[[int], bool] = field(default=lambda _: False)


Effect = Kill | Reset | Answer | Delay | EditWatch
Rule = Callable[[ApiRequest], Effect | None]
"""Called with every request in order; gives its effect, or None to pass it on."""


def status_of(code: int, reason: str) -> dict[str, Any]:
    """Write the Status object of a failure."""
    return {
        "apiVersion": "v1",
        "kind": "Status",
        "metadata": {},
        "status": "Failure",
        "message": f"by the test's proxy: {code} {reason}".strip(),
        "reason": reason,
        "code": code,
    }


def error_event(code: int, reason: str) -> bytes:
    """Write a watch's event of type ERROR."""
    return json.dumps({"type": "ERROR", "object": status_of(code, reason)}).encode() + b"\n"


def once(wanted: Callable[[ApiRequest], bool], effect: Effect) -> Rule:
    """Do something to the first request that is wanted."""
    done: list[ApiRequest] = []

    def rule(request: ApiRequest) -> Effect | None:
        if done or not wanted(request):
            return None
        done.append(request)
        return effect

    return rule


def each(wanted: Callable[[ApiRequest], bool], effect: Effect, every: int = 1) -> Rule:
    """Do something to every n-th request that is wanted, the first included."""
    seen: list[ApiRequest] = []

    def rule(request: ApiRequest) -> Effect | None:
        if not wanted(request):
            return None
        seen.append(request)
        return effect if (len(seen) - 1) % every == 0 else None

    return rule


def during(seconds: float, inner: Rule) -> Rule:
    """Apply a rule from its first request on, for a time."""
    ends: list[float] = []

    def rule(request: ApiRequest) -> Effect | None:
        if not ends:
            ends.append(time.monotonic() + seconds)
        return inner(request) if time.monotonic() < ends[0] else None

    return rule
