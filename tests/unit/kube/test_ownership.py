"""Nothing is adopted, deleted or believed for its name or its labels: its owner's uid decides."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fake_cluster import FakeCluster, Object
from fake_kubelet import end, make_pod, start, succeed
from shell import TEAM, Shell
from testbed.documents import Change, played

from scaling_operator.api.names import Phase, TrialState
from scaling_operator.core.reports import Answer, AttemptKey, Report
from scaling_operator.kube.client.index import Key
from scaling_operator.kube.client.kinds import EXPERIMENTS, JOBS, PODS, TRIALS, Kind
from scaling_operator.kube.client.ownership import is_owned
from scaling_operator.kube.settings import PodSettings
from scaling_operator.report_endpoint.endpoint import NotAnAttempt

STUDY = Key(TEAM, "study")
PREFIX = "scaling-operator.dev"
ON_A_CLAIM: Change = ("spec/artifacts", {"persistentVolumeClaim": {"claimName": "artifacts"}})
GOOD = json.dumps({"v": 1, "metrics": {"loss": 0.0}})


def labels(trial: str, attempt: str = "0") -> dict[str, str]:
    experiment, scale, _ = trial.rsplit("-", 2)
    written = {"experiment": experiment, "scale": scale, "trial": trial, "attempt": attempt}
    return {f"{PREFIX}/{name}": value for name, value in written.items()}


def owner(kind: Kind, name: str, uid: str, **fields: Any) -> Object:
    reference = {"apiVersion": kind.api_version, "kind": kind.name, "name": name, "uid": uid}
    return {**reference, "controller": True, **fields}


def somebodys(name: str, marks: dict[str, str], *owners: Object) -> Object:
    """Write a pod as somebody else does who has copied our labels."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": marks, "ownerReferences": list(owners)},
        "spec": {"containers": [{"name": "trainer", "image": "mine"}]},
        "status": {"phase": "Pending"},
    }


def uid_of(cluster: FakeCluster, kind: Kind, name: str) -> str:
    return str(cluster.one(kind, TEAM, name)["metadata"]["uid"])


OWNERS = [
    pytest.param({}, True, id="the trial, by its uid"),
    pytest.param({"uid": "other"}, False, id="another trial of the same name"),
    pytest.param({"controller": False}, False, id="an owner that does not control it"),
    pytest.param({"controller": None}, False, id="an owner of which nothing is said"),
    pytest.param({"kind": "ScalingExperiment"}, False, id="another kind that has this uid"),
    pytest.param({"apiVersion": "mine/v1"}, False, id="another group's ScalingTrial"),
    pytest.param({"apiVersion": f"{PREFIX}/v1"}, True, id="another version of our group"),
    pytest.param({"apiVersion": "v1alpha1"}, False, id="no group"),
    pytest.param({"name": "other"}, True, id="a name does not matter"),
]


@pytest.mark.parametrize(("change", "expected"), OWNERS)
def test_the_owner_that_controls_an_object_is_known_by_its_uid(
    *, change: dict[str, Any], expected: bool
) -> None:
    pod = somebodys("study-0-0-0", {}, {**owner(TRIALS, "study-0-0", "1"), **change})
    assert is_owned(pod, TRIALS, "1") is expected


@pytest.mark.parametrize("references", [None, []])
def test_an_object_without_owners_is_nobodys(references: list[Object] | None) -> None:
    assert not is_owned({"metadata": {"ownerReferences": references}}, TRIALS, "1")
    assert not is_owned({"metadata": {}}, TRIALS, "1")


def test_a_trial_that_is_not_known_owns_nothing() -> None:
    pod = somebodys("study-0-0-0", {}, owner(TRIALS, "study-0-0", "None"))
    assert not is_owned(pod, TRIALS, None)


FOREIGN = [
    pytest.param({}, (), id="without our labels"),
    pytest.param(labels("study-0-0"), (), id="with our labels"),
    pytest.param(
        labels("study-0-0"),
        (owner(TRIALS, "study-0-0", "of an experiment that was deleted"),),
        id="of an older trial of this name",
    ),
]


