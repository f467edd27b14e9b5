"""Reconcile, whatever woke it: from an experiment's object to its result, over an API server."""

from __future__ import annotations

import pytest
from fake_cluster import BUSY, Fault
from fake_kubelet import succeed, succeed_always
from shell import TEAM, Shell
from testbed.documents import played

from scaling_operator.api.names import Phase, TrialState
from scaling_operator.kube.client.errors import ClusterBusy
from scaling_operator.kube.client.index import Key
from scaling_operator.kube.client.kinds import EXPERIMENTS, PODS, TRIALS

STUDY = Key(TEAM, "study")


async def test_an_experiment_runs_from_its_object_to_its_result(shell: Shell) -> None:
    shell.cluster.add(EXPERIMENTS, TEAM, played("study"))
    await shell.settle()
    assert shell.pods() == ["study-0-0-0"]

    succeed(shell.cluster, TEAM, "study-0-0-0", loss=0.25)
    await shell.until(lambda: shell.status("study").phase is Phase.SUCCEEDED)

    (trial,) = shell.trials("study")
    assert (trial.status.state, trial.status.values) == (TrialState.SUCCEEDED, (0.25,))
    best = shell.status("study").best
    assert best is not None
    assert best.trial == "0-0"
    await shell.until(lambda: not shell.pods())
    assert not shell.controller.loaded


async def test_the_reply_to_a_create_is_lost_and_the_pod_is_adopted(shell: Shell) -> None:
    shell.cluster.add(EXPERIMENTS, TEAM, played("study"))
    shell.cluster.faults.append(Fault("create", PODS, is_lost=True))
    with pytest.raises(ClusterBusy):
        await shell.settle()
    await shell.settle()
    assert shell.pods() == ["study-0-0-0"]


async def test_trials_go_on_side_by_side(shell: Shell) -> None:
    document = played("study", ("spec/trials", {"max": 12, "parallel": 4}))
    shell.cluster.add(EXPERIMENTS, TEAM, document)
    await shell.settle()
    assert len(shell.pods()) == 4

    for name in shell.pods():
        succeed(shell.cluster, TEAM, name, loss=1.0)
    succeed_always(shell.cluster, lambda _: {"loss": 0.5})
    await shell.until(lambda: shell.status("study").phase is Phase.SUCCEEDED)
    assert shell.status("study").counts.succeeded == 12


async def test_an_api_server_that_is_busy_is_asked_again(shell: Shell) -> None:
    shell.cluster.add(EXPERIMENTS, TEAM, played("study"))
    shell.cluster.faults.append(Fault("create", TRIALS, answer=BUSY))
    with pytest.raises(ClusterBusy):
        await shell.settle()
    await shell.settle()
    assert [trial.spec.number for trial in shell.trials("study")] == [0]
