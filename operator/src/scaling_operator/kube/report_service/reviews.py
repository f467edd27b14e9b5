"""What the API server says of a token: whose it is (TokenReview), what that one may do.

A pod's token is bound to the pod: the API server refuses it as soon as the pod is gone, which no
check of the signature alone would notice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

from scaling_operator.kube.client.kinds import SUBJECT_ACCESS_REVIEWS, TOKEN_REVIEWS, Kind
from scaling_operator.kube.report_service.tokens import PodIdentity

METRICS_PATH = "/metrics"

_POD_NAME = "authentication.kubernetes.io/pod-name"
_POD_UID = "authentication.kubernetes.io/pod-uid"


class Objects(Protocol):
    """What is needed of a `Client`."""

    async def create(self, kind: Kind, namespace: str | None, body: dict[str, Any]) -> Any: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class PodReview:
    """Tells the pod of a token for an audience; None where it is no pod's, or not for us."""

    objects: Objects
    audience: str

    async def __call__(self, token: str) -> PodIdentity | None:
        """Ask. Raises ClusterErrors."""
        asked = {"token": token, "audiences": [self.audience]}
        status = await _status_of(self.objects, TOKEN_REVIEWS, **asked)
        return identity_of(status, self.audience)


@dataclass(frozen=True, slots=True)
class Reader:
    """Somebody whom the API server knows, and whether the metrics are for them."""

    name: str
    may_read: bool


@dataclass(frozen=True, slots=True)
class ReaderReview:
    """Tells who wants to read the metrics; None where the API server does not know them."""

    objects: Objects

    async def __call__(self, token: str) -> Reader | None:
        """Ask. Raises ClusterErrors."""
        status = await _status_of(self.objects, TOKEN_REVIEWS, token=token)
        if status.get("authenticated") is not True:
            return None
        user = cast("Mapping[str, Any]", status.get("user") or {})
        about = {name: user[name] for name in ("uid", "groups", "extra") if user.get(name)}
        name = str(user.get("username") or "")
        attributes = {"path": METRICS_PATH, "verb": "get"}
        answer = await _status_of(
            *(self.objects, SUBJECT_ACCESS_REVIEWS),
            **{"user": name, "nonResourceAttributes": attributes, **about},
        )
        return Reader(name, answer.get("allowed") is True)


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


async def _status_of(objects: Objects, kind: Kind, **spec: Any) -> Mapping[str, Any]:
    body = {"apiVersion": kind.api_version, "kind": kind.name, "spec": spec}
    review = await objects.create(kind, None, body)
    return review.get("status") or {}
