"""What is read from a pod, in words of the kubelet, the scheduler and the controllers."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_operator.api.names import Reason
from scaling_operator.core.observed import ABSENT, AttemptPhase, AttemptView
from scaling_operator.kube.workloads import job, pod
from scaling_operator.kube.workloads.attempt_spec import GracePeriods
from scaling_trainer.foreign_text import as_message

BOUNDS = GracePeriods(
    image_pull_grace_seconds=120, config_error_grace_seconds=30, deletion_grace_seconds=60
)
EPOCH = datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp()
GOOD = '{"v":1,"metrics":{"val_loss":0.25},"steps":3}'
Pod = dict[str, Any]


def at(second: int) -> str:
    """Write the time so many seconds after the pod was made, as the API server does."""
    return datetime.fromtimestamp(EPOCH + second, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def pod_of(**status: Any) -> Pod:
    """Write a pod as the API server hands it out; made at second 0, taken by its node at 5."""
    scheduled = {
        "type": "PodScheduled",
        "status": "True",
        "lastProbeTime": None,
        "lastTransitionTime": at(5),
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "digits-0-3-0",
            "namespace": "team",
            "uid": "0b7c2c0e-5bb7-44a6-9a3d-9a0c7f1d9a10",
            "resourceVersion": "812",
            "creationTimestamp": at(0),
            "labels": {"scaling-operator.dev/trial": "digits-0-3"},
        },
        "spec": {
            "nodeName": "node-1",
            "containers": [{"name": "trainer", "image": "me/train:1"}],
            "restartPolicy": "Never",
        },
        "status": {
            "phase": "Pending",
            "qosClass": "Burstable",
            "startTime": at(5),
            "conditions": [scheduled],
            **status,
        },
    }


def container(state: Mapping[str, Any], name: str = "trainer") -> dict[str, Any]:
    return {
        "name": name,
        "image": "me/train:1",
        "imageID": "",
        "ready": False,
        "restartCount": 0,
        "started": False,
        "state": state,
    }


def waiting(reason: str, message: str = "") -> Pod:
    state = {"waiting": {"reason": reason, **({"message": message} if message else {})}}
    return pod_of(containerStatuses=[container(state)])


def running(**status: Any) -> Pod:
    state = {"running": {"startedAt": at(10)}}
    return pod_of(phase="Running", containerStatuses=[container(state)], **status)


def ended(code: int, said: str = "", word: str = "", **status: Any) -> Pod:
    """Write a pod whose container has ended at second 60; `status` is the pod's own."""
    state = {
        "exitCode": code,
        "reason": word or ("Completed" if code == 0 else "Error"),
        "startedAt": at(10),
        "finishedAt": at(60),
        "containerID": "containerd://5f1",
        **({"message": said} if said else {}),
    }
    phase = "Succeeded" if code == 0 else "Failed"
    return pod_of(
        **{"phase": phase, "containerStatuses": [container({"terminated": state})], **status}
    )


def disrupted(document: Pod, reason: str, second: int = 50, message: str = "") -> Pod:
    condition = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": reason,
        "message": message,
        "lastTransitionTime": at(second),
    }
    document["status"]["conditions"].append(condition)
    return document


def deleted(document: Pod, second: int = 50, grace: int = 30) -> Pod:
    """Ask for the deletion at a second; the object names the time when it has to be gone."""
    document["metadata"] |= {
        "deletionTimestamp": at(second + grace),
        "deletionGracePeriodSeconds": grace,
    }
    return document


def unplaced(reason: str, message: str, **spec: Any) -> Pod:
    document = pod_of(
        conditions=[
            {
                "type": "PodScheduled",
                "status": "False",
                "reason": reason,
                "message": message,
                "lastTransitionTime": at(1),
            }
        ]
    )
    del document["spec"]["nodeName"], document["status"]["startTime"]
    document["spec"] |= spec
    return document


def refused(reason: str, message: str) -> Pod:
    return pod_of(phase="Failed", reason=reason, message=message)


def look(document: Pod, second: float) -> AttemptView:
    return pod.observe([document], BOUNDS, EPOCH + second)


