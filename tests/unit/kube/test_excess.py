"""What one experiment asks too much of, and what breaks on it, is said on that experiment."""

from __future__ import annotations

from fake_cluster import FakeCluster
from fake_kubelet import succeed_always
from shell import TEAM, Shell, Threads
from testbed.documents import played

from scaling_operator.api.names import ConditionReason, ConditionType, Phase
from scaling_operator.api.search import Search
from scaling_operator.api.status import Condition
from scaling_operator.kube.client.index import Key
from scaling_operator.kube.client.kinds import EVENTS, EXPERIMENTS, PODS
from scaling_operator.processes.process import WorkExceeded
from scaling_operator.search.study_worker import Answer, AskCall, Call, StudyHost, ThreadHost

COSTLY = Key(TEAM, "costly")


class Weak(Threads):
    """Workers that a search with a seed of 666 is too much for."""

    def __init__(self) -> None:
        self.asked = 0

    def studies(self, namespace: str, search: Search) -> StudyHost:
        if search.algorithm.seed != 666:
            return super().studies(namespace, search)
        return TooCostly(self)


class TooCostly(ThreadHost):
    def __init__(self, workers: Weak) -> None:
        super().__init__()
        self._workers = workers

    async def call(self, name: str, call: Call) -> Answer:
        if isinstance(call, AskCall):
            self._workers.asked += 1
            message = "search.algorithm random: proposing trial 0: it needs more than 30 s"
            raise WorkExceeded(message)
        return await super().call(name, call)


def condition(shell: Shell, name: str, kind: ConditionType) -> Condition | None:
    conditions = shell.status(name).conditions
    return next((entry for entry in conditions if entry.type == kind), None)


async def test_a_search_that_is_too_costly_is_refused_once_and_others_go_on(
    fake: FakeCluster,
) -> None:
    workers = Weak()
    shell = Shell(fake, workers=workers)
    seed = ("spec/search/algorithm", {"name": "random", "seed": 666})
    fake.add(EXPERIMENTS, TEAM, played("costly", seed))
    fake.add(EXPERIMENTS, TEAM, played("study"))
    succeed_always(fake, lambda _: {"loss": 0.5})
    await shell.until(lambda: shell.status("study").phase is Phase.SUCCEEDED)

    refusal = condition(shell, "costly", ConditionType.ACCEPTED)
    assert refusal is not None
    assert (refusal.status, refusal.reason) == ("False", ConditionReason.SEARCH_TOO_COSTLY)
    assert "proposing trial 0" in refusal.message
    notes = [event["reason"] for event in fake.all(EVENTS, TEAM)]
    assert notes.count(ConditionReason.SEARCH_TOO_COSTLY) == 1

    shell.wake(COSTLY)
    await shell.settle()
    assert workers.asked == 1, "the same would take as much again"
    shell.close()


async def test_a_fault_of_the_operator_stands_on_the_experiment_until_it_is_gone(
    shell: Shell,
) -> None:
    shell.cluster.add(EXPERIMENTS, TEAM, played("study"))
    await shell.controller.report_fault(Key(TEAM, "study"), KeyError("nope"))
    said = condition(shell, "study", ConditionType.INTERNAL_ERROR)
    assert said is not None
    assert (said.status, said.reason) == ("True", ConditionReason.INTERNAL_ERROR)
    assert "KeyError: 'nope'" in said.message
    notes = [event["reason"] for event in shell.cluster.all(EVENTS, TEAM)]
    assert notes == [ConditionReason.INTERNAL_ERROR], "at once, not with the next turn"

    succeed_always(shell.cluster, lambda _: {"loss": 0.5})
    await shell.until(lambda: shell.status("study").phase is Phase.SUCCEEDED)
    assert condition(shell, "study", ConditionType.INTERNAL_ERROR) is None


async def test_a_fault_of_the_operator_is_taken_back_when_nothing_else_is_left_to_do(
    shell: Shell,
) -> None:
    shell.cluster.add(EXPERIMENTS, TEAM, played("study"))
    succeed_always(shell.cluster, lambda _: {"loss": 0.5})
    await shell.until(lambda: shell.status("study").phase is Phase.SUCCEEDED)
    await shell.until(lambda: not shell.cluster.all(PODS) and not shell.controller.loaded)
    key = Key(TEAM, "study")
    shell.controller.invalidate([key])  # as after each bug
    await shell.controller.report_fault(key, KeyError("nope"))
    assert condition(shell, "study", ConditionType.INTERNAL_ERROR) is not None
    shell.wake(key)
    await shell.settle()
    assert condition(shell, "study", ConditionType.INTERNAL_ERROR) is None
    assert shell.status("study").phase is Phase.SUCCEEDED
