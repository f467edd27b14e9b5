"""An experiment's pods: made once each, refused and tried again, deleted when nobody waits."""

from __future__ import annotations

import pytest
from fake_cluster import BUSY, CHANGED, INVALID, MISSING, NO_QUOTA, NO_SUCH_POD, Fault
from fake_kubelet import end, start, succeed
from shell import TEAM, Shell
from testbed.documents import played

from scaling_operator.api.names import Phase, Reason, TrialState
from scaling_operator.core.reports import AttemptKey
from scaling_operator.kube.client.errors import ClusterBusy, ClusterForbidden
from scaling_operator.kube.client.kinds import EXPERIMENTS, JOBS, PODS
from scaling_operator.kube.reconcile.launch_backoff import LaunchBackoff
from scaling_operator.kube.settings import PodSettings

KEPT = PodSettings(trainer_image="trainer:1", keep_failed_seconds=600.0)


def creates(shell: Shell) -> int:
    return sum(request.startswith("create pods") for request in shell.cluster.requests)


async def test_a_pod_without_quota_is_tried_again_ever_more_seldom(shell: Shell) -> None:
    shell.cluster.faults.append(Fault("create", PODS, answer=NO_QUOTA, times=1000))
    shell.cluster.add(EXPERIMENTS, TEAM, played("study"))
    await shell.settle()
    assert creates(shell) == 1
    await shell.advance(60.0)
    await shell.until(lambda: shell.trials("study")[0].status.state is TrialState.QUEUED)
    assert shell.trials("study")[0].status.reason is Reason.QUOTA_EXCEEDED
    for _ in range(540):
        await shell.advance(1.0)
    assert 8 <= creates(shell) <= 20

    shell.cluster.faults.clear()
    await shell.until(shell.pods, seconds=61.0)
    start(shell.cluster, TEAM, "study-0-0-0")
    await shell.until(lambda: shell.trials("study")[0].status.state is TrialState.RUNNING)


def test_each_refusal_doubles_the_pause_up_to_a_minute() -> None:
    now, key = [0.0], AttemptKey(0, 0, 0)
    refusals = LaunchBackoff(lambda: now[0])
    pauses: list[float] = []
    for _ in range(8):
        refusals.note_for_now(key, Reason.QUOTA_EXCEEDED, "no quota")
        moment = refusals.wake_at_seconds
        assert moment is not None
        assert refusals.current(key) is not None
        pauses.append(moment - now[0])
        now[0] = moment
        assert refusals.current(key) is None
    assert pauses == [2, 4, 8, 16, 32, 60, 60, 60]
    refusals.forget(key)
    assert refusals.wake_at_seconds is None
    refusals.note_for_good(key, Reason.CONFIG_ERROR, "never")
    now[0] += 1e9
    assert refusals.current(key) is not None
    assert refusals.wake_at_seconds is None


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        pytest.param(NO_SUCH_POD, "violates PodSecurity", id="pod security forbids it"),
        pytest.param(INVALID, "Invalid value", id="the API server finds it invalid"),
    ],
)
async def test_a_pod_that_can_never_be_fails_its_trial(
    shell: Shell, answer: tuple[int, str], says: str
) -> None:
    shell.cluster.faults.append(Fault("create", PODS, answer=answer, times=1000))
    document = played("study", ("spec/trials", {"max": 1, "maxFailed": 0}))
    shell.cluster.add(EXPERIMENTS, TEAM, document)
    await shell.until(lambda: shell.status("study").phase is Phase.FAILED)
    (trial,) = shell.trials("study")
    assert trial.status.reason is Reason.CONFIG_ERROR
    assert says in trial.status.message
    assert creates(shell) == 1


async def test_missing_rights_are_no_end_of_a_trial(shell: Shell) -> None:
    forbidden = (403, "is forbidden: User cannot create resource pods")
    shell.cluster.faults.append(Fault("create", PODS, answer=forbidden))
    shell.cluster.add(EXPERIMENTS, TEAM, played("study"))
    with pytest.raises(ClusterForbidden):
        await shell.settle()
    assert not shell.trials("study")[0].status.state.ended
    await shell.settle()
    assert shell.pods() == ["study-0-0-0"]


async def test_after_a_lost_reply_and_a_new_leader_there_is_one_pod(shell: Shell) -> None:
    shell.cluster.add(EXPERIMENTS, TEAM, played("study"))
    shell.cluster.faults.append(Fault("create", PODS, is_lost=True))
    with pytest.raises(ClusterBusy):
        await shell.settle()
    following = Shell(shell.cluster)
    await following.settle()
    succeed(shell.cluster, TEAM, "study-0-0-0", loss=0.5)
    await following.until(lambda: following.status("study").phase is Phase.SUCCEEDED)
    assert creates(shell) == 1
    following.close()