NO_ROOM = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
BACK_OFF = 'Back-off pulling image "me/train:1": ErrImagePull: not found'
NO_SECRET = 'secret "hub" not found'
ROOT = "container has runAsNonRoot and image will run as root"
WAITS = [
    pytest.param(pod_of(), 9, None, "", id="no node has said anything yet"),
    pytest.param(waiting("ContainerCreating"), 900, None, "ContainerCreating", id="it is made"),
    pytest.param(
        waiting("ErrImagePull", "not found"), 100, None, "not found", id="a pull may be repeated"
    ),
    pytest.param(
        waiting("ErrImagePull", "not found"),
        125,
        Reason.IMAGE_PULL_FAILED,
        "ErrImagePull: not found",
        id="a pull that fails, after the grace",
    ),
    pytest.param(
        waiting("ImagePullBackOff", BACK_OFF),
        125,
        Reason.IMAGE_PULL_FAILED,
        BACK_OFF,
        id="a pull that fails again and again",
    ),
    pytest.param(
        waiting("RegistryUnavailable"),
        125,
        Reason.IMAGE_PULL_FAILED,
        "RegistryUnavailable",
        id="a registry that is away for long",
    ),
    pytest.param(
        waiting("InvalidImageName", "couldn't parse image name"),
        6,
        Reason.IMAGE_PULL_FAILED,
        "couldn't parse",
        id="a name that is no image's gets no better",
    ),
    pytest.param(
        waiting("ErrImageNeverPull"),
        6,
        Reason.IMAGE_PULL_FAILED,
        "ErrImageNeverPull",
        id="an image that is not there and may not be pulled",
    ),
    pytest.param(
        waiting("CreateContainerConfigError", NO_SECRET),
        20,
        None,
        NO_SECRET,
        id="a Secret may be on its way",
    ),
    pytest.param(
        waiting("CreateContainerConfigError", NO_SECRET),
        35,
        Reason.CONFIG_ERROR,
        NO_SECRET,
        id="a Secret that does not come",
    ),
    pytest.param(
        waiting("CreateContainerConfigError", ROOT),
        35,
        Reason.CONFIG_ERROR,
        ROOT,
        id="an image of root's",
    ),
    pytest.param(
        waiting("CreateContainerError", "context deadline exceeded"),
        35,
        Reason.CONFIG_ERROR,
        "context deadline",
        id="a container that cannot be made",
    ),
    pytest.param(
        waiting("RunContainerError"), 35, Reason.CONFIG_ERROR, "Run", id="one that cannot be run"
    ),
    pytest.param(
        pod_of(
            containerStatuses=[container({"waiting": {"reason": "PodInitializing"}})],
            initContainerStatuses=[
                container({"waiting": {"reason": "ImagePullBackOff", "message": "x"}}, "mesh")
            ],
        ),
        125,
        Reason.IMAGE_PULL_FAILED,
        "ImagePullBackOff: x",
        id="a container that the cluster has added cannot be pulled",
    ),
    pytest.param(
        unplaced("Unschedulable", NO_ROOM),
        2,
        Reason.UNSCHEDULABLE,
        NO_ROOM,
        id="no node has room: the scheduler's own words",
    ),
    pytest.param(
        unplaced("Unschedulable", 'persistentvolumeclaim "data" not found'),
        2,
        Reason.UNSCHEDULABLE,
        "persistentvolumeclaim",
        id="a claim that there is not",
    ),
    pytest.param(
        unplaced(
            "SchedulingGated",
            "Scheduling is blocked due to non-empty scheduling gates",
            schedulingGates=[{"name": "kueue.x-k8s.io/admission"}],
        ),
        2,
        Reason.QUOTA_EXCEEDED,
        "kueue.x-k8s.io/admission",
        id="a gate holds it back: queued",
    ),
    pytest.param(
        deleted(waiting("ContainerCreating"), second=20), 30, None, "", id="deleted, in its grace"
    ),
]


@pytest.mark.parametrize(("document", "second", "reason", "words"), WAITS)
def test_an_attempt_waits(document: Pod, second: int, reason: Reason | None, words: str) -> None:
    view = look(document, second)

    assert (view.phase, view.reason) == (AttemptPhase.WAITING, reason)
    assert words in view.message
    assert view.since_seconds == EPOCH, "a wait is counted from the creation on"


RUNS = [
    pytest.param(running(), 99_999, id="for as long as it runs; its bound is the core's affair"),
    pytest.param(deleted(running()), 70, id="deleted, in its grace: it may still end well"),
    pytest.param(deleted(running()), 139, id="deleted, overdue by less than the bound"),
    pytest.param(disrupted(running(), "PreemptionByScheduler"), 60, id="about to be preempted"),
]


@pytest.mark.parametrize(("document", "second"), RUNS)
def test_an_attempt_runs_since_its_container_started(document: Pod, second: int) -> None:
    view = replace(look(document, second), changes_at_seconds=None)
    assert view == AttemptView(AttemptPhase.RUNNING, since_seconds=EPOCH + 10)


