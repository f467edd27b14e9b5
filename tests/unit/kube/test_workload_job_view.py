"""What is read from a Job and its pods, queues included."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from scaling_operator.api.names import Reason
from scaling_operator.core.observed import ABSENT, AttemptPhase
from scaling_operator.kube.workloads import job
from scaling_operator.kube.workloads.attempt_spec import GracePeriods

EPOCH = datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp()
CREATED, STARTED = "2026-11-24T12:00:00Z", "2026-11-24T12:05:00Z"
SUSPENDED = {
    "type": "Suspended",
    "status": "True",
    "reason": "JobSuspended",
    "lastTransitionTime": CREATED,
}
DISRUPTED = "Pod team/digits-0-3-0-x7k2p has condition DisruptionTarget matching FailJob rule"


def job_of(
    *conditions: dict[str, Any], suspend: bool | None = None, **status: Any
) -> dict[str, Any]:
    """Write a Job as the API server hands it out."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": "digits-0-3-0",
            "creationTimestamp": CREATED,
            "labels": {"kueue.x-k8s.io/queue-name": "research"},
        },
        "spec": {
            **({} if suspend is None else {"suspend": suspend}),
            "backoffLimit": 0,
            "template": {"metadata": {}, "spec": {"containers": [{"name": "trainer"}]}},
        },
        "status": {**({"conditions": list(conditions)} if conditions else {}), **status},
    }


def failed(reason: str, message: str) -> dict[str, Any]:
    return {"type": "Failed", "status": "True", "reason": reason, "message": message}


def pod_of(state: dict[str, Any], phase: str, **metadata: Any) -> dict[str, Any]:
    """Write a pod of the Job; lists leave the kinds of their items away."""
    return {
        "metadata": {"name": "digits-0-3-0-x7k2p", "creationTimestamp": STARTED, **metadata},
        "spec": {"nodeName": "node-1", "containers": [{"name": "trainer"}]},
        "status": {
            "phase": phase,
            "startTime": STARTED,
            "containerStatuses": [{"name": "trainer", "state": state}],
        },
    }


RUNNING = pod_of({"running": {"startedAt": STARTED}}, "Running")
DELETED = pod_of(
    {"terminated": {"exitCode": 143, "reason": "Error", "finishedAt": "2026-11-24T12:06:00Z"}},
    "Failed",
    deletionTimestamp="2026-11-24T12:06:20Z",
    deletionGracePeriodSeconds=30,
)
DONE = pod_of({"terminated": {"exitCode": 0, "message": '{"value":1}'}}, "Succeeded")
FAILED = pod_of({"terminated": {"exitCode": 1}}, "Failed")
LOST_NODE = pod_of({"running": {"startedAt": STARTED}}, "Unknown")
Row = tuple[str, list[dict[str, Any]], AttemptPhase, Reason | None]
ROWS: tuple[Row, ...] = (
    ("nothing is there", [], AttemptPhase.ABSENT, None),
    ("its controller has not looked yet", [job_of()], AttemptPhase.WAITING, None),
    ("it has no pod yet", [job_of(startTime=STARTED)], AttemptPhase.WAITING, None),
    ("its pod runs", [job_of(startTime=STARTED), RUNNING], AttemptPhase.RUNNING, None),
    ("its pod comes first", [RUNNING, job_of(startTime=STARTED)], AttemptPhase.RUNNING, None),
    ("its pod has ended", [job_of(startTime=STARTED), DONE], AttemptPhase.EXITED, None),
    ("its pod has failed", [job_of(startTime=STARTED), FAILED], AttemptPhase.EXITED, None),
    ("the Job is gone, the pod not yet", [RUNNING], AttemptPhase.RUNNING, None),
    (
        "queued, and nobody has looked yet",
        [job_of(suspend=True)],
        AttemptPhase.WAITING,
        Reason.QUOTA_EXCEEDED,
    ),
    ("queued", [job_of(SUSPENDED, suspend=True)], AttemptPhase.WAITING, Reason.QUOTA_EXCEEDED),
    ("admitted", [job_of(SUSPENDED, suspend=False)], AttemptPhase.WAITING, None),
    (
        "its queue takes the machine back, its pod still runs",
        [job_of(suspend=True, startTime=STARTED), RUNNING],
        AttemptPhase.LOST,
        Reason.PREEMPTED,
    ),
    (
        "its queue has taken the machine back, its pod has ended",
        [job_of(SUSPENDED, suspend=True), DELETED],
        AttemptPhase.LOST,
        Reason.PREEMPTED,
    ),
    (
        "its queue has taken the machine back, its pod is gone",
        [job_of(SUSPENDED, suspend=True, startTime=STARTED)],
        AttemptPhase.LOST,
        Reason.PREEMPTED,
    ),
    (
        "its queue takes back the machine of a pod that has ended well",
        [job_of(suspend=True, startTime=STARTED), DONE],
        AttemptPhase.EXITED,
        None,
    ),
    (
        "its queue takes back the machine of a node that is lost",
        [job_of(suspend=True, startTime=STARTED), LOST_NODE],
        AttemptPhase.LOST,
        Reason.NODE_LOST,
    ),
    (
        "its pod was deleted by hand",
        [job_of(startTime=STARTED), DELETED],
        AttemptPhase.LOST,
        Reason.POD_DELETED,
    ),
    (
        "it has failed, and its pod is gone",
        [job_of(failed("BackoffLimitExceeded", "Job has reached the specified backoff limit"))],
        AttemptPhase.LOST,
        Reason.POD_DELETED,
    ),
    (
        "it has failed by a disruption, and its pod is gone",
        [job_of(failed("PodFailurePolicy", DISRUPTED))],
        AttemptPhase.LOST,
        Reason.EVICTED,
    ),
    (
        "it is complete, and the result went with its pod",
        [job_of({"type": "Complete", "status": "True"})],
        AttemptPhase.LOST,
        Reason.POD_DELETED,
    ),
)


@pytest.mark.parametrize(
    ("objects", "phase", "reason"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)
def test_what_a_job_and_its_pods_say(
    objects: list[dict[str, Any]], phase: AttemptPhase, reason: Reason | None
) -> None:
    view = job.observe(objects, GracePeriods(), EPOCH + 400)

    assert (view.phase, view.reason) == (phase, reason)
    if phase is AttemptPhase.ABSENT:
        assert view is ABSENT
    if phase is AttemptPhase.LOST or reason is Reason.QUOTA_EXCEEDED:
        assert view.message


def test_a_queue_is_waited_for_since_the_job_was_made_and_a_node_since_its_pod_was() -> None:
    pending = pod_of({"waiting": {"reason": "ContainerCreating"}}, "Pending")

    queued = job.observe([job_of(suspend=True)], GracePeriods(), EPOCH + 400)
    placed = job.observe([job_of(suspend=False), pending], GracePeriods(), EPOCH + 400)

    assert "research has not admitted it" in queued.message
    assert queued.since_seconds == EPOCH
    assert placed.since_seconds == EPOCH + 300
