"""A wait is measured from when this wait began, whatever was before and whoever leads."""

from __future__ import annotations

from fake_cluster import NO_QUOTA, Fault
from fake_kubelet import start
from shell import TEAM, Shell
from sized import policy, sized
from testbed.documents import Change, played

from scaling_operator.api.names import Reason, TrialState
from scaling_operator.api.status import TrialStatus
from scaling_operator.kube.client.kinds import EXPERIMENTS, PODS, POLICIES

HOUR_SECONDS = 3600.0
TRIALS: Change = ("spec/trials", {"max": 1, "pendingTimeout": "1h"})


def status(shell: Shell, name: str = "study") -> TrialStatus:
    (trial,) = shell.trials(name)
    return trial.status


def suspend(shell: Shell, name: str, *, is_so: bool) -> None:
    shell.cluster.edit(EXPERIMENTS, TEAM, name, lambda study: study["spec"].update(suspend=is_so))


def refuse_pods(shell: Shell) -> None:
    shell.cluster.faults.append(Fault("create", PODS, answer=NO_QUOTA, times=10_000))


async def refused_after_a_suspension(shell: Shell) -> None:
    """Let a trial run, be suspended for five hours, and find the quota used up when it resumes."""
    shell.cluster.add(EXPERIMENTS, TEAM, played("study", TRIALS))
    await shell.settle()
    start(shell.cluster, TEAM, "study-0-0-0")
    suspend(shell, "study", is_so=True)
    await shell.settle()
    shell.cluster.remove(PODS, TEAM, "study-0-0-0")
    await shell.advance(5 * HOUR_SECONDS)
    refuse_pods(shell)
    suspend(shell, "study", is_so=False)
    await shell.until(lambda: status(shell).state is not TrialState.RUNNING, 60.0)


async def test_a_quota_that_is_met_after_a_suspension_is_waited_for(shell: Shell) -> None:
    await refused_after_a_suspension(shell)
    await shell.advance(HOUR_SECONDS / 2)

    assert (status(shell).state, status(shell).reason) == (
        TrialState.QUEUED, Reason.QUOTA_EXCEEDED
    )  # fmt: skip
    await shell.until(lambda: status(shell).state.ended)
    assert (status(shell).state, status(shell).reason) == (
        TrialState.FAILED, Reason.QUOTA_EXCEEDED
    )  # fmt: skip


async def test_the_next_leader_goes_on_counting_the_wait(shell: Shell) -> None:
    await refused_after_a_suspension(shell)
    began = status(shell).queued_time
    await shell.advance(HOUR_SECONDS / 2)
    following = Shell(shell.cluster)
    await following.advance(10.0)

    assert began is not None
    assert status(shell).queued_time == began
    await following.advance(began.timestamp() + HOUR_SECONDS - shell.cluster.clock() - 1.0)
    assert status(shell).state is TrialState.QUEUED
    await following.advance(1.0)
    assert status(shell).state is TrialState.FAILED
    following.close()


async def test_a_wait_for_a_limit_ends_and_one_that_is_suspended_begins_anew(
    shell: Shell,
) -> None:
    """`first` lost its pod to `second`, which holds all that the namespace may."""
    shell.cluster.add(POLICIES, None, policy(limits={"namespace": {"gpus": 1}}))
    shell.cluster.add(EXPERIMENTS, TEAM, sized("first", TRIALS))
    await shell.settle()
    suspend(shell, "first", is_so=True)
    await shell.settle()
    shell.cluster.add(EXPERIMENTS, TEAM, sized("second", TRIALS))
    await shell.advance(2.0)
    await shell.advance(2.0)
    start(shell.cluster, TEAM, "second-0-0-0")
    for is_suspended in (False, True, False):  # each time for most of the hour
        suspend(shell, "first", is_so=is_suspended)
        await shell.advance(10.0)
        await shell.advance(HOUR_SECONDS - 60.0)
        expected = TrialState.RUNNING if is_suspended else TrialState.QUEUED
        assert status(shell, "first").state is expected
    await shell.until(lambda: status(shell, "first").state.ended)

    assert status(shell, "first").reason is Reason.QUOTA_EXCEEDED
    assert "limits.namespace.gpus allows 1, 1 are held" in status(shell, "first").message