GRACES = [
    pytest.param(running(), None, id="what runs is the core's affair"),
    pytest.param(waiting("ContainerCreating"), None, id="nothing is wrong"),
    pytest.param(waiting("ErrImagePull"), 125, id="a registry gets time from the node's take on"),
    pytest.param(waiting("CreateContainerConfigError"), 35, id="so does a Secret on its way"),
    pytest.param(deleted(running()), 140, id="a deletion is overdue a grace after its time"),
]


@pytest.mark.parametrize(("document", "second"), GRACES)
def test_a_grace_ends_at_a_time_at_which_one_must_look_again(
    document: Pod, second: int | None
) -> None:
    view = look(document, 10)

    assert view.changes_at_seconds == (None if second is None else EPOCH + second)
    if second is not None:
        after = look(document, second)
        assert after.changes_at_seconds is None
        assert after.reason is not None


def test_a_pod_that_runs_without_word_of_its_container_runs_since_its_node_took_it() -> None:
    view = look(pod_of(phase="Running"), 30)

    assert view == AttemptView(AttemptPhase.RUNNING, since_seconds=EPOCH + 5)


SUCCESSES = [
    pytest.param(ended(0, GOOD), id="exit 0 with a result"),
    pytest.param(ended(0, f"{GOOD}\n"), id="written by echo"),
    pytest.param(deleted(ended(0, GOOD)), id="though it was deleted"),
    pytest.param(disrupted(ended(0, GOOD), "EvictionByEvictionAPI"), id="though it was evicted"),
    pytest.param(
        ended(0, GOOD, phase="Failed", reason="Evicted", message="low on memory"),
        id="though its node had no memory left",
    ),
    pytest.param(
        ended(0, GOOD, phase="Failed", reason="DeadlineExceeded"), id="in its last second"
    ),
    pytest.param(ended(0, GOOD, phase="Running"), id="though a container beside it still runs"),
    pytest.param(ended(0, GOOD, word="OOMKilled"), id="though a child was killed for memory"),
]


@pytest.mark.parametrize("document", SUCCESSES)
def test_a_program_that_ended_well_counts_whatever_befell_its_pod(document: Pod) -> None:
    view = look(document, 99_999)

    assert (view.phase, view.exit_code, view.reason) == (AttemptPhase.EXITED, 0, None)
    assert view.result is not None
    assert view.result.metrics == {"val_loss": 0.25}
    assert view.result.steps == 3
    assert view.since_seconds == EPOCH + 60


NOT_FOUND = 'exec: "trian.py": executable file not found in $PATH'
ENDS = [
    pytest.param(ended(0), None, 0, "", id="exit 0 and nothing else: no result"),
    pytest.param(ended(1), None, 1, "", id="a plain failure: the exit code says it"),
    pytest.param(ended(1, "KeyError: 'x'"), None, 1, "KeyError", id="its last words are kept"),
    pytest.param(ended(86), None, 86, "", id="accelerator memory, by exit code"),
    pytest.param(ended(87), None, 87, "", id="diverged, by exit code"),
    pytest.param(
        ended(137, word="OOMKilled"),
        Reason.OOM_KILLED,
        137,
        "more memory than its limit",
        id="killed by the kernel for memory",
    ),
    pytest.param(
        ended(1, word="OOMKilled"),
        Reason.OOM_KILLED,
        1,
        "limit",
        id="a child was killed for memory, and the program gave up",
    ),
    pytest.param(ended(87, word="OOMKilled"), None, 87, "", id="diverged, and a child was killed"),
    pytest.param(ended(137), None, 137, "", id="137 alone proves nothing"),
    pytest.param(
        ended(1, "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB"),
        Reason.ACCELERATOR_OOM,
        1,
        "Tried to allocate",
        id="accelerator memory, by the program's words",
    ),
    pytest.param(
        ended(128, NOT_FOUND, word="StartError"),
        Reason.CONFIG_ERROR,
        128,
        NOT_FOUND,
        id="a command that there is not",
    ),
    pytest.param(
        ended(127, word="ContainerCannotRun"),
        Reason.CONFIG_ERROR,
        127,
        "ContainerCannotRun",
        id="a container that cannot run",
    ),
    pytest.param(
        ended(137, phase="Failed", reason="DeadlineExceeded", message="Pod was active too long"),
        Reason.TIMED_OUT,
        None,
        "too long",
        id="the backstop has ended it",
    ),
    pytest.param(
        ended(0, phase="Failed", reason="DeadlineExceeded", message="Pod was active too long"),
        Reason.TIMED_OUT,
        None,
        "too long",
        id="the backstop has ended it, and it went quietly",
    ),
    pytest.param(
        pod_of(phase="Failed", reason="DeadlineExceeded", message="Pod was active too long"),
        Reason.TIMED_OUT,
        None,
        "too long",
        id="the backstop has ended it before it ran",
    ),
    pytest.param(
        deleted(ended(1), second=61), None, 1, "", id="it had failed before it was deleted"
    ),
    pytest.param(
        disrupted(ended(137, word="OOMKilled"), "EvictionByEvictionAPI", second=61),
        Reason.OOM_KILLED,
        137,
        "limit",
        id="it was out of memory before it was evicted",
    ),
]


