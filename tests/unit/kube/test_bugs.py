"""A fault of the operator's own in work on one experiment: told on it, and others go on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from fake_cluster import BUSY, FakeCluster, Fault
from fake_kubelet import succeed_always
from operating import TEAM, operating, phase, until
from testbed.documents import played

from scaling_operator.api.names import ConditionType, Phase
from scaling_operator.core.actions import Plan
from scaling_operator.core.observed import Observed
from scaling_operator.core.plan import plan
from scaling_operator.kube.client.index import Key
from scaling_operator.kube.client.kinds import EVENTS, EXPERIMENTS
from scaling_operator.kube.operate import Operator
from scaling_operator.kube.reconcile.controller import Controller
from scaling_operator.kube.reconcile.loader import status_of

pytestmark = pytest.mark.slow

ODD = Key(TEAM, "odd")
ODD_SEED = 666
MESSAGE = "what nobody thought of"


def fault_of(server: FakeCluster) -> str:
    """Give what `InternalError` says on the odd experiment; empty where it does not stand."""
    conditions = status_of(server.one(EXPERIMENTS, TEAM, ODD.name)).conditions
    said = [condition for condition in conditions if condition.type == ConditionType.INTERNAL_ERROR]
    return next((condition.message for condition in said if condition.status == "True"), "")


def faults_noted(server: FakeCluster) -> list[str]:
    noted = [event for event in server.all(EVENTS, TEAM) if event["reason"] == "InternalError"]
    return [event["regarding"]["name"] for event in noted]


def bugs_counted(operator: Operator) -> float:
    name, labels = "scaling_operator_reconcile_seconds_count", {"result": "bug"}
    return operator.recorder.operator_metrics.registry.get_sample_value(name, labels) or 0.0


@dataclass(slots=True)
class Bug:
    """A plan that fails for one experiment, so many times; and what stood on it each time."""

    server: FakeCluster
    times: float = float("inf")
    stood: list[bool] = field(default_factory=list[bool])

    def plan(self, observed: Observed) -> Plan:
        """Plan, or fail."""
        if observed.spec.search.algorithm.seed == ODD_SEED and self.times > 0:
            self.times -= 1
            self.stood.append(bool(fault_of(self.server)))
            raise ZeroDivisionError(MESSAGE)
        return plan(observed)


@pytest.fixture
def server() -> FakeCluster:
    """An API server in memory with two experiments, whose trials succeed."""
    cluster = FakeCluster()
    succeed_always(cluster, lambda _: {"loss": 0.5})
    cluster.add(EXPERIMENTS, TEAM, played(ODD.name, ("spec/search/algorithm/seed", ODD_SEED)))
    cluster.add(EXPERIMENTS, TEAM, played("study"))
    return cluster


@pytest.fixture
def bug(server: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> Bug:
    """A bug in the plan of the odd experiment, until it is mended."""
    planted = Bug(server)
    monkeypatch.setattr("scaling_operator.runtime.engine.plan", planted.plan)
    return planted


async def test_the_third_bug_in_a_row_is_told_and_taken_back_once_work_goes_well(
    server: FakeCluster, bug: Bug
) -> None:
    async with operating(server) as operator:
        await until(lambda: len(bug.stood) > 3)
        assert bug.stood[:4] == [False, False, False, True], "after the third, and not before"
        assert fault_of(server).startswith(f"ZeroDivisionError: {MESSAGE}; it is tried again")
        await until(lambda: phase(server) is Phase.SUCCEEDED)
        assert phase(server, ODD.name) is Phase.PENDING, "others went on, it did not"
        await until(lambda: faults_noted(server))
        assert faults_noted(server) == [ODD.name], "one Event, however often it is tried"
        assert bugs_counted(operator) >= 3

        bug.times = 0
        await until(lambda: phase(server, ODD.name) is Phase.SUCCEEDED)
        assert bugs_counted(operator) == len(bug.stood)
    assert not fault_of(server)


async def test_bugs_that_pass_are_not_told(server: FakeCluster, bug: Bug) -> None:
    """Twice, then it goes well, then twice again: never three times in a row."""
    bug.times = 2
    async with operating(server):
        await until(lambda: phase(server, ODD.name) is Phase.SUCCEEDED)
        bug.times = 2
        server.edit(EXPERIMENTS, TEAM, ODD.name, lambda odd: odd["spec"]["trials"].update(max=2))
        await until(lambda: bug.times == 0 and phase(server, ODD.name) is Phase.SUCCEEDED)
        await until(lambda: status_of(server.one(EXPERIMENTS, TEAM, ODD.name)).counts.succeeded > 1)
    assert bug.stood == [False] * 4
    assert not faults_noted(server)


async def test_a_bug_whose_telling_fails_is_told_the_next_time(
    server: FakeCluster, bug: Bug
) -> None:
    refusing = Fault("patch", EXPERIMENTS, answer=BUSY, name=ODD.name)
    server.faults.append(refusing)
    async with operating(server):
        await until(lambda: len(bug.stood) > 4)
    assert refusing.times == 0
    assert bug.stood[:5] == [False] * 4 + [True]


async def test_a_bug_that_comes_after_the_status_is_written_stays_told(
    server: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each try writes a status that knows of no fault, and only then fails."""
    server.edit(EXPERIMENTS, TEAM, ODD.name, lambda odd: odd["spec"].update(suspend=True))
    failures: list[Key] = []
    last_step = "_next_turn"
    work: Callable[..., float | None] = getattr(Controller, last_step)

    def failing(self: Controller, key: Key, *arguments: object) -> float | None:
        if key == ODD:
            failures.append(key)
            raise ZeroDivisionError(MESSAGE)
        return work(self, key, *arguments)

    monkeypatch.setattr(Controller, last_step, failing)
    async with operating(server):
        for tries in (3, 4, 5):
            await until(lambda tries=tries: len(failures) >= tries and fault_of(server))
        monkeypatch.setattr(Controller, last_step, work)
        await until(lambda: not fault_of(server))


async def test_a_bug_in_the_telling_too_leaves_the_others_alone(
    server: FakeCluster, bug: Bug, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise KeyError(MESSAGE)

    monkeypatch.setattr("scaling_operator.kube.reconcile.controller.failing", broken)
    async with operating(server):
        await until(lambda: len(bug.stood) > 3)
        server.add(EXPERIMENTS, TEAM, played("later"))
        await until(lambda: phase(server, "later") is Phase.SUCCEEDED)
