"""Errors of the API server, translated from its answers in one place.

ClusterError
├── NotFound          404: an observation, no fault
├── AlreadyExists     409 on create: read the object that exists, and adopt it
├── Conflict          409 on write: another client has written; read again
├── Invalid           400, 422: the object can never be accepted
│   └── InvalidName       no object can have this name; no request was sent
├── OutdatedDefinition 500: the CRD in the cluster lacks a field; it may be updated
├── NoCluster         the kubeconfig names no cluster, or no credentials
├── ClusterForbidden  401, 403: access rules, or rules of the namespace, forbid it
│   ├── QuotaExceeded     the object may fit later
│   └── PodRefused        the namespace's pod security never allows it
└── ClusterBusy       429, 5xx, no answer: repeat after `retry_after_seconds`
"""

from __future__ import annotations

from typing import Any

DEFAULT_RETRY_SECONDS = 1.0
OUTDATED = "the definitions in the cluster are older than this operator: apply those of its release"
# Server-side apply says so with code 500, which otherwise means a fault that passes.
_UNDECLARED = "field not declared in schema"


class ClusterError(Exception):
    """A request to the API server failed; the message is the server's."""


class NotFound(ClusterError):
    """There is no such object."""


class AlreadyExists(ClusterError):
    """An object of this name exists."""


class Conflict(ClusterError):
    """The object has changed since it was read, or has another uid."""


class Invalid(ClusterError):
    """The API server refuses the content of the object."""


class InvalidName(Invalid):
    """No object, or no namespace, can have this name: no request was sent."""


class OutdatedDefinition(ClusterError):
    """The CRD in the cluster is older than the operator; somebody has to update it."""


class NoCluster(ClusterError):
    """The context, or the kubeconfig, does not exist."""


class ClusterForbidden(ClusterError):
    """Access rules do not allow the request."""


class QuotaExceeded(ClusterForbidden):
    """A ResourceQuota of the namespace is used up."""


class PodRefused(ClusterForbidden):
    """The namespace's pod security standard forbids this pod."""


class ClusterBusy(ClusterError):
    """The API server cannot answer now."""

    def __init__(self, message: str, retry_after_seconds: float = DEFAULT_RETRY_SECONDS) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


def error_of(code: int, status: dict[str, Any], retry_after: str | None = None) -> ClusterError:
    """Translate an answer: HTTP's code, the Status object in the body, the header Retry-After."""
    message = str(status.get("message") or f"HTTP {code}")
    match code:
        case 404:
            return NotFound(message)
        case 409:
            exists = status.get("reason") == "AlreadyExists"
            return AlreadyExists(message) if exists else Conflict(message)
        case 400 | 405 | 413 | 415 | 422:
            return Invalid(message)
        case 401 | 403:
            return _forbidden(message)
        case 500 if _UNDECLARED in message:
            return OutdatedDefinition(f"{message}; {OUTDATED}")
        case _:
            return ClusterBusy(message, _seconds(retry_after))


def _forbidden(message: str) -> ClusterError:
    # The API server gives all three the same code and reason; only the message differs.
    if "exceeded quota" in message:
        return QuotaExceeded(message)
    if "violates PodSecurity" in message:
        return PodRefused(message)
    return ClusterForbidden(message)


def _seconds(retry_after: str | None) -> float:
    if retry_after is None or not retry_after.isdecimal():
        return DEFAULT_RETRY_SECONDS
    return float(retry_after)
