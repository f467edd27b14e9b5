"""What the API server's answers mean for us, in one place.

ClusterError
├── NotFound          404: an observation, not a fault
├── AlreadyExists     409 on create: look at what is there and adopt it
├── Conflict          409 on write: somebody else was faster; read again
├── Invalid           400, 422: the object can never be accepted
│   └── InvalidName       no object can have this name; nothing was asked
├── OutdatedDefinition 500: the cluster's definition lacks a field; it may get it
├── NoCluster         the kubeconfig does not say which cluster, or how to get in
├── ClusterForbidden  401, 403: we, or the namespace's rules, do not allow it
│   ├── QuotaExceeded     it may fit later
│   └── PodRefused        the namespace's pod security will never allow it
└── ClusterBusy       429, 5xx, no answer: again after `retry_after_seconds`
"""

from __future__ import annotations

from typing import Any

DEFAULT_RETRY_SECONDS = 1.0
OUTDATED = "the definitions in the cluster are older than this operator: apply those of its release"
# Server-side apply's words; the code is that of a server that is in trouble, which passes.
_UNDECLARED = "field not declared in schema"


class ClusterError(Exception):
    """A request to the API server did not succeed; the message is what it said."""


class NotFound(ClusterError):
    """There is no such object."""


class AlreadyExists(ClusterError):
    """An object of this name exists."""


class Conflict(ClusterError):
    """The object has changed since it was read, or its uid is another one."""


class Invalid(ClusterError):
    """The object is refused for what it says."""


class InvalidName(Invalid):
    """No object, or no namespace, can have this name: nothing was asked."""


class OutdatedDefinition(ClusterError):
    """The definition in the cluster is older than what was written; it has to be updated."""


class NoCluster(ClusterError):
    """There is no such context, or no kubeconfig."""


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
    """Translate an answer: HTTP code, the body's Status object, the Retry-After header."""
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
    # The API server gives all three the same code and reason; only the sentence differs.
    if "exceeded quota" in message:
        return QuotaExceeded(message)
    if "violates PodSecurity" in message:
        return PodRefused(message)
    return ClusterForbidden(message)


def _seconds(retry_after: str | None) -> float:
    if retry_after is None or not retry_after.isdecimal():
        return DEFAULT_RETRY_SECONDS
    return float(retry_after)
