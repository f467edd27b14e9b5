"""One operator process over the API server in memory: it leads, works, and ends in order."""

from __future__ import annotations

import asyncio
import time

import pytest
from fake_cluster import BUSY, INVALID, FakeCluster, Fault
from fake_kubelet import succeed_always
from operating import TEAM, operating, phase, until
from testbed.documents import played

from scaling_operator.api.names import ConditionType, Phase
from scaling_operator.kube.client.index import Key
from scaling_operator.kube.client.kinds import EXPERIMENTS, LEASES, PODS, TRIALS
from scaling_operator.kube.client.queue import WorkQueue
from scaling_operator.kube.reconcile.controller import Controller
from scaling_operator.kube.reconcile.loader import status_of
from scaling_operator.metrics.operator_metrics import OperatorMetrics

pytestmark = pytest.mark.slow


@pytest.fixture
def server() -> FakeCluster:
    """An API server in memory whose clock is the machine's."""
    return FakeCluster()


async def test_it_takes_the_lease_works_and_gives_the_lease_back(server: FakeCluster) -> None:
    succeed_always(server, lambda _: {"loss": 0.5})
    server.add(EXPERIMENTS, TEAM, played("study"))
    async with operating(server) as operator:
        await until(lambda: phase(server) is Phase.SUCCEEDED)
        await until(lambda: not server.all(PODS))
        assert operator.health.unhealthy() is None
        assert operator.health.unready() is None
    assert server.one(LEASES, "scaling-system", "scaling-operator")["spec"]["holderIdentity"] == ""
    assert not operator.controller.loaded


async def test_what_comes_later_is_worked_on_too(server: FakeCluster) -> None:
    succeed_always(server, lambda _: {"loss": 0.5})
    async with operating(server):
        for name in ("one", "two"):
            server.add(EXPERIMENTS, TEAM, played(name))
        await until(
            lambda: all(phase(server, study) is Phase.SUCCEEDED for study in ("one", "two"))
        )


async def test_a_standby_does_nothing_until_the_leader_ends(server: FakeCluster) -> None:
    async with operating(server, "a") as first:
        await until(first.lease.leads)
        async with operating(server, "b") as second:
            server.add(EXPERIMENTS, TEAM, played("study"))
            await until(lambda: server.all(PODS))
            assert not second.controller.loaded
            first.stop()
            await until(second.lease.leads)
            succeed_always(server, lambda _: {"loss": 0.5})
            server.edit(
                EXPERIMENTS, TEAM, "study", lambda study: study["spec"]["trials"].update(max=2)
            )
            await until(lambda: Key(TEAM, "study") in second.controller.loaded)
            assert [pod["metadata"]["name"] for pod in server.all(PODS)] == ["study-0-0-0"]


@pytest.mark.parametrize(
    ("answer", "word", "least_seconds"),
    [
        pytest.param(BUSY, "busy", 1.0, id="busy: when the server says, or a second"),
        pytest.param((403, "is forbidden: no"), "forbidden", 30.0, id="forbidden: half a minute"),
        pytest.param((404, "not found"), "error", 0.0, id="anything else of the server: soon"),
    ],
)
async def test_a_refusal_is_followed_by_a_pause(
    server: FakeCluster,
    monkeypatch: pytest.MonkeyPatch,
    answer: tuple[int, str],
    word: str,
    least_seconds: float,
) -> None:
    pauses: list[float] = []
    words: list[str] = []
    failed, reconciled = WorkQueue[Key].failed, OperatorMetrics.reconciled

    def noted(self: WorkQueue[Key], key: Key, at_least_seconds: float = 0.0) -> float:
        pauses.append(failed(self, key, at_least_seconds))
        return pauses[-1]

    def noted_result(self: OperatorMetrics, result: str, seconds: float) -> None:
        words.append(result)
        reconciled(self, result, seconds)

    monkeypatch.setattr(WorkQueue, "failed", noted)
    monkeypatch.setattr(OperatorMetrics, "reconciled", noted_result)
    server.add(EXPERIMENTS, TEAM, played("study"))
    server.faults.append(Fault("create", PODS, answer=answer, times=10**6))
    async with operating(server):
        await until(lambda: word in words)
    assert pauses[0] >= least_seconds


async def test_a_bug_about_one_experiment_leaves_the_others_alone(
    server: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    succeed_always(server, lambda _: {"loss": 0.5})
    reconcile = Controller.reconcile

    async def broken(self: Controller, key: Key) -> float | None:
        if key.name == "odd":
            message = "what nobody thought of"
            raise ZeroDivisionError(message)
        return await reconcile(self, key)

    monkeypatch.setattr(Controller, "reconcile", broken)
    for name in ("odd", "study"):
        server.add(EXPERIMENTS, TEAM, played(name))
    async with operating(server):
        await until(lambda: phase(server) is Phase.SUCCEEDED)
    assert phase(server, "odd") is not Phase.SUCCEEDED


OLDER = (500, "failed to create typed patch object: .status.gpuHours: field not declared in schema")


async def test_a_status_that_older_definitions_refuse_is_told_and_written_once_they_are_updated(
    server: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No trial ends for it, and nothing is tried without a pause."""
    monkeypatch.setattr("scaling_operator.kube.operate.FORBIDDEN_PAUSE_SECONDS", 0.3)
    succeed_always(server, lambda _: {"loss": 0.5})
    server.add(EXPERIMENTS, TEAM, played("study"))
    older = Fault("patch", TRIALS, answer=OLDER, times=10**6)
    server.faults.append(older)

    def refused() -> int:
        return 10**6 - older.times

    def faults() -> list[str]:
        conditions = status_of(server.one(EXPERIMENTS, TEAM, "study")).conditions
        return [
            condition.message
            for condition in conditions
            if condition.type == ConditionType.INTERNAL_ERROR
        ]

    async with operating(server):
        await until(faults)
        assert "are older than this operator" in faults()[0]
        before, began = refused(), time.monotonic()
        await asyncio.sleep(1.5)
        # A pause between two tries is 0.3 s at least; a change may wake it in between, once.
        assert 0 < refused() - before <= (time.monotonic() - began) / 0.3 + 2
        (trial,) = server.all(TRIALS, TEAM)
        assert trial.get("status", {}).get("state", "Running") == "Running"

        server.faults.remove(older)
        await until(lambda: phase(server) is Phase.SUCCEEDED)

    assert not faults()


async def test_a_status_of_an_experiment_that_is_refused_is_tried_with_pauses(
    server: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scaling_operator.kube.operate.FORBIDDEN_PAUSE_SECONDS", 0.3)
    succeed_always(server, lambda _: {"loss": 0.5})
    server.add(EXPERIMENTS, TEAM, played("study"))
    refusing = Fault("patch", EXPERIMENTS, answer=INVALID, times=8)
    server.faults.append(refusing)
    began = time.monotonic()

    async with operating(server):
        await until(lambda: phase(server) is Phase.SUCCEEDED)

    # Each turn writes twice, the status and that it was refused: four turns, three pauses.
    assert time.monotonic() - began > 3 * 0.3
