"""Bearer tokens: the API server reviews each, and its answer holds for a minute.

Every bad token costs the API server a review, so an address may send few of them. Other senders of
the same address are not affected: a token that was good before, or claims a known pod, does not
count for the address. A pod's token is bound to the pod: the API server refuses it as soon as the
pod is gone, which a check of the signature alone would not notice.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar, cast

from scaling_operator.kube.client.kinds import SUBJECT_ACCESS_REVIEWS, TOKEN_REVIEWS, Kind
from scaling_operator.report_endpoint.endpoint import NotNow
from scaling_operator.server.throttle import Throttle

CACHE_SECONDS = 60.0
MAX_CACHED = 10_000
REFUSALS_PER_SECOND = 1.0
REFUSALS_AT_ONCE = 10

# RFC 6750's characters of a bearer token.
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")

Identity = TypeVar("Identity")


@dataclass(frozen=True, slots=True)
class PodIdentity:
    """The pod that a token is bound to."""

    namespace: str
    pod_name: str
    pod_uid: str


def _none_is_known(pod: PodIdentity) -> bool:
    del pod
    return False


@dataclass(slots=True)
class Tokens(Generic[Identity]):
    """Asks `review` about tokens, and caches the good ones, as hashes, for a minute.

    `is_known` says whether a pod exists: the bad tokens of such a pod count for the pod alone.
    """

    review: Callable[[str], Awaitable[Identity | None]]
    is_known: Callable[[PodIdentity], bool] = _none_is_known
    clock: Callable[[], float] = time.monotonic
    _cache: OrderedDict[bytes, tuple[Identity, float]] = field(
        default_factory=OrderedDict[bytes, "tuple[Identity, float]"]
    )
    _refusals: Throttle[PodIdentity | str] = field(init=False)

    def __post_init__(self) -> None:
        self._refusals = Throttle(REFUSALS_PER_SECOND, REFUSALS_AT_ONCE, self.clock)

    async def authenticate(self, token: str, address: str) -> Identity | None:
        """Give the identity of a token; None where the token is bad, or for another audience.

        Raises NotNow for an address, or a pod, that sent too many bad tokens, and ClusterErrors.
        """
        if not _TOKEN.fullmatch(token):
            return None
        digest = hashlib.sha256(token.encode()).digest()
        cached = self._cache.get(digest)
        if cached is not None:
            if self.clock() < cached[1]:
                return cached[0]
            return await self._reviewed(token, digest)
        return await self._charged_to(self._charged(token, address), token, digest)

    def _charged(self, token: str, address: str) -> PodIdentity | str:
        pod = claimed_pod(token)
        return pod if pod is not None and self.is_known(pod) else address

    async def _charged_to(
        self, sender: PodIdentity | str, token: str, digest: bytes
    ) -> Identity | None:
        """Review a token; a bad one counts against the sender's rate."""
        wait_seconds = self._refusals.take(sender)
        if wait_seconds > 0:
            message = "too many bad tokens from this address"
            raise NotNow(message, wait_seconds)
        identity = None
        is_bad = False
        try:
            identity = await self._reviewed(token, digest)
            is_bad = identity is None
        finally:
            if not is_bad:
                self._refusals.give_back(sender)
        return identity

    async def _reviewed(self, token: str, digest: bytes) -> Identity | None:
        identity = await self.review(token)
        if identity is None:
            self._cache.pop(digest, None)
        else:
            self._cache[digest] = (identity, self.clock() + CACHE_SECONDS)
            self._cache.move_to_end(digest)
            while len(self._cache) > MAX_CACHED:
                self._cache.popitem(last=False)
        return identity


def claimed_pod(token: str) -> PodIdentity | None:
    """Read the pod that a service account's token claims to be bound to, unchecked."""
    try:
        _, claims, _ = token.split(".")
        padded = claims + "=" * (-len(claims) % 4)
        bound: Any = json.loads(base64.urlsafe_b64decode(padded))["kubernetes.io"]
        pod = PodIdentity(bound["namespace"], bound["pod"]["name"], bound["pod"]["uid"])
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    texts = (pod.namespace, pod.pod_name, pod.pod_uid)
    return pod if all(type(text) is str for text in texts) else None


METRICS_PATH = "/metrics"

_POD_NAME = "authentication.kubernetes.io/pod-name"
_POD_UID = "authentication.kubernetes.io/pod-uid"


class ReviewClient(Protocol):
    """The part of a `Client` that creates reviews."""

    async def create(self, kind: Kind, namespace: str | None, body: dict[str, Any]) -> Any: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class PodReview:
    """Gives the pod of a token; None for a token of no pod, or for another audience."""

    client: ReviewClient
    audience: str

    async def __call__(self, token: str) -> PodIdentity | None:
        """Review a token. Raises ClusterErrors."""
        spec = {"token": token, "audiences": [self.audience]}
        status = await _status_of(self.client, TOKEN_REVIEWS, **spec)
        return identity_of(status, self.audience)


@dataclass(frozen=True, slots=True)
class MetricsReader:
    """A user of the API server, and whether that user may read the metrics."""

    name: str
    may_read: bool


@dataclass(frozen=True, slots=True)
class MetricsReaderReview:
    """Gives the user of a token; None where the API server does not know the token."""

    client: ReviewClient

    async def __call__(self, token: str) -> MetricsReader | None:
        """Review a token. Raises ClusterErrors."""
        status = await _status_of(self.client, TOKEN_REVIEWS, token=token)
        if status.get("authenticated") is not True:
            return None
        user = cast("Mapping[str, Any]", status.get("user") or {})
        about = {name: user[name] for name in ("uid", "groups", "extra") if user.get(name)}
        name = str(user.get("username") or "")
        attributes = {"path": METRICS_PATH, "verb": "get"}
        answer = await _status_of(
            self.client,
            SUBJECT_ACCESS_REVIEWS,
            **{"user": name, "nonResourceAttributes": attributes, **about},
        )
        return MetricsReader(name, answer.get("allowed") is True)


def identity_of(status: Mapping[str, Any], audience: str) -> PodIdentity | None:
    """Read the pod from a review's status; None where it names none, or another audience."""
    # An authenticator without audiences names none: the token is then for the API server itself.
    if status.get("authenticated") is not True or audience not in (status.get("audiences") or ()):
        return None
    user = cast("Mapping[str, Any]", status.get("user") or {})
    extra = cast("Mapping[str, list[str]]", user.get("extra") or {})
    pod_name, pod_uid = extra.get(_POD_NAME), extra.get(_POD_UID)
    match str(user.get("username")).split(":"):
        case ["system", "serviceaccount", namespace, _] if pod_name and pod_uid:
            return PodIdentity(namespace, pod_name[0], pod_uid[0])
        case _:
            return None


async def _status_of(client: ReviewClient, kind: Kind, **spec: Any) -> Mapping[str, Any]:
    body = {"apiVersion": kind.api_version, "kind": kind.name, "spec": spec}
    review = await client.create(kind, None, body)
    return review.get("status") or {}
