"""Requests of one namespace do not keep those of another from a connection, nor the Lease."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from fake_cluster import FakeCluster, Fault, Object
from testbed.documents import trial

from scaling_operator.kube.client.client import MAX_REQUESTS_PER_NAMESPACE, Client
from scaling_operator.kube.client.errors import ClusterForbidden
from scaling_operator.kube.client.kinds import LEASES, TRIALS

LEASE: Object = {"metadata": {"name": "scaling-operator"}, "spec": {}}
MANY = 100


class Held:
    """A server that answers no creation of a trial until it is told to."""

    def __init__(self, cluster: FakeCluster) -> None:
        self.cluster = cluster
        self.leads = True
        self.client: Client = cluster.client(may_write=lambda: self.leads)
        self.go_on = asyncio.Event()
        fault = Fault("create", TRIALS, before=self.go_on.wait, times=MANY)
        cluster.faults.append(fault)
        self.creating = [
            asyncio.create_task(self.client.create(TRIALS, "bad", trial(f"t-0-{number}")))
            for number in range(MANY)
        ]

    @property
    def under_way(self) -> int:
        return sum(
            request.startswith("create scalingtrials bad/") for request in self.cluster.requests
        )

    async def full(self) -> None:
        while self.under_way < MAX_REQUESTS_PER_NAMESPACE:
            await asyncio.sleep(0)
        for _ in range(10):
            await asyncio.sleep(0)


async def test_so_many_of_a_namespace_are_under_way_and_the_rest_waits() -> None:
    held = Held(FakeCluster())
    await held.full()
    assert held.under_way == MAX_REQUESTS_PER_NAMESPACE
    held.go_on.set()
    await asyncio.gather(*held.creating)
    assert held.under_way == MANY


async def test_others_do_not_wait_and_neither_does_the_lease() -> None:
    held = Held(FakeCluster())
    await held.full()
    await held.client.list(TRIALS, "good")
    await held.client.list(TRIALS, None)
    await held.client.create(LEASES, "bad", LEASE)
    held.go_on.set()
    await asyncio.gather(*held.creating)


async def test_who_waited_and_leads_no_more_writes_nothing() -> None:
    held = Held(FakeCluster())
    await held.full()
    held.leads = False
    held.go_on.set()
    for number, creating in enumerate(held.creating):
        if number < MAX_REQUESTS_PER_NAMESPACE:
            await creating
        else:
            with pytest.raises(ClusterForbidden, match="does not lead any more"):
                await creating
    assert held.under_way == MAX_REQUESTS_PER_NAMESPACE


async def test_who_is_cancelled_while_it_waits_keeps_nobody_from_a_turn() -> None:
    held = Held(FakeCluster())
    await held.full()
    held.creating[-1].cancel()
    with suppress(asyncio.CancelledError):
        await held.creating[-1]
    held.go_on.set()
    await asyncio.gather(*held.creating[:-1])
    assert held.under_way == MANY - 1