@pytest.mark.parametrize(("marks", "owners"), FOREIGN)
async def test_a_pod_that_has_an_attempts_name_is_not_adopted(
    shell: Shell, marks: dict[str, str], owners: tuple[Object, ...]
) -> None:
    shell.cluster.add(PODS, TEAM, somebodys("study-0-0-0", marks, *owners))
    shell.cluster.add(EXPERIMENTS, TEAM, played("study"))
    await shell.settle()
    end(shell.cluster, TEAM, "study-0-0-0", message=GOOD)
    await shell.advance(60.0)
    assert not shell.trials("study")[0].status.state.ended
    assert shell.pods() == ["study-0-0-0"]

    shell.cluster.remove(PODS, TEAM, "study-0-0-0")
    await shell.until(shell.pods)
    succeed(shell.cluster, TEAM, "study-0-0-0", loss=0.5)
    await shell.until(lambda: shell.status("study").phase is Phase.SUCCEEDED)
    assert shell.trials("study")[0].status.values == (0.5,)


@pytest.mark.parametrize(("marks", "owners"), FOREIGN)
async def test_an_attempt_waits_for_its_name_no_longer_than_for_a_machine(
    shell: Shell, marks: dict[str, str], owners: tuple[Object, ...]
) -> None:
    shell.cluster.add(PODS, TEAM, somebodys("study-0-0-0", marks, *owners))
    document = played("study", ("spec/trials", {"max": 1, "maxFailed": 0, "pendingTimeout": "5m"}))
    shell.cluster.add(EXPERIMENTS, TEAM, document)
    await shell.until(lambda: shell.status("study").phase is Phase.FAILED, seconds=400)
    (trial,) = shell.trials("study")
    assert "study-0-0-0 is there and is not this trial's" in trial.status.message
    assert shell.pods() == ["study-0-0-0"]


async def test_a_pod_that_took_the_name_of_ours_does_not_tell_how_ours_ended(shell: Shell) -> None:
    shell.cluster.add(EXPERIMENTS, TEAM, played("study"))
    await shell.settle()
    shell.loses_events = True
    shell.cluster.remove(PODS, TEAM, "study-0-0-0")
    shell.loses_events = False
    shell.cluster.add(PODS, TEAM, somebodys("study-0-0-0", labels("study-0-0")))
    end(shell.cluster, TEAM, "study-0-0-0", message=GOOD)
    shell.cluster.remove(PODS, TEAM, "study-0-0-0")
    await shell.until(lambda: "study-0-0-1" in shell.pods())
    assert [str(attempt.reason) for attempt in shell.trials("study")[0].status.attempts] == [
        "PodDeleted"
    ]


async def test_pods_that_are_not_ours_stay_whatever_their_labels_say(shell: Shell) -> None:
    shell.cluster.add(EXPERIMENTS, TEAM, played("study", ("spec/trials/max", 2)))
    await shell.settle()
    theirs = {
        "copy": labels("study-0-0"),  # a manifest that somebody copied to look for an error
        "study-0-0-7": labels("study-0-0", "7"),
        "study-0-9-0": labels("study-0-9"),
    }
    for name, marks in theirs.items():
        shell.cluster.add(PODS, TEAM, somebodys(name, marks))
        start(shell.cluster, TEAM, name)
    for number in (0, 1):
        await shell.until(lambda number=number: f"study-0-{number}-0" in shell.pods())
        succeed(shell.cluster, TEAM, f"study-0-{number}-0", loss=0.5)
    await shell.until(lambda: len(shell.pods()) == len(theirs))
    await shell.advance(300.0)
    assert shell.pods() == sorted(theirs)
    assert not [pod for pod in shell.cluster.all(PODS) if "deletionTimestamp" in pod["metadata"]]


async def test_the_pods_of_many_trials_go_with_one_request(shell: Shell) -> None:
    shell.cluster.add(
        EXPERIMENTS, TEAM, played("study", ("spec/trials", {"max": 8, "parallel": 8}))
    )
    await shell.settle()
    for name in shell.pods():
        succeed(shell.cluster, TEAM, name, loss=0.5)
    await shell.until(lambda: not shell.pods())
    deletions = [request for request in shell.cluster.requests if request.startswith("delete")]
    assert deletions == ["deletecollection pods team"]


