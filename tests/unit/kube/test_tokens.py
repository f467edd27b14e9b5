"""Whose token it is: what a review's answer means, and for how long."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling_operator.kube.client.errors import ClusterBusy
from scaling_operator.kube.client.kinds import TOKEN_REVIEWS, Kind
from scaling_operator.kube.report_service import tokens
from scaling_operator.kube.report_service.tokens import (
    PodIdentity,
    PodReview,
    Tokens,
    claimed_pod,
    identity_of,
)
from scaling_operator.report_endpoint.endpoint import NotNow

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


def ask(
    reviewed: Tokens[PodIdentity], token: str = "token", address: str = "10.0.0.9"
) -> PodIdentity | None:
    return asyncio.run(reviewed.authenticate(token, address))


def test_a_good_token_is_asked_for_once_a_minute() -> None:
    reviews, clock = Reviews(), Clock()
    reviewed = Tokens(PodReview(reviews, AUDIENCE), clock=clock)
    for clock.seconds in (0, 1, 59.9):
        assert ask(reviewed) == POD
    assert len(reviews.asked) == 1
    clock.seconds = 60
    assert ask(reviewed) == POD
    assert len(reviews.asked) == 2


def test_a_token_whose_pod_is_gone_is_refused_after_a_minute_at_the_latest() -> None:
    reviews, clock = Reviews(), Clock()
    reviewed = Tokens(PodReview(reviews, AUDIENCE), clock=clock)
    assert ask(reviewed) == POD
    reviews.status = {"authenticated": False}
    clock.seconds = 60
    assert ask(reviewed) is None


def test_a_bad_token_is_not_remembered() -> None:
    reviews = Reviews(status={"authenticated": False})
    reviewed = Tokens(PodReview(reviews, AUDIENCE), clock=Clock())
    assert ask(reviewed) is None
    reviews.status = STATUS
    assert ask(reviewed) == POD


def test_bad_tokens_of_one_address_are_bounded_and_good_ones_go_on() -> None:
    reviews, clock = Reviews(), Clock()
    reviewed = Tokens(PodReview(reviews, AUDIENCE), clock=clock)
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
    reviewed = Tokens(PodReview(reviews, AUDIENCE), clock=Clock())
    for token in ("one", "two", "three", "two", "three", "one"):
        assert ask(reviewed, token) == POD
    assert reviews.asked == ["one", "two", "three", "one"]


def test_an_api_server_that_does_not_answer_counts_against_nobody() -> None:
    reviews = Reviews(error=ClusterBusy("no answer"))
    reviewed = Tokens(PodReview(reviews, AUDIENCE), clock=Clock())
    for _ in range(50):
        with pytest.raises(ClusterBusy):
            ask(reviewed)
    reviews.error = None
    assert ask(reviewed) == POD


def token_of(pod: PodIdentity, signature: str = "c2ln") -> str:
    """A token as the API server signs them, for whoever reads it without checking."""
    bound = {"namespace": pod.namespace, "pod": {"name": pod.pod_name, "uid": pod.pod_uid}}
    claims = base64.urlsafe_b64encode(json.dumps({"kubernetes.io": bound}).encode()).decode()
    return f"eyJhbGciOiJSUzI1NiJ9.{claims.rstrip('=')}.{signature}"


def test_a_fresh_good_token_is_not_held_up_by_the_bad_ones_of_its_address() -> None:
    reviews = Reviews(status={"authenticated": False})
    reviewed = Tokens(PodReview(reviews, AUDIENCE), lambda pod: pod == POD, Clock())
    for number in range(tokens.REFUSALS_AT_ONCE):
        assert ask(reviewed, f"bad-{number}") is None
    reviews.status = STATUS
    assert ask(reviewed, token_of(POD)) == POD


def test_a_known_token_is_not_held_up_either_when_its_minute_is_over() -> None:
    reviews, clock = Reviews(), Clock()
    reviewed = Tokens(PodReview(reviews, AUDIENCE), clock=clock)
    assert ask(reviewed, "good") == POD
    clock.seconds = tokens.CACHE_SECONDS
    reviews.status = {"authenticated": False}
    for number in range(tokens.REFUSALS_AT_ONCE):
        assert ask(reviewed, f"bad-{number}") is None
    reviews.status = STATUS
    assert ask(reviewed, "good") == POD


def test_good_tokens_cost_their_address_nothing() -> None:
    reviewed = Tokens(PodReview(Reviews(), AUDIENCE), clock=Clock())
    for number in range(3 * tokens.REFUSALS_AT_ONCE):
        assert ask(reviewed, f"good-{number}") == POD


@pytest.mark.parametrize("is_known", [True, False], ids=["of a pod we know", "of no such pod"])
def test_who_invents_claims_asks_the_api_server_no_more_often(*, is_known: bool) -> None:
    reviews = Reviews(status={"authenticated": False})
    reviewed = Tokens(PodReview(reviews, AUDIENCE), lambda _: is_known, Clock())
    for number in range(50):
        uid = "5d2b1a3e" if is_known else f"uid-{number}"
        try:
            ask(reviewed, token_of(PodIdentity("team", "pod", uid), f"c2ln{number}"))
        except NotNow:
            continue
    assert len(reviews.asked) == tokens.REFUSALS_AT_ONCE


def test_bad_tokens_that_come_at_once_are_bounded_too() -> None:
    asked: list[str] = []

    async def review(token: str) -> PodIdentity | None:
        asked.append(token)
        await asyncio.sleep(0)
        return None

    async def story() -> None:
        reviewed = Tokens(review, clock=Clock())
        many = (reviewed.authenticate(f"bad-{number}", "10.0.0.9") for number in range(100))
        await asyncio.gather(*many, return_exceptions=True)

    asyncio.run(story())
    assert len(asked) == tokens.REFUSALS_AT_ONCE


@pytest.mark.parametrize("token", ["", "\ud800", "a b", "\u00e9", "x" * 9 + "\n", '"'])
def test_what_cannot_be_a_token_is_not_asked_about(token: str) -> None:
    reviews = Reviews()
    assert ask(Tokens(PodReview(reviews, AUDIENCE), clock=Clock()), token) is None
    assert reviews.asked == []


def test_the_claims_of_a_pod_s_token_are_read() -> None:
    assert claimed_pod(token_of(POD)) == POD


@given(st.text() | st.binary().map(lambda raw: f"a.{base64.urlsafe_b64encode(raw).decode()}.b"))
def test_no_text_whatever_breaks_the_reading_of_claims(text: str) -> None:
    assert claimed_pod(text) is None
