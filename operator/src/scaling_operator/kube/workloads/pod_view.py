"""The view of an attempt by its pod: a total function of whatever the API server sends.

In this order: a program that ended well counts, whatever happened to its pod afterwards; else an
interruption takes precedence over the exit code, which it caused; else the exit code counts. A pod
that has not ended waits or runs, unless its deletion is long overdue.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from scaling_operator.api.names import Reason
from scaling_operator.core.observed import AttemptPhase, AttemptView
from scaling_operator.kube.workloads.attempt_spec import GracePeriods
from scaling_operator.kube.workloads.pod_template import CONTAINER
from scaling_operator.kube.workloads.untrusted import (
    Json,
    condition,
    mapping,
    mappings,
    text,
    timestamp,
    value,
    whole,
)
from scaling_trainer.contract import (
    EXIT_ACCELERATOR_OOM,
    EXIT_DATA_ERROR,
    EXIT_DIVERGED,
    EXIT_NO_SPACE,
)
from scaling_trainer.foreign_text import as_message
from scaling_trainer.results import Result, ResultError, parse_result


@dataclass(frozen=True, slots=True)
class ObservedPod:
    """A pod, the grace periods for its problems, and the time of the observation."""

    pod: Json
    grace: GracePeriods
    now_seconds: float

    @property
    def created_seconds(self) -> float:
        """When the pod was created."""
        created = timestamp(self.pod, "metadata", "creationTimestamp")
        return self.now_seconds if created is None else created

    @property
    def started_seconds(self) -> float:
        """When its node took the pod, and pulling its images began."""
        taken = timestamp(self.pod, "status", "startTime")
        return self.created_seconds if taken is None else taken

    @property
    def state(self) -> Json:
        """State of the trainer's container: waiting, running or terminated."""
        for status in mappings(self.pod, "status", "containerStatuses"):
            if status.get("name") == CONTAINER:
                return mapping(status, "state")
        return {}


def view_of_pod(observed: ObservedPod) -> AttemptView:
    """View the attempt. Never raises."""
    terminated = value(observed.state, "terminated")
    if terminated is not None:
        return ended_view(observed.pod, mapping(terminated), observed.started_seconds)
    phase = text(observed.pod, "status", "phase")
    if phase in ("Failed", "Succeeded", "Unknown"):
        return _ended_without_container(observed, phase)
    if _is_deletion_overdue(observed):
        return _undeletable(observed)
    return replace(_unfinished(observed, phase), changes_at_seconds=_grace_ends(observed))


def _unfinished(observed: ObservedPod, phase: str) -> AttemptView:
    running = value(observed.state, "running")
    if running is not None or (phase == "Running" and not observed.state):
        started = timestamp(running, "startedAt")
        since = observed.started_seconds if started is None else started
        return AttemptView(AttemptPhase.RUNNING, since_seconds=since)
    return _waiting(observed)


def _grace_ends(observed: ObservedPod) -> float | None:
    """When the next grace period ends, if nothing happens until then."""
    due = timestamp(observed.pod, "metadata", "deletionTimestamp")
    ends = [] if due is None else [due + observed.grace.deletion_grace_seconds]
    for status in _container_statuses(observed.pod):
        reason = text(status, "state", "waiting", "reason")
        if reason in PULL_FAILING:
            ends.append(observed.started_seconds + observed.grace.image_pull_grace_seconds)
        if reason in CONFIG_FAILING:
            ends.append(observed.started_seconds + observed.grace.config_error_grace_seconds)
    return min((end for end in ends if end > observed.now_seconds), default=None)


def _ended_without_container(observed: ObservedPod, phase: str) -> AttemptView:
    """View a pod that has ended and whose status lacks the trainer's container."""
    since = observed.started_seconds
    message = text(observed.pod, "status", "message")
    reason = text(observed.pod, "status", "reason")
    if phase == "Succeeded":
        return AttemptView(AttemptPhase.EXITED, exit_code=0, since_seconds=since)
    if phase == "Unknown":
        return AttemptView(
            AttemptPhase.LOST,
            Reason.NODE_LOST,
            message or "the pod's state is unknown: its node does not answer",
            since_seconds=since,
        )
    if reason == DEADLINE_EXCEEDED:
        return AttemptView(
            AttemptPhase.EXITED, Reason.TIMED_OUT, message or reason, since_seconds=since
        )
    interruption = interruption_of(observed.pod, {})
    if interruption is None:
        # The kubelet has no room after all: OutOfcpu, OutOfmemory, UnexpectedAdmissionError.
        explanation = ": ".join(part for part in (reason, message) if part)
        interruption = (
            Reason.EVICTED,
            f"its node did not run it: {explanation or 'no reason given'}",
        )
    return AttemptView(AttemptPhase.LOST, *interruption, since_seconds=since)


