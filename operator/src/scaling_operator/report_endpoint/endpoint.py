"""What a shell brings to the endpoint, and what its answers may be besides a reply."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from scaling_operator.core.reports import Reply, Report

Sender = TypeVar("Sender", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Rate:
    """Requests that one sender may make; a further one is told to come later (429, Retry-After)."""

    per_second: float = 10.0
    burst: int = 64
    """At once: a training of a moment, with all the points that its curve keeps."""


def _always() -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Endpoint(Generic[Sender]):
    """What a shell brings: whom a token belongs to (None: nobody), what follows from a report.

    `authenticate` also gets the address that the token came from. `on_report` may hear a report
    twice, as a lost answer is asked for again, and must then answer the same. `is_active` is false
    in a standby: it answers 503 and closes. `experiment` makes the table that the finisher gets.
    Without a `rate` a sender may do as much as it likes: locally it is our own. All but
    `is_active` may raise NotNow; `on_report` and `experiment` also NotAnAttempt.
    """

    authenticate: Callable[[str, str], Awaitable[Sender | None]]
    on_report: Callable[[Sender, Report], Awaitable[Reply]]
    is_active: Callable[[], bool] = _always
    experiment: Callable[[Sender], Awaitable[Mapping[str, Any]]] | None = None
    rate: Rate | None = None


class NotNow(Exception):
    """The shell cannot answer before `retry_after_seconds`: what it would ask is away."""

    def __init__(self, message: str, retry_after_seconds: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class NotAnAttempt(Exception):
    """The token is good, but its pod runs no attempt of a trial."""
