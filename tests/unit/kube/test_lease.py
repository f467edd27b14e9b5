"""One replica leads: the Lease is taken, kept, lost by time, taken over and given back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from fake_cluster import BUSY, FORBIDDEN, FakeCluster, Fault, Object

from scaling_operator.kube.client import lease
from scaling_operator.kube.client.kinds import LEASES
from scaling_operator.kube.client.lease import Lease
from scaling_operator.kube.settings import LeaseSettings

SYSTEM, NAME = "scaling-system", "scaling-operator"
# A step every few milliseconds of real time; the seconds of the Lease are the clock's.
SETTINGS = LeaseSettings(NAME, duration_seconds=15.0, renew_seconds=0.002)


@dataclass(slots=True)
class Ticking:
    """Stands for the module `time` within `lease`: monotonic seconds, moved by hand."""

    seconds: float = 1000.0

    def monotonic(self) -> float:
        return self.seconds


@dataclass(slots=True)
class Replica:
    """A replica that runs for the length of a block."""

    lease: Lease
    heard: list[bool] = field(default_factory=list[bool])


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> Ticking:
    clock = Ticking()
    monkeypatch.setattr(lease, "time", clock)
    monkeypatch.setattr(lease, "STANDBY_POLL_SECONDS", 0.002)
    return clock


@asynccontextmanager
async def replica(fake: FakeCluster, identity: str) -> AsyncGenerator[Replica]:
    heard: list[bool] = []
    election = Lease(fake.client(), SYSTEM, identity, SETTINGS, heard.append)
    running = asyncio.create_task(election.run())
    try:
        yield Replica(election, heard)
    finally:
        election.stop()
        await running


async def steps(fake: FakeCluster, count: int = 3) -> None:
    """Wait until the API server has been asked for the Lease some more times."""
    asked = sum(request.startswith("get leases") for request in fake.requests) + count
    while sum(request.startswith("get leases") for request in fake.requests) < asked:
        await asyncio.sleep(0.001)


async def leading(candidate: Replica) -> None:
    while not candidate.lease.leads():
        await asyncio.sleep(0.001)


def stored(fake: FakeCluster) -> Object:
    spec: Object = fake.one(LEASES, SYSTEM, NAME)["spec"]
    return spec


@pytest.mark.usefixtures("ticking")
async def test_the_first_takes_it_and_gives_it_back(fake: FakeCluster) -> None:
    async with replica(fake, "a") as replica_a:
        await leading(replica_a)
        assert stored(fake)["holderIdentity"] == "a"
        assert stored(fake)["leaseDurationSeconds"] == 15
        assert replica_a.lease.in_touch()
    assert stored(fake)["holderIdentity"] == ""
    assert not replica_a.lease.leads()
    assert replica_a.heard == [True, False]


@pytest.mark.usefixtures("ticking")
async def test_one_of_two_leads_and_the_other_goes_on_at_once_where_it_ends(
    fake: FakeCluster,
) -> None:
    async with replica(fake, "b") as second:
        async with replica(fake, "a") as first:
            while not (first.lease.leads() or second.lease.leads()):
                await asyncio.sleep(0.001)
            await steps(fake, 10)
            assert first.lease.leads() is not second.lease.leads()
            assert second.lease.in_touch()
        await leading(second)
    assert stored(fake)["leaseTransitions"] <= 2


async def test_it_is_renewed_for_as_long_as_the_holder_runs(
    fake: FakeCluster, ticking: Ticking
) -> None:
    async with replica(fake, "a") as replica_a, replica(fake, "b") as replica_b:
        while not (replica_a.lease.leads() or replica_b.lease.leads()):
            await asyncio.sleep(0.001)
        await steps(fake)
        holder = stored(fake)["holderIdentity"]
        for _ in range(20):
            ticking.seconds += 3.0
            await steps(fake, 4)
        assert stored(fake)["holderIdentity"] == holder
        assert stored(fake)["leaseTransitions"] == 0


async def test_a_holder_that_cannot_renew_it_stops_before_another_may_begin(
    fake: FakeCluster, ticking: Ticking
) -> None:
    async with replica(fake, "a") as replica_a:
        await leading(replica_a)
        fake.faults.append(Fault("update", LEASES, answer=BUSY, times=10**6))
        await steps(fake)
        ticking.seconds += 9.9
        assert replica_a.lease.leads()
        ticking.seconds += 0.2
        assert not replica_a.lease.leads()
        while replica_a.heard != [True, False]:
            await asyncio.sleep(0.001)
        fake.faults.clear()
        await leading(replica_a)
        assert replica_a.heard == [True, False, True]
        assert stored(fake)["leaseTransitions"] == 0


async def test_a_lease_that_nobody_renews_is_taken_over_after_its_duration(
    fake: FakeCluster, ticking: Ticking
) -> None:
    spec = {"holderIdentity": "gone", "leaseDurationSeconds": 15, "leaseTransitions": 4}
    fake.add(LEASES, SYSTEM, {"metadata": {"name": NAME}, "spec": spec})
    async with replica(fake, "a") as replica_a:
        await steps(fake)
        ticking.seconds += 14.9
        await steps(fake)
        assert not replica_a.lease.leads()
        ticking.seconds += 0.2
        await leading(replica_a)
        assert stored(fake)["leaseTransitions"] == 5


async def test_a_renewal_by_the_other_begins_the_wait_anew_whatever_its_clock_says(
    fake: FakeCluster, ticking: Ticking
) -> None:
    spec = {
        "holderIdentity": "other",
        "leaseDurationSeconds": 15,
        "renewTime": "1999-01-01T00:00:00.000000Z",
    }
    fake.add(LEASES, SYSTEM, {"metadata": {"name": NAME}, "spec": spec})
    async with replica(fake, "a") as replica_a:
        for day in range(1, 6):
            await steps(fake)
            ticking.seconds += 14.0
            renewed = f"1999-01-0{day}T00:00:01.000000Z"
            fake.edit(
                LEASES,
                SYSTEM,
                NAME,
                lambda document, at=renewed: document["spec"].update(renewTime=at),
            )
        await steps(fake)
        assert not replica_a.lease.leads()


@pytest.mark.usefixtures("ticking")
async def test_a_lease_that_was_given_back_is_free_at_once(fake: FakeCluster) -> None:
    spec = {"holderIdentity": "", "leaseDurationSeconds": 15}
    fake.add(LEASES, SYSTEM, {"metadata": {"name": NAME}, "spec": spec})
    async with replica(fake, "a") as replica_a:
        await leading(replica_a)


@pytest.mark.usefixtures("ticking")
@pytest.mark.parametrize("verb", ["create", "update"])
async def test_whoever_comes_second_does_not_lead(fake: FakeCluster, verb: str) -> None:
    if verb == "update":
        spec = {"holderIdentity": "", "leaseDurationSeconds": 15}
        fake.add(LEASES, SYSTEM, {"metadata": {"name": NAME}, "spec": spec})

    async def overtake() -> None:
        spec = {"holderIdentity": "faster", "leaseDurationSeconds": 15}
        if verb == "create":
            fake.add(LEASES, SYSTEM, {"metadata": {"name": NAME}, "spec": spec})
        else:
            fake.edit(LEASES, SYSTEM, NAME, lambda document: document["spec"].update(spec))

    fake.faults.append(Fault(verb, LEASES, before=overtake))
    async with replica(fake, "a") as replica_a:
        await steps(fake, 5)
        assert not replica_a.lease.leads()
    assert stored(fake)["holderIdentity"] == "faster"
    assert replica_a.heard == []


@pytest.mark.usefixtures("ticking")
async def test_the_reply_to_a_renewal_is_lost_and_it_leads_with_the_next(fake: FakeCluster) -> None:
    fake.faults.append(Fault("create", LEASES, is_lost=True))
    async with replica(fake, "a") as replica_a:
        await leading(replica_a)
        assert stored(fake)["holderIdentity"] == "a"
        assert stored(fake)["leaseTransitions"] == 0


async def test_a_replica_that_is_told_nothing_is_out_of_touch(
    fake: FakeCluster, ticking: Ticking
) -> None:
    fake.faults.append(Fault("get", LEASES, answer=FORBIDDEN, times=10**6))
    async with replica(fake, "a") as replica_a:
        await steps(fake)
        assert not replica_a.lease.in_touch()
        fake.faults.clear()
        await leading(replica_a)
        assert replica_a.lease.in_touch()
        fake.faults.append(Fault("get", LEASES, answer=BUSY, times=10**6))
        await steps(fake)
        ticking.seconds += 15.1
        assert not replica_a.lease.in_touch()
        fake.faults.clear()


@pytest.mark.usefixtures("ticking")
async def test_a_lease_that_cannot_be_given_back_is_left_to_run_out(fake: FakeCluster) -> None:
    async with replica(fake, "a") as replica_a:
        await leading(replica_a)
        fake.faults.append(Fault("update", LEASES, answer=BUSY, times=10**6))
    assert stored(fake)["holderIdentity"] == "a"
    assert not replica_a.lease.leads()