def _is_deletion_overdue(observed: ObservedPod) -> bool:
    due = timestamp(observed.pod, "metadata", "deletionTimestamp")
    return due is not None and observed.now_seconds >= due + observed.grace.deletion_grace_seconds


def _undeletable(observed: ObservedPod) -> AttemptView:
    """View a pod whose deletion is overdue: the kubelet that should end it is gone itself."""
    node = text(observed.pod, "spec", "nodeName")
    reason = Reason.NODE_LOST if node else Reason.POD_DELETED
    disruption = condition(observed.pod, "DisruptionTarget")
    if disruption.get("status") == "True":
        reason = DISRUPTION_REASONS.get(text(disruption, "reason"), reason)
    by_whom = f"and its node {node} does not confirm it" if node else "before it had a node"
    message = f"the pod was deleted, {by_whom}"
    return AttemptView(AttemptPhase.LOST, reason, message, since_seconds=observed.now_seconds)


def _waiting(observed: ObservedPod) -> AttemptView:
    """View a pod that does not run yet; a problem becomes the reason after its grace period."""
    reason, message = _waiting_container(observed)
    if reason is None and not message:
        reason, message = _unscheduled(observed.pod)
    return AttemptView(
        AttemptPhase.WAITING, reason, message, since_seconds=observed.created_seconds
    )


def _waiting_container(observed: ObservedPod) -> tuple[Reason | None, str]:
    """Find why a container of the pod waits on its node, the trainer's container first."""
    waited_seconds = observed.now_seconds - observed.started_seconds
    first = ""
    for status in _container_statuses(observed.pod):
        waiting = mapping(status, "state", "waiting")
        waiting_reason = text(waiting, "reason")
        explanation = ": ".join(part for part in (waiting_reason, text(waiting, "message")) if part)
        first = first or explanation
        reason = _waiting_reason(waiting_reason, waited_seconds, observed.grace)
        if reason is not None:
            return reason, explanation
    return None, first


def _container_statuses(pod: Json) -> list[Json]:
    """Get the statuses of all containers, the trainer's first."""
    statuses = [
        *mappings(pod, "status", "containerStatuses"),
        *mappings(pod, "status", "initContainerStatuses"),
    ]
    return sorted(statuses, key=lambda status: status.get("name") != CONTAINER)


def _waiting_reason(
    waiting_reason: str, waited_seconds: float, grace: GracePeriods
) -> Reason | None:
    if waiting_reason in PULL_REFUSED:
        return Reason.IMAGE_PULL_FAILED
    if waiting_reason in PULL_FAILING and waited_seconds >= grace.image_pull_grace_seconds:
        return Reason.IMAGE_PULL_FAILED
    if waiting_reason in CONFIG_FAILING and waited_seconds >= grace.config_error_grace_seconds:
        return Reason.CONFIG_ERROR
    return None


def _unscheduled(pod: Json) -> tuple[Reason | None, str]:
    """Find why a pod has no node yet."""
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") != "False":
        return None, ""
    message = text(scheduled, "message")
    if text(scheduled, "reason") == "SchedulingGated":
        gates = ", ".join(text(gate, "name") for gate in mappings(pod, "spec", "schedulingGates"))
        return Reason.QUOTA_EXCEEDED, f"held back by its scheduling gates: {gates or message}"
    return Reason.UNSCHEDULABLE, message or "no node has room for it"


Interruption = tuple[Reason, str]
RESULT_LOST = AttemptView(
    AttemptPhase.LOST, Reason.POD_DELETED, "the pod was gone before its result was read"
)
"""The view of an attempt whose result was lost with its pod."""

_UNKNOWN_EXIT = 255
_EXITS_WITH_MEANING = (EXIT_ACCELERATOR_OOM, EXIT_DIVERGED, EXIT_DATA_ERROR, EXIT_NO_SPACE)


def ended_view(pod: Json, terminated: Json, taken_seconds: float) -> AttemptView:
    """View an attempt whose program has ended, in a pod that its node took at `taken_seconds`."""
    exit_code = whole(terminated, "exitCode")
    termination_message = text(terminated, "message").strip()
    result, problem = _read(termination_message)
    finished = timestamp(terminated, "finishedAt")
    since = taken_seconds if finished is None else finished
    succeeded = exit_code == 0 and result is not None
    interruption = None if succeeded else interruption_of(pod, terminated)
    if interruption is not None:
        return AttemptView(AttemptPhase.LOST, *interruption, exit_code, since_seconds=since)
    if not succeeded and text(pod, "status", "reason") == DEADLINE_EXCEEDED:
        message = text(pod, "status", "message") or "the pod lived longer than it may"
        return AttemptView(AttemptPhase.EXITED, Reason.TIMED_OUT, message, since_seconds=since)
    if exit_code == 0:
        return AttemptView(
            AttemptPhase.EXITED,
            exit_code=0,
            result=result,
            result_problem=problem,
            since_seconds=since,
        )
    reason, message = _failure(terminated, termination_message if result is None else "")
    return AttemptView(
        AttemptPhase.EXITED, reason, as_message(message), exit_code, result, since_seconds=since
    )


