"""Pods of ended trials go together, in requests that are neither many nor too long."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from fake_cluster import FORBIDDEN, FakeCluster, Fault

from scaling_operator.kube.client.client import Call
from scaling_operator.kube.client.index import Index, Key
from scaling_operator.kube.client.kinds import PODS
from scaling_operator.kube.reconcile.stale_workloads import NAMES_IN_A_REQUEST, Sweeper

LONGEST = "e" * 50
ADDRESS_BYTES = 8000


def swept(fake: FakeCluster) -> Sweeper:
    return Sweeper(fake.client(), Index())


async def test_nothing_that_waits_is_no_request(fake: FakeCluster) -> None:
    await swept(fake).once()
    assert not fake.requests


async def test_many_are_deleted_in_parts_each_namespace_by_itself(fake: FakeCluster) -> None:
    sweeper = swept(fake)
    for number in range(NAMES_IN_A_REQUEST + 1):
        sweeper.add(PODS, Key("a", "study"), f"study-0-{number}", str(number))
    sweeper.add(PODS, Key("b", "study"), "study-0-0", "9")
    await sweeper.once()
    assert sorted(fake.requests) == ["deletecollection pods a", "deletecollection pods b"]
    await sweeper.once()
    await sweeper.once()
    assert len(fake.requests) == 3


async def test_an_address_is_never_too_long_for_a_proxy(
    fake: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweeper, calls = swept(fake), list[Call]()
    send = fake.send

    async def noted(self: FakeCluster, call: Call) -> object:
        del self
        calls.append(call)
        return await send(call)

    monkeypatch.setattr(FakeCluster, "send", noted)
    for number in range(NAMES_IN_A_REQUEST):
        name = f"{LONGEST[:-2]}{number:02}"
        sweeper.add(PODS, Key("n" * 63, name), f"{name}-99-99999", str(number))
    await sweeper.once()
    (call,) = calls
    assert len(f"{call.path}?{urlencode(call.query or {})}") < ADDRESS_BYTES


async def test_what_could_not_be_deleted_waits_for_the_next_time(fake: FakeCluster) -> None:
    sweeper = swept(fake)
    sweeper.add(PODS, Key("a", "study"), "study-0-0", "1")
    fake.faults.append(Fault("deletecollection", PODS, answer=FORBIDDEN))
    for _ in range(3):
        await sweeper.once()
    assert fake.requests == ["deletecollection pods a"] * 2


async def test_whoever_does_not_lead_any_more_forgets_what_waits(fake: FakeCluster) -> None:
    sweeper = swept(fake)
    sweeper.add(PODS, Key("a", "study"), "study-0-0", "1")
    sweeper.clear()
    await sweeper.once()
    assert not fake.requests