async def test_only_trials_whose_labels_others_carry_are_deleted_one_by_one(shell: Shell) -> None:
    shell.cluster.add(
        EXPERIMENTS, TEAM, played("study", ("spec/trials", {"max": 8, "parallel": 8}))
    )
    await shell.settle()
    ours = shell.pods()
    shell.cluster.add(PODS, TEAM, somebodys("copy", labels("study-0-3")))
    for name in ours:
        succeed(shell.cluster, TEAM, name, loss=0.5)
    await shell.until(lambda: shell.pods() == ["copy"])
    deletions = [request for request in shell.cluster.requests if request.startswith("delete")]
    assert deletions == ["deletecollection pods team", "delete pods team/study-0-3-0"]


async def test_a_pod_of_another_experiment_with_a_trials_label_stays(shell: Shell) -> None:
    for name in ("study", "other"):
        shell.cluster.add(EXPERIMENTS, TEAM, played(name))
    marks = {**labels("study-0-0"), f"{PREFIX}/experiment": "third"}
    shell.cluster.add(PODS, TEAM, somebodys("theirs", marks))
    await shell.settle()
    for name in ("study-0-0-0", "other-0-0-0"):
        succeed(shell.cluster, TEAM, name, loss=0.5)
    await shell.until(lambda: shell.pods() == ["theirs"])
    await shell.advance(10.0)
    assert shell.pods() == ["theirs"]


FINISHES = {f"{PREFIX}/experiment": "study", f"{PREFIX}/finishes": "0-0"}
THIS = "the uid of the experiment"
FINISHERS = [
    pytest.param(FINISHES, (), id="anybody's pod of this name"),
    pytest.param(
        FINISHES,
        (owner(EXPERIMENTS, "study", "older"),),
        id="the finisher of a deleted experiment of this name",
    ),
    pytest.param(
        FINISHES,
        (owner(EXPERIMENTS, "study", THIS, controller=False),),
        id="a pod that names the experiment and is not controlled by it",
    ),
    pytest.param({}, (), id="a pod without our labels"),
]


@pytest.mark.parametrize(("marks", "owners"), FINISHERS)
async def test_a_pod_that_has_the_finishers_name_finishes_nothing(
    shell: Shell, marks: dict[str, str], owners: tuple[Object, ...]
) -> None:
    uid = shell.cluster.add(EXPERIMENTS, TEAM, played("study", ON_A_CLAIM))["metadata"]["uid"]
    references = [
        {**reference, "uid": uid if reference["uid"] == THIS else "older"} for reference in owners
    ]
    shell.cluster.add(PODS, TEAM, somebodys("study-finish", marks, *references))
    end(shell.cluster, TEAM, "study-finish", message=GOOD)
    await shell.settle()
    succeed(shell.cluster, TEAM, "study-0-0-0", loss=0.5)
    await shell.until(lambda: shell.status("study").phase is Phase.SUCCEEDED)
    await shell.advance(30.0)
    assert shell.status("study").export is None
    assert shell.pods() == ["study-finish"]

    shell.cluster.remove(PODS, TEAM, "study-finish")
    await shell.until(shell.pods)
    assert is_owned(shell.cluster.one(PODS, TEAM, "study-finish"), EXPERIMENTS, uid)
    succeed(shell.cluster, TEAM, "study-finish", accuracy=0.9)
    await shell.until(lambda: shell.status("study").export is not None)
    best = shell.status("study").best
    assert best is not None
    assert best.test_metrics == {"accuracy": 0.9}
    await shell.until(lambda: not shell.pods())


async def test_a_finisher_waits_for_its_name_no_longer_than_a_trial_for_a_machine(
    shell: Shell,
) -> None:
    document = played("study", ON_A_CLAIM, ("spec/trials/pendingTimeout", "10m"))
    shell.cluster.add(EXPERIMENTS, TEAM, document)
    shell.cluster.add(PODS, TEAM, somebodys("study-finish", FINISHES))
    await shell.settle()
    succeed(shell.cluster, TEAM, "study-0-0-0", loss=0.5)
    await shell.until(lambda: shell.status("study").export is not None, seconds=700)
    export = shell.status("study").export
    assert export is not None
    assert (export.saved, export.message) == (
        False,
        "pod study-finish is there and is not this experiment's",
    )
    assert shell.pods() == ["study-finish"]