@pytest.mark.parametrize(("document", "reason", "code", "words"), ENDS)
def test_an_attempt_ends_by_itself(
    document: Pod, reason: Reason | None, code: int | None, words: str
) -> None:
    view = look(document, 99_999)

    assert (view.phase, view.reason, view.exit_code) == (AttemptPhase.EXITED, reason, code)
    assert words in view.message
    assert view.result is None
    assert view.since_seconds < EPOCH + 99_999, "its bounds count from what the cluster says"


BAD_RESULTS = [
    pytest.param("0.93", "not a JSON object", id="a bare number"),
    pytest.param("done!", "not JSON", id="words"),
    pytest.param('{"v":1,"metrics":{"val_loss":0.2', "not JSON", id="cut off"),
    pytest.param('{"v":1,"value":NaN}', "not a finite number", id="not a number"),
    pytest.param('{"v":2,"value":1}', "version v=2", id="of another version"),
    pytest.param("\ud800", "not JSON", id="half a character"),
    pytest.param("x" * 5000, "5000 bytes", id="too long"),
]


@pytest.mark.parametrize(("message", "problem"), BAD_RESULTS)
def test_a_result_that_is_none_is_a_problem_with_exit_0_and_the_last_words_else(
    message: str, problem: str
) -> None:
    fine, failed = look(ended(0, message), 99), look(ended(1, message), 99)

    assert problem in (fine.result_problem or "")
    assert (fine.phase, fine.exit_code, fine.result) == (AttemptPhase.EXITED, 0, None)
    assert failed.result_problem is None
    assert failed.message == as_message(message)


def test_a_failed_program_may_leave_a_result_that_says_why() -> None:
    view = look(ended(1, '{"v":1,"reason":"AcceleratorOOM","peakDeviceBytes":8e10}'), 99)

    assert view.result is not None
    assert (view.result.reason, view.result.peak_device_bytes) == ("AcceleratorOOM", 8e10)
    assert view.message == ""


PREEMPTED = "default-scheduler: preempting to accommodate a higher priority pod"
LOSSES = [
    pytest.param(
        disrupted(ended(143), "PreemptionByScheduler", message=PREEMPTED),
        Reason.PREEMPTED,
        PREEMPTED,
        id="preempted by the scheduler",
    ),
    pytest.param(
        disrupted(ended(137), "DeletionByTaintManager"),
        Reason.NODE_LOST,
        "DeletionByTaintManager",
        id="its node did not answer",
    ),
    pytest.param(disrupted(ended(143), "EvictionByEvictionAPI"), Reason.EVICTED, "", id="drained"),
    pytest.param(
        disrupted(pod_of(phase="Failed"), "DeletionByPodGC"),
        Reason.NODE_LOST,
        "",
        id="its node is gone",
    ),
    pytest.param(
        disrupted(
            ended(
                137,
                phase="Failed",
                reason="Evicted",
                message="The node was low on resource: memory",
            ),
            "TerminationByKubelet",
        ),
        Reason.EVICTED,
        "low on resource",
        id="its node had no memory left",
    ),
    pytest.param(
        refused("Evicted", "The node had condition: [DiskPressure]."),
        Reason.EVICTED,
        "DiskPressure",
        id="evicted before it ran",
    ),
    pytest.param(
        disrupted(
            ended(137, phase="Failed", reason="Preempting", message="to admit critical pod"),
            "TerminationByKubelet",
        ),
        Reason.PREEMPTED,
        "critical pod",
        id="its node made room for a critical pod",
    ),
    pytest.param(
        disrupted(
            ended(
                143,
                phase="Failed",
                reason="Terminated",
                message="Pod was terminated in response to imminent node shutdown.",
            ),
            "TerminationByKubelet",
        ),
        Reason.NODE_LOST,
        "imminent node shutdown",
        id="its node was shut down",
    ),
    pytest.param(
        refused("NodeShutdown", "Pod was rejected as the node is shutting down."),
        Reason.NODE_LOST,
        "rejected",
        id="its node was about to shut down",
    ),
    pytest.param(
        refused("OutOfnvidia.com/gpu", "Node didn't have enough resource: nvidia.com/gpu"),
        Reason.EVICTED,
        "OutOfnvidia.com/gpu: Node didn't have enough",
        id="its node has no room after all",
    ),
    pytest.param(
        refused("UnexpectedAdmissionError", "Allocate failed due to no healthy devices"),
        Reason.EVICTED,
        "no healthy devices",
        id="its node's devices are sick",
    ),
    pytest.param(
        ended(137, "The container could not be located", word="ContainerStatusUnknown"),
        Reason.NODE_LOST,
        "could not be located",
        id="its node does not know the container any more",
    ),
    pytest.param(
        ended(255, word="Unknown"), Reason.NODE_LOST, "lost the container", id="a node restarted"
    ),
    pytest.param(
        pod_of(phase="Unknown"), Reason.NODE_LOST, "unknown", id="its node says nothing any more"
    ),
    pytest.param(
        disrupted(ended(143), "SomethingNew"), Reason.EVICTED, "SomethingNew", id="a new disruption"
    ),
    pytest.param(
        deleted(ended(143)), Reason.POD_DELETED, "was deleted", id="deleted by hand, as it ran"
    ),
    pytest.param(
        deleted(ended(0)), Reason.POD_DELETED, "was deleted", id="deleted, and it went quietly"
    ),
    pytest.param(
        deleted(ended(0, '{"v":1,"met')), Reason.POD_DELETED, "", id="deleted as it wrote"
    ),
    pytest.param(
        deleted(running()), Reason.NODE_LOST, "its node node-1 does not confirm", id="overdue"
    ),
    pytest.param(
        disrupted(deleted(running()), "PreemptionByScheduler"),
        Reason.PREEMPTED,
        "does not confirm",
        id="overdue after a preemption",
    ),
    pytest.param(
        deleted(unplaced("Unschedulable", NO_ROOM)),
        Reason.POD_DELETED,
        "before it had a node",
        id="overdue without a node: a finalizer holds it",
    ),
]