def interruption_of(pod: Json, terminated: Json) -> Interruption | None:
    """Find what ended the pod from outside; None where nothing did, or the program ended first."""
    finished = timestamp(terminated, "finishedAt")
    return (
        _lost_container(terminated)
        or _ended_pod(pod)
        or _disrupted(pod, finished)
        or _deleted(pod, finished)
    )


def _lost_container(terminated: Json) -> Interruption | None:
    reason = text(terminated, "reason")
    has_gone = reason == "ContainerStatusUnknown"
    # containerd reports so for containers that ran when the node went down.
    restarted = reason == "Unknown" and whole(terminated, "exitCode") == _UNKNOWN_EXIT
    if not (has_gone or restarted):
        return None
    return Reason.NODE_LOST, text(terminated, "message") or "its node has lost the container"


def _ended_pod(pod: Json) -> Interruption | None:
    reason = text(pod, "status", "reason")
    known_reason = POD_REASONS.get(reason)
    return (
        None if known_reason is None else (known_reason, text(pod, "status", "message") or reason)
    )


def _disrupted(pod: Json, finished: float | None) -> Interruption | None:
    disruption = condition(pod, "DisruptionTarget")
    if disruption.get("status") != "True":
        return None
    if _was_before(finished, timestamp(disruption, "lastTransitionTime")):
        return None
    reason = text(disruption, "reason")
    known_reason = DISRUPTION_REASONS.get(reason, Reason.EVICTED)
    return known_reason, text(disruption, "message") or reason or "a disruption of the pod"


def _deleted(pod: Json, finished: float | None) -> Interruption | None:
    due = timestamp(pod, "metadata", "deletionTimestamp")
    if due is None:
        return None
    # deletionTimestamp is when the pod has to be gone; the request came a grace period earlier.
    grace = whole(pod, "metadata", "deletionGracePeriodSeconds") or 0
    if _was_before(finished, due - grace):
        return None
    return Reason.POD_DELETED, "the pod was deleted while the attempt ran"


def _was_before(finished: float | None, moment_seconds: float | None) -> bool:
    return finished is not None and moment_seconds is not None and finished < moment_seconds


def _read(termination_message: str) -> tuple[Result | None, str | None]:
    if not termination_message:
        return None, None
    try:
        return parse_result(termination_message.encode(errors="replace")), None
    except ResultError as error:
        return None, str(error)


def _failure(terminated: Json, message: str) -> tuple[Reason | None, str]:
    """Find why the program failed; None where its exit code tells."""
    reason = text(terminated, "reason")
    if reason in NEVER_STARTED:
        return Reason.CONFIG_ERROR, message or reason
    if reason == "OOMKilled" and whole(terminated, "exitCode") not in _EXITS_WITH_MEANING:
        return Reason.OOM_KILLED, message or "the container used more memory than its limit"
    if any(word in message for word in ACCELERATOR_OOM_WORDS):
        return Reason.ACCELERATOR_OOM, message
    return None, message


# Reasons of a waiting container. A pull is tried again; what the kubelet refuses is not.
PULL_REFUSED = frozenset({"InvalidImageName", "ErrImageNeverPull"})
PULL_FAILING = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "ImageInspectError",
        "RegistryUnavailable",
        "SignatureValidationFailed",
    }
)
CONFIG_FAILING = frozenset(
    {
        "CreateContainerConfigError",
        "CreateContainerError",
        "PreCreateHookError",
        "PreStartHookError",
        "PostStartHookError",
        "RunContainerError",
    }
)

# Reasons of a terminated container whose program never ran: no such command, no such folder.
NEVER_STARTED = frozenset({"StartError", "ContainerCannotRun"})

# Reasons of an ended pod, in `status.reason`.
POD_REASONS: Mapping[str, Reason] = {
    "Evicted": Reason.EVICTED,
    "Preempting": Reason.PREEMPTED,
    "NodeLost": Reason.NODE_LOST,
    "NodeShutdown": Reason.NODE_LOST,
    "Shutdown": Reason.NODE_LOST,
    "Terminated": Reason.NODE_LOST,
}
DEADLINE_EXCEEDED = "DeadlineExceeded"

# Reasons of the condition DisruptionTarget. A taint that evicts is nearly always that of a node
# which does not answer any more.
DISRUPTION_REASONS: Mapping[str, Reason] = {
    "PreemptionByScheduler": Reason.PREEMPTED,
    "DeletionByTaintManager": Reason.NODE_LOST,
    "EvictionByEvictionAPI": Reason.EVICTED,
    "DeletionByPodGC": Reason.NODE_LOST,
    "TerminationByKubelet": Reason.EVICTED,
}

ACCELERATOR_OOM_WORDS = ("CUDA out of memory", "OutOfMemoryError")