async def test_a_pod_that_somebody_deleted_is_an_interruption(shell: Shell) -> None:
    shell.cluster.add(EXPERIMENTS, TEAM, played("study"))
    await shell.settle()
    start(shell.cluster, TEAM, "study-0-0-0")
    await shell.settle()
    shell.cluster.remove(PODS, TEAM, "study-0-0-0")
    await shell.until(lambda: shell.pods() == ["study-0-0-1"])
    (attempt,) = shell.trials("study")[0].status.attempts
    assert attempt.reason is Reason.POD_DELETED


async def test_a_pod_that_ends_and_goes_in_one_moment_counts(shell: Shell) -> None:
    shell.cluster.add(EXPERIMENTS, TEAM, played("study"))
    await shell.settle()
    succeed(shell.cluster, TEAM, "study-0-0-0", loss=0.5)
    shell.cluster.remove(PODS, TEAM, "study-0-0-0")
    await shell.until(lambda: shell.status("study").phase is Phase.SUCCEEDED)
    assert shell.trials("study")[0].status.values == (0.5,)


async def test_a_failed_pod_stays_to_be_looked_at_and_goes_then(shell: Shell) -> None:
    keeping = Shell(shell.cluster, KEPT)
    document = played("study", ("spec/trials", {"max": 1, "maxFailed": 1}))
    shell.cluster.add(EXPERIMENTS, TEAM, document)
    await keeping.settle()
    end(shell.cluster, TEAM, "study-0-0-0", code=3, message="no such file")
    await keeping.until(lambda: keeping.trials("study")[0].status.state is TrialState.FAILED)
    await keeping.advance(590.0)
    assert "study-0-0-0" in keeping.pods()
    await keeping.until(lambda: "study-0-0-0" not in keeping.pods(), seconds=15.0)
    keeping.close()


@pytest.mark.parametrize("answer", [MISSING, CHANGED])
async def test_a_pod_that_is_gone_before_it_is_deleted_is_no_fault(
    shell: Shell, answer: tuple[int, str]
) -> None:
    shell.cluster.add(EXPERIMENTS, TEAM, played("study"))
    await shell.settle()
    end(shell.cluster, TEAM, "study-0-0-0", code=137, reason="Error", phase="Failed")
    shell.cluster.edit(
        PODS, TEAM, "study-0-0-0", lambda pod: pod["status"].update(reason="Evicted")
    )
    shell.cluster.faults.append(Fault("delete", PODS, answer=answer))
    await shell.until(lambda: "study-0-0-1" in shell.pods())
    assert [fault.times for fault in shell.cluster.faults] == [0]
    succeed(shell.cluster, TEAM, "study-0-0-1", loss=0.5)
    await shell.until(lambda: shell.status("study").phase is Phase.SUCCEEDED)


async def test_a_deletion_that_fails_is_tried_again(shell: Shell) -> None:
    shell.cluster.add(EXPERIMENTS, TEAM, played("study"))
    await shell.settle()
    shell.cluster.faults.append(Fault("deletecollection", PODS, answer=BUSY, times=3))
    succeed(shell.cluster, TEAM, "study-0-0-0", loss=0.5)
    await shell.until(lambda: not shell.pods(), seconds=30.0)


async def test_a_deletion_that_was_asked_for_is_asked_for_once_until_the_resync(
    shell: Shell,
) -> None:
    shell.cluster.add(EXPERIMENTS, TEAM, played("study"))
    await shell.settle()
    succeed(shell.cluster, TEAM, "study-0-0-0", loss=0.5)
    sweeps = "deletecollection pods team"
    shell.loses_events = True  # the event of the deletion is lost
    await shell.until(lambda: sweeps in shell.cluster.requests)
    assert not shell.pods()
    for _ in range(20):
        await shell.advance(1.0)
    assert shell.cluster.requests.count(sweeps) == 1


async def test_with_jobs_it_is_the_same(shell: Shell) -> None:
    with_jobs = Shell(shell.cluster, PodSettings(trainer_image="trainer:1", kind="job"))
    shell.cluster.faults.append(Fault("create", JOBS, is_lost=True))
    shell.cluster.add(EXPERIMENTS, TEAM, played("study"))
    with pytest.raises(ClusterBusy):
        await with_jobs.settle()
    await with_jobs.settle()
    assert [job["metadata"]["name"] for job in shell.cluster.all(JOBS)] == ["study-0-0-0"]
    shell.cluster.remove(JOBS, TEAM, "study-0-0-0")
    await with_jobs.until(lambda: [job["metadata"]["name"] for job in shell.cluster.all(JOBS)])
    assert [job["metadata"]["name"] for job in shell.cluster.all(JOBS)] == ["study-0-0-1"]
    with_jobs.close()