@pytest.mark.parametrize(("document", "reason", "words"), LOSSES)
def test_an_attempt_is_lost_through_no_fault_of_its_own(
    document: Pod, reason: Reason, words: str
) -> None:
    view = look(document, 99_999)

    assert (view.phase, view.reason) == (AttemptPhase.LOST, reason)
    assert words in view.message
    assert view.message, "each loss says how"


def test_a_pod_that_ended_without_a_word_has_no_result_and_is_not_waited_for() -> None:
    view = look(pod_of(phase="Succeeded"), 99_999)

    assert (view.phase, view.exit_code, view.result) == (AttemptPhase.EXITED, 0, None)
    assert view.since_seconds == EPOCH + 5


def test_of_two_pods_the_newer_one_counts() -> None:
    older = ended(0, GOOD)
    newer = running()
    newer["metadata"]["creationTimestamp"] = at(100)

    assert pod.observe([newer, older], BOUNDS, EPOCH + 110).phase is AttemptPhase.RUNNING
    assert pod.observe([older, newer], BOUNDS, EPOCH + 110).phase is AttemptPhase.RUNNING


def test_no_pod_is_absent() -> None:
    assert pod.observe([], BOUNDS, EPOCH) is ABSENT


# Every row above, and Jobs, taken to pieces.
EVERY: list[Pod] = [
    cast("Pod", row.values[0]) for rows in (WAITS, RUNS, SUCCESSES, ENDS, LOSSES) for row in rows
]
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        children = list(cast("dict[Any, Any]", value).items())
    elif isinstance(value, list):
        children = list(enumerate(cast("list[Any]", value)))
    return [path, *(place for key, child in children for place in places(child, (*path, key)))]


@st.composite
def spoilt(draw: st.DrawFn) -> Any:
    document: Any = copy.deepcopy(draw(st.sampled_from(EVERY)))
    for _ in range(draw(st.integers(1, 4))):
        path = draw(st.sampled_from(places(document)))
        junk = draw(JUNK)
        if not path:
            return junk if isinstance(junk, dict) else {}
        at: Any = document
        for step in path[:-1]:
            at = at[step]
        at[path[-1]] = junk
    return document


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(spoilt(), st.lists(JUNK.filter(lambda junk: isinstance(junk, dict)), max_size=2))
def test_nothing_that_an_api_server_could_send_raises(document: Any, documents: list[Any]) -> None:
    for kind in (pod, job):
        for objects in (
            [document],
            [document, *documents],
            [{"spec": {"template": document}}, document],
        ):
            view = kind.observe(objects, BOUNDS, EPOCH + 100)

            assert isinstance(view, AttemptView)
            assert isinstance(view.message, str)
