"""Whose token it is: the API server says, by TokenReview, and what it says holds for a minute.

A pod's token is bound to the pod: the API server refuses it as soon as the pod is gone, which no
check of the signature alone would notice.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from scaling_operator.cluster.kinds import TOKEN_REVIEWS, Kind
from scaling_operator.ingest.endpoint import NotNow
from scaling_operator.server.throttle import Throttle

CACHE_SECONDS = 60.0
MAX_CACHED = 10_000
# Each token that is no good costs the API server a review.
REFUSALS_PER_SECOND = 1.0
REFUSALS_AT_ONCE = 10

_POD_NAME = "authentication.kubernetes.io/pod-name"
_POD_UID = "authentication.kubernetes.io/pod-uid"


class Objects(Protocol):
    """What is needed of a `Client`."""

    async def create(self, kind: Kind, namespace: str | None, body: dict[str, Any]) -> Any: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class PodIdentity:
    """The pod that a token is bound to."""

    namespace: str
    pod_name: str
    pod_uid: str


@dataclass(slots=True)
class Tokens:
    """Reviews tokens for an audience; remembers the good ones, as hashes, for a minute."""

    objects: Objects
    audience: str
    clock: Callable[[], float] = time.monotonic
    _known: OrderedDict[bytes, tuple[PodIdentity, float]] = field(
        default_factory=OrderedDict[bytes, tuple[PodIdentity, float]]
    )
    _refusals: Throttle[str] = field(init=False)

    def __post_init__(self) -> None:
        self._refusals = Throttle(REFUSALS_PER_SECOND, REFUSALS_AT_ONCE, self.clock)

    async def authenticate(self, token: str, address: str) -> PodIdentity | None:
        """Tell the pod of a token; None where it is no pod's, or not for us.

        Raises NotNow for an address that sent too many bad ones, and ClusterErrors.
        """
        digest = hashlib.sha256(token.encode(errors="replace")).digest()
        known = self._known.get(digest)
        if known is not None and self.clock() < known[1]:
            return known[0]
        wait_seconds = self._refusals.wait(address)
        if wait_seconds > 0:
            message = "too many bad tokens from this address"
            raise NotNow(message, wait_seconds)
        identity = await self._review(token)
        if identity is None:
            self._known.pop(digest, None)
            self._refusals.take(address)
        else:
            self._remember(digest, identity)
        return identity

    async def _review(self, token: str) -> PodIdentity | None:
        body = {
            "apiVersion": TOKEN_REVIEWS.api_version,
            "kind": TOKEN_REVIEWS.name,
            "spec": {"token": token, "audiences": [self.audience]},
        }
        review = await self.objects.create(TOKEN_REVIEWS, None, body)
        return identity_of(review.get("status") or {}, self.audience)

    def _remember(self, digest: bytes, identity: PodIdentity) -> None:
        self._known[digest] = (identity, self.clock() + CACHE_SECONDS)
        self._known.move_to_end(digest)
        while len(self._known) > MAX_CACHED:
            self._known.popitem(last=False)


def identity_of(status: Mapping[str, Any], audience: str) -> PodIdentity | None:
    """Read the pod from a review's status; None where it names none, or another audience."""
    # An authenticator that knows no audiences names none: its yes is not for us.
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
