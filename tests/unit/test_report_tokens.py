"""Whose token it is: what a review's answer means, and for how long."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from scaling_operator.cluster import tokens
from scaling_operator.cluster.errors import ClusterBusy
from scaling_operator.cluster.kinds import TOKEN_REVIEWS, Kind
from scaling_operator.cluster.tokens import PodIdentity, Tokens, identity_of
from scaling_operator.ingest.endpoint import NotNow

AUDIENCE = "scaling-operator.dev/reports"
POD = PodIdentity("team", "case-study-0-1-0", "5d2b1a3e")
STATUS: dict[str, Any] = {
    "authenticated": True,
    "audiences": [AUDIENCE],
    "user": {
        "username": "system:serviceaccount:team:default",
        "uid": "0c1f",
        "groups": ["system:serviceaccounts"],
        "extra": {
            "authentication.kubernetes.io/pod-name": ["case-study-0-1-0"],
            "authentication.kubernetes.io/pod-uid": ["5d2b1a3e"],
            "authentication.kubernetes.io/node-name": ["node-1"],
        },
    },
}


def with_user(**changes: Any) -> dict[str, Any]:
    return STATUS | {"user": STATUS["user"] | changes}


@pytest.mark.parametrize(
    ("status", "identity"),
    [
        pytest.param(STATUS, POD, id="a pod's bound token for us"),
        pytest.param({}, None, id="no answer"),
        pytest.param({"authenticated": False, "error": "expired"}, None, id="refused"),
        pytest.param(STATUS | {"authenticated": "true"}, None, id="a yes that is none"),
        pytest.param(STATUS | {"audiences": ["https://kubernetes.default"]}, None, id="for others"),
        pytest.param(STATUS | {"audiences": None}, None, id="by somebody without audiences"),
        pytest.param(with_user(extra={}), None, id="bound to no pod"),
        pytest.param(with_user(extra=None), None, id="nothing known"),
        pytest.param(with_user(username="system:node:team"), None, id="a node"),
        pytest.param(with_user(username="alice"), None, id="a person"),
        pytest.param(with_user(username=None), None, id="nobody"),
    ],
)
def test_who_it_is(status: dict[str, Any], identity: PodIdentity | None) -> None:
    assert identity_of(status, AUDIENCE) == identity


@dataclass(slots=True)
class Reviews:
    """The API server's reviews, counted."""

    status: dict[str, Any] = field(default_factory=lambda: STATUS)
    error: Exception | None = None
    asked: list[str] = field(default_factory=list[str])

    async def create(self, kind: Kind, namespace: str | None, body: dict[str, Any]) -> Any:
        assert (kind, namespace) == (TOKEN_REVIEWS, None)
        assert body["apiVersion"] == "authentication.k8s.io/v1"
        assert body["spec"]["audiences"] == [AUDIENCE]
        if self.error is not None:
            raise self.error
        self.asked.append(body["spec"]["token"])
        return body | {"status": self.status}


@dataclass(slots=True)
class Clock:
    seconds: float = 0.0

    def __call__(self) -> float:
        return self.seconds


def ask(reviewed: Tokens, token: str = "token", address: str = "10.0.0.9") -> PodIdentity | None:
    return asyncio.run(reviewed.authenticate(token, address))


def test_a_good_token_is_asked_for_once_a_minute() -> None:
    reviews, clock = Reviews(), Clock()
    reviewed = Tokens(reviews, AUDIENCE, clock)
    for clock.seconds in (0, 1, 59.9):
        assert ask(reviewed) == POD
    assert len(reviews.asked) == 1
    clock.seconds = 60
    assert ask(reviewed) == POD
    assert len(reviews.asked) == 2


def test_a_token_whose_pod_is_gone_is_refused_after_a_minute_at_the_latest() -> None:
    reviews, clock = Reviews(), Clock()
    reviewed = Tokens(reviews, AUDIENCE, clock)
    assert ask(reviewed) == POD
    reviews.status = {"authenticated": False}
    clock.seconds = 60
    assert ask(reviewed) is None


def test_a_bad_token_is_not_remembered() -> None:
    reviews = Reviews(status={"authenticated": False})
    reviewed = Tokens(reviews, AUDIENCE, Clock())
    assert ask(reviewed) is None
    reviews.status = STATUS
    assert ask(reviewed) == POD


def test_bad_tokens_of_one_address_are_bounded_and_good_ones_go_on() -> None:
    reviews, clock = Reviews(), Clock()
    reviewed = Tokens(reviews, AUDIENCE, clock)
    assert ask(reviewed, "good") == POD
    reviews.status = {"authenticated": False}
    for number in range(tokens.REFUSALS_AT_ONCE):
        assert ask(reviewed, f"bad-{number}") is None
    with pytest.raises(NotNow) as later:
        ask(reviewed, "bad")
    assert later.value.retry_after_seconds == 1
    assert ask(reviewed, "good") == POD
    assert ask(reviewed, "bad", address="10.0.0.10") is None
    clock.seconds = 1
    assert ask(reviewed, "bad") is None


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MAX_CACHED", 2)
    reviews = Reviews()
    reviewed = Tokens(reviews, AUDIENCE, Clock())
    for token in ("one", "two", "three", "two", "three", "one"):
        assert ask(reviewed, token) == POD
    assert reviews.asked == ["one", "two", "three", "one"]


def test_an_api_server_that_does_not_answer_counts_against_nobody() -> None:
    reviews = Reviews(error=ClusterBusy("no answer"))
    reviewed = Tokens(reviews, AUDIENCE, Clock())
    for _ in range(50):
        with pytest.raises(ClusterBusy):
            ask(reviewed)
    reviews.error = None
    assert ask(reviewed) == POD