async def test_a_status_is_never_written_to_another_experiment_of_the_same_name(
    shell: Shell,
) -> None:
    shell.cluster.add(EXPERIMENTS, TEAM, played("study"))
    await shell.settle()
    before = shell.status("study")
    assert before.start_time is not None

    shell.loses_events = True  # the events of what follows are still on their way
    shell.cluster.remove(EXPERIMENTS, TEAM, "study")
    renewed = shell.cluster.add(EXPERIMENTS, TEAM, played("study"))
    shell.wake(STUDY)
    backend = shell.controller.loaded[STUDY].backend
    with pytest.raises(Exception, match="another one now"):
        await backend.publish(before)
    assert "status" not in shell.cluster.one(EXPERIMENTS, TEAM, "study")
    assert uid_of(shell.cluster, EXPERIMENTS, "study") == renewed["metadata"]["uid"]


REPORT = Report(seq=1, step=1, metrics={"loss": 0.5}, phase=None)


async def test_reports_are_taken_from_the_pod_of_the_trial_alone(shell: Shell) -> None:
    shell.cluster.add(EXPERIMENTS, TEAM, played("study"))
    await shell.settle()
    attempt = AttemptKey(0, 0, 0)
    ours = shell.cluster.one(PODS, TEAM, "study-0-0-0")
    reply = await shell.controller.report(STUDY, attempt, ours, REPORT)
    assert reply is not None
    assert reply.answer is Answer.CONTINUE
    for owners in ((), (owner(TRIALS, "study-0-0", "other"),)):
        forged = somebodys("study-0-0-0", labels("study-0-0"), *owners)
        with pytest.raises(NotAnAttempt):
            await shell.controller.report(STUDY, attempt, forged, REPORT)


async def test_with_jobs_reports_are_taken_from_the_pod_of_the_trials_job_alone(
    fake: FakeCluster,
) -> None:
    shell = Shell(fake, PodSettings(trainer_image="trainer:1", kind="job"))
    fake.add(EXPERIMENTS, TEAM, played("study"))
    await shell.settle()
    attempt, job = AttemptKey(0, 0, 0), uid_of(fake, JOBS, "study-0-0-0")
    ours = fake.one(PODS, TEAM, make_pod(fake, TEAM, "study-0-0-0"))
    assert await shell.controller.report(STUDY, attempt, ours, REPORT) is not None
    for forged in (
        somebodys("evil", labels("study-0-0"), owner(JOBS, "study-0-0-0", "any")),
        somebodys("evil", labels("study-0-0"), owner(JOBS, "study-0-0-0", job, controller=False)),
        somebodys("evil", labels("study-0-0"), owner(TRIALS, "study-0-0", job)),
    ):
        with pytest.raises(NotAnAttempt):
            await shell.controller.report(STUDY, attempt, forged, REPORT)
    shell.close()


async def test_with_jobs_a_pod_with_our_labels_does_not_end_a_trial(fake: FakeCluster) -> None:
    shell = Shell(fake, PodSettings(trainer_image="trainer:1", kind="job"))
    fake.add(EXPERIMENTS, TEAM, played("study"))
    await shell.settle()
    forged = somebodys("evil", labels("study-0-0"), owner(JOBS, "study-0-0-0", "any"))
    fake.add(PODS, TEAM, forged)
    end(fake, TEAM, "evil", message=GOOD)
    await shell.advance(60.0)
    assert not shell.trials("study")[0].status.state.ended

    succeed(fake, TEAM, make_pod(fake, TEAM, "study-0-0-0"), loss=0.5)
    await shell.until(lambda: shell.status("study").phase is Phase.SUCCEEDED)
    assert shell.trials("study")[0].status.values == (0.5,)
    await shell.until(lambda: not fake.all(JOBS))
    assert shell.pods() == ["evil"]
    shell.close()


async def test_the_next_leader_deletes_what_the_last_one_left_and_nothing_else(
    fake: FakeCluster,
) -> None:
    first = Shell(fake)
    fake.add(EXPERIMENTS, TEAM, played("study"))
    await first.settle()
    first.close()
    fake.add(PODS, TEAM, somebodys("study-0-0-5", labels("study-0-0", "5")))
    succeed(fake, TEAM, "study-0-0-0", loss=0.5)

    second = Shell(fake)
    await second.until(lambda: second.status("study").phase is Phase.SUCCEEDED)
    await second.until(lambda: second.pods() == ["study-0-0-5"])
    assert second.trials("study")[0].status.state is TrialState.SUCCEEDED
    second.close()
