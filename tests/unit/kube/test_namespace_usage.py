"""Limits of a policy hold whatever happens, counted from all workloads of a namespace."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from fake_cluster import BUSY, FakeCluster, Fault, Object
from fake_kubelet import end, start, succeed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shell import TEAM, Clock, Shell
from sized import policy, sized

from scaling_operator.api.policy import PolicyLimits
from scaling_operator.core.bounds import RESERVED_SECONDS
from scaling_operator.kube.client.errors import ClusterError
from scaling_operator.kube.client.index import Index, Key
from scaling_operator.kube.client.kinds import EXPERIMENTS, PODS, POLICIES, Kind
from scaling_operator.kube.reconcile.namespace_usage import HeldMachines
from scaling_operator.sizing.admission import Demand

NAMES = ("first", "second", "third")
NAMESPACE_GPUS, EXPERIMENT_GPUS = 3, 2
LIMITS = {"namespace": {"gpus": NAMESPACE_GPUS}, "experiment": {"gpus": EXPERIMENT_GPUS}}
MANY = ("spec/trials", {"max": 40, "parallel": 4, "maxFailed": 100})


def is_active(pod: Object) -> bool:
    return pod["status"]["phase"] in ("Pending", "Running")


def held(cluster: FakeCluster) -> list[str]:
    """Name the experiment of each accelerator that is taken."""
    pods = (pod for pod in cluster.all(PODS, TEAM) if is_active(pod))
    return [pod["metadata"]["labels"]["scaling-operator.dev/experiment"] for pod in pods]


@dataclass
class Team:
    """Replicas one after the other over one API server; after every change it is counted."""

    cluster: FakeCluster = field(default_factory=lambda: FakeCluster(clock=Clock()))
    most: int = 0
    most_of_one: int = 0

    def __post_init__(self) -> None:
        self.cluster.add(POLICIES, None, policy(limits=LIMITS))
        self.cluster.many_hooks.append(self.count)
        self.leader = Shell(self.cluster)

    def count(self, event: str, kind: Kind, document: Object) -> None:
        del event, document
        if kind is PODS:
            taken = held(self.cluster)
            self.most = max(self.most, len(taken))
            self.most_of_one = max([self.most_of_one, *(taken.count(name) for name in NAMES)])

    async def turn(self) -> None:
        """Reconcile all at once, as eight workers do."""
        keys = list(self.leader.index.experiments)
        turns = [self.leader.reconcile(key) for key in keys]
        for error in await asyncio.gather(*turns, return_exceptions=True):
            if isinstance(error, Exception) and not isinstance(error, ClusterError):
                raise error

    async def do(self, step: str, at: int) -> None:
        name, pods = NAMES[at % len(NAMES)], self.leader.pods()
        active = [pod for pod in pods if is_active(self.cluster.one(PODS, TEAM, pod))]
        if step in PODS_DO and active:
            PODS_DO[step](self.cluster, TEAM, active[at % len(active)])
        elif step == "create" and not self.has(name):
            self.cluster.add(EXPERIMENTS, TEAM, sized(name, MANY))
        elif step == "delete" and self.has(name):
            self.cluster.remove(EXPERIMENTS, TEAM, name)
        elif step in ("suspend", "resume") and self.has(name):
            self.suspend(name, is_so=step == "suspend")
        elif step in FAULTS:
            self.cluster.faults.append(FAULTS[step]())
        elif step.startswith("restart"):
            self.restart(is_behind=step == "restart behind")
        elif step == "wait":
            with contextlib.suppress(ClusterError):
                await self.leader.advance(5.0)

    def has(self, name: str) -> bool:
        return (EXPERIMENTS, TEAM, name) in self.cluster.objects

    def suspend(self, name: str, *, is_so: bool) -> None:
        self.cluster.edit(
            EXPERIMENTS, TEAM, name, lambda study: study["spec"].update(suspend=is_so)
        )

    def restart(self, *, is_behind: bool = False) -> None:
        """Let another replica lead; one that is behind has not heard of any pod yet."""
        self.leader.close()
        self.leader = Shell(self.cluster)
        if is_behind:
            self.leader.index.workloads.clear()


def fail(cluster: FakeCluster, namespace: str, name: str) -> None:
    end(cluster, namespace, name, code=1)


def evict(cluster: FakeCluster, namespace: str, name: str) -> None:
    cluster.edit(PODS, namespace, name, lambda pod: pod["status"].update(EVICTED))


EVICTED = {"phase": "Failed", "reason": "Evicted", "message": "the node was low on memory"}
PODS_DO: dict[str, Callable[[FakeCluster, str, str], object]] = {
    "start": start,
    "succeed": lambda cluster, namespace, name: succeed(cluster, namespace, name, loss=1.0),
    "fail": fail,
    "evict": evict,
}
FAULTS: dict[str, Callable[[], Fault]] = {
    "lose replies": lambda: Fault("create", PODS, is_lost=True, times=2),
    "be busy": lambda: Fault("create", PODS, answer=BUSY, times=2),
}
STEPS = (
    *("create", "create", "create", "delete", "suspend", "resume"),
    *("restart", "restart behind", "wait", *PODS_DO, *FAULTS),
)


@pytest.mark.slow
@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 11)), min_size=4, max_size=14))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_limit_is_exceeded_whatever_starts_ends_restarts_or_gets_lost(
    steps: list[tuple[str, int]],
) -> None:
    async def play() -> Team:
        team = Team()
        for name in NAMES:
            await team.do("create", NAMES.index(name))
        try:
            for step, at in steps:
                await team.do(step, at)
                await team.turn()
        finally:
            team.leader.close()
        return team

    team = asyncio.run(play())
    assert team.most <= NAMESPACE_GPUS
    assert team.most_of_one <= EXPERIMENT_GPUS


async def test_experiments_that_start_in_the_same_moment_share_a_limit() -> None:
    team = Team()
    for at in range(len(NAMES)):
        await team.do("create", at)
    for _ in range(4):
        await team.turn()

    assert (team.most, len(held(team.cluster))) == (NAMESPACE_GPUS, NAMESPACE_GPUS)
    team.leader.close()


@pytest.mark.parametrize("step", ["restart", "restart behind"])
async def test_another_leader_counts_what_those_hold_that_it_has_not_opened(step: str) -> None:
    team = Team()
    for at in (0, 1):
        await team.do("create", at)
        await team.turn()
    await team.do(step, 0)
    await team.do("create", 2)

    await team.leader.reconcile(Key(TEAM, "third"))

    taken = held(team.cluster)
    assert taken.count("first") + taken.count("second") > 1
    assert (len(taken), team.most) == (NAMESPACE_GPUS, NAMESPACE_GPUS)
    team.leader.close()


async def test_what_one_gives_back_wakes_those_that_wait(shell: Shell) -> None:
    shell.cluster.add(POLICIES, None, policy(limits={"namespace": {"gpus": 1}}))
    for name in ("first", "second"):
        shell.cluster.add(EXPERIMENTS, TEAM, sized(name, ("spec/trials", {"max": 1})))
    await shell.settle()
    assert shell.pods() == ["first-0-0-0"]

    succeed(shell.cluster, TEAM, "first-0-0-0", loss=1.0)
    await shell.settle()

    assert [pod for pod in shell.pods() if pod.startswith("second")] == ["second-0-0-0"]


async def test_who_is_suspended_keeps_nobody_waiting(shell: Shell) -> None:
    """It holds least and has trials without a machine, but nothing of it could start."""
    shell.cluster.add(POLICIES, None, policy(limits={"namespace": {"gpus": 2}}))
    shell.cluster.add(EXPERIMENTS, TEAM, sized("first", MANY))
    await shell.settle()
    shell.cluster.edit(EXPERIMENTS, TEAM, "first", lambda study: study["spec"].update(suspend=True))
    await shell.settle()
    await shell.advance(2.0)
    shell.cluster.add(EXPERIMENTS, TEAM, sized("second", MANY))
    await shell.settle()

    assert [pod for pod in shell.pods() if pod.startswith("second")] == [
        "second-0-0-0", "second-0-1-0"
    ]  # fmt: skip


def workload(name: str, phase: str = "Running", **metadata: Any) -> Object:
    labels = {
        "scaling-operator.dev/experiment": "first",
        "scaling-operator.dev/trial": "first-0-0",
    }
    requests = {"cpu": "500m", "memory": "1Gi", "nvidia.com/gpu": "2"}
    return {
        "metadata": {"name": name, "namespace": TEAM, "uid": name, "labels": labels, **metadata},
        "spec": {"containers": [{"name": "trainer", "resources": {"requests": requests}}]},
        "status": {"phase": phase},
    }


RECORDED: dict[str, Any] = {
    "annotations": {"scaling-operator.dev/resources": '{"count": 3, "cpu": "2", "memory": "4Gi"}'}
}
REQUESTED = Demand(2, 0.5, 2.0**30)


@pytest.mark.parametrize(
    ("pod", "holds"),
    [
        pytest.param(workload("a"), REQUESTED, id="what it requests, where no policy sized it"),
        pytest.param(
            workload("a", "Running", **RECORDED), Demand(3, 2.0, 2.0**32), id="what it was given"
        ),
        pytest.param(workload("a", "Pending"), REQUESTED, id="also before it runs"),
        pytest.param(workload("a", "Failed"), Demand(), id="nothing once it has ended"),
        pytest.param(
            workload("a", deletionTimestamp="2027-01-15T08:00:00Z"), REQUESTED,
            id="still while it is being deleted",
        ),
        pytest.param(
            workload("a", deletionTimestamp="2027-01-15T07:58:00Z"), Demand(),
            id="nothing where its node is gone",
        ),
        pytest.param(workload("a", labels={"scaling-operator.dev/experiment": "first"}), Demand(),
            id="nothing where it is no trial's"),
    ],
)  # fmt: skip
def test_what_a_workload_holds_is_read_from_its_object(pod: Object, holds: Demand) -> None:
    index = Index()
    index.put(PODS, pod)

    assert HeldMachines(index, Clock()).of(Key(TEAM, "first")) == holds


def test_room_that_nobody_answers_for_is_given_back_in_the_end() -> None:
    clock, key = Clock(), Key(TEAM, "first")
    held_machines = HeldMachines(Index(), clock)
    limits = PolicyLimits.model_validate({"namespace": {"gpus": 1}})
    assert held_machines.reserve(key, "first-0-0-0", Demand(gpus=1), limits) is None
    assert held_machines.reserve(Key(TEAM, "second"), "second-0-0-0", Demand(gpus=1), limits)

    clock.seconds += RESERVED_SECONDS

    assert (
        held_machines.reserve(Key(TEAM, "second"), "second-0-0-0", Demand(gpus=1), limits) is None
    )
