"""The kind for queues: an attempt is one Job, which Kueue may hold back or preempt.

The operator repeats attempts, so the Job never creates a second pod by itself: `backoffLimit` is 0,
and a disruption fails the Job. With a queue the Job is created suspended, and only the queue
resumes it. The operator requests neither partial admission nor elastic jobs: both change what runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from scaling_operator.api.names import Reason
from scaling_operator.core.observed import AttemptPhase, AttemptView
from scaling_operator.kube.workloads import pod
from scaling_operator.kube.workloads.attempt_spec import AttemptSpec, GracePeriods
from scaling_operator.kube.workloads.identity import attempt_labels
from scaling_operator.kube.workloads.pod_template import metadata, pod_spec
from scaling_operator.kube.workloads.pod_view import RESULT_LOST
from scaling_operator.kube.workloads.untrusted import (
    Json,
    condition,
    mapping,
    text,
    timestamp,
    value,
)

QUEUE_LABEL = "kueue.x-k8s.io/queue-name"


def manifest(attempt_spec: AttemptSpec) -> dict[str, Any]:
    """Write the Job of an attempt. Raises InvalidSpec where the platform does not allow it."""
    job_metadata = metadata(attempt_spec)
    queue = attempt_spec.settings.queue
    if queue is not None:
        job_metadata["labels"] = {**job_metadata["labels"], QUEUE_LABEL: queue}
    disruption = {"type": "DisruptionTarget", "status": "True"}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": job_metadata,
        "spec": {
            "completions": 1,
            "parallelism": 1,
            "backoffLimit": 0,
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {
                "rules": [{"action": "FailJob", "onPodConditions": [disruption]}],
            },
            **({"suspend": True} if queue is not None else {}),
            "template": {
                "metadata": {"labels": attempt_labels(attempt_spec.experiment, attempt_spec.key)},
                "spec": pod_spec(attempt_spec),
            },
        },
    }


def observe(objects: Sequence[Json], grace: GracePeriods, now_seconds: float) -> AttemptView:
    """View an attempt by its Job and the Job's pods. Never raises."""
    jobs = [object_ for object_ in objects if value(object_, "spec", "template") is not None]
    pods = [object_ for object_ in objects if value(object_, "spec", "template") is None]
    view = pod.observe(pods, grace, now_seconds)
    if not jobs:
        return view
    if value(jobs[0], "spec", "suspend") is True:
        return _suspended(jobs[0], view, now_seconds)
    return view if pods else _without_pods(jobs[0], now_seconds)


def _suspended(job: Json, view: AttemptView, now_seconds: float) -> AttemptView:
    """View a suspended Job: it waits for its queue, or the queue has preempted it."""
    if view.phase is AttemptPhase.EXITED:
        return view
    if view.phase is AttemptPhase.LOST and view.reason is not Reason.POD_DELETED:
        return view
    queue = text(job, "metadata", "labels", QUEUE_LABEL) or "its queue"
    if view.phase is AttemptPhase.ABSENT and timestamp(job, "status", "startTime") is None:
        return AttemptView(
            AttemptPhase.WAITING,
            Reason.QUOTA_EXCEEDED,
            f"queued: {queue} has not admitted it",
            since_seconds=_created(job, now_seconds),
        )
    return AttemptView(
        AttemptPhase.LOST,
        Reason.PREEMPTED,
        f"{queue} has taken its machine back",
        since_seconds=now_seconds,
    )


def _without_pods(job: Json, now_seconds: float) -> AttemptView:
    """View a Job without a pod: it has none yet, or none any more."""
    failed, complete = condition(job, "Failed"), condition(job, "Complete")
    if failed.get("status") == "True":
        reason = Reason.EVICTED if _names_disruption(failed) else Reason.POD_DELETED
        message = f"the Job has failed and its pod is gone: {text(failed, 'message')}"
        return AttemptView(AttemptPhase.LOST, reason, message, since_seconds=now_seconds)
    if complete.get("status") == "True":
        return replace(RESULT_LOST, since_seconds=now_seconds)
    return AttemptView(
        AttemptPhase.WAITING,
        message="its Job has made no pod yet",
        since_seconds=_admitted(job, now_seconds),
    )


def _names_disruption(failed: Json) -> bool:
    return "DisruptionTarget" in text(failed, "message")


def _admitted(job: Json, now_seconds: float) -> float:
    """When a Job was resumed: until then it has waited for its queue."""
    started = timestamp(job, "status", "startTime")
    return _created(job, now_seconds) if started is None else started


def _created(job: Json, now_seconds: float) -> float:
    created = timestamp(mapping(job, "metadata"), "creationTimestamp")
    return now_seconds if created is None else created
