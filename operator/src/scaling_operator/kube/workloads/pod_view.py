"""Where an attempt stands, from its pod: a total function of whatever the API server sends.

In this order: a program that ended well counts, whatever befell its pod afterwards; else an
interruption explains the end better than the exit code that it caused; else the program ended by
itself. A pod that has not ended waits or runs, unless its deletion is long overdue.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from scaling_operator.api.names import Reason
from scaling_operator.core.observed import AttemptPhase, AttemptView
from scaling_operator.kube.workloads import pod_reasons as troubles
from scaling_operator.kube.workloads.attempt_spec import Bounds
from scaling_operator.kube.workloads.ending import ended_view, interruption_of
from scaling_operator.kube.workloads.template import CONTAINER
from scaling_operator.kube.workloads.untrusted import (
    Json,
    condition,
    mapping,
    mappings,
    moment,
    text,
    value,
)


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a pod: the pod, how patient to be, and when it was."""

    pod: Json
    bounds: Bounds
    now_seconds: float

    @property
    def created_seconds(self) -> float:
        """When the pod was made."""
        created = moment(self.pod, "metadata", "creationTimestamp")
        return self.now_seconds if created is None else created

    @property
    def taken_seconds(self) -> float:
        """When its node took it, which is when pulling an image begins."""
        taken = moment(self.pod, "status", "startTime")
        return self.created_seconds if taken is None else taken

    @property
    def state(self) -> Json:
        """State of the trainer's container: waiting, running or terminated."""
        for status in mappings(self.pod, "status", "containerStatuses"):
            if status.get("name") == CONTAINER:
                return mapping(status, "state")
        return {}


def view_of(look: Look) -> AttemptView:
    """Tell where the attempt stands. Never raises."""
    terminated = value(look.state, "terminated")
    if terminated is not None:
        return ended_view(look.pod, mapping(terminated), look.taken_seconds)
    phase = text(look.pod, "status", "phase")
    if phase in ("Failed", "Succeeded", "Unknown"):
        return _ended_unseen(look, phase)
    if _is_deletion_overdue(look):
        return _unanswered(look)
    return replace(_going_on(look, phase), changes_at_seconds=_grace_ends(look))


def _going_on(look: Look, phase: str) -> AttemptView:
    running = value(look.state, "running")
    if running is not None or (phase == "Running" and not look.state):
        started = moment(running, "startedAt")
        since = look.taken_seconds if started is None else started
        return AttemptView(AttemptPhase.RUNNING, since_seconds=since)
    return _waiting(look)


def _grace_ends(look: Look) -> float | None:
    """When a trouble gets its name, if nothing happens until then."""
    due = moment(look.pod, "metadata", "deletionTimestamp")
    ends = [] if due is None else [due + look.bounds.deletion_grace_seconds]
    for status in _container_statuses(look.pod):
        word = text(status, "state", "waiting", "reason")
        if word in troubles.PULL_FAILING:
            ends.append(look.taken_seconds + look.bounds.image_pull_grace_seconds)
        if word in troubles.CONFIG_FAILING:
            ends.append(look.taken_seconds + look.bounds.config_error_grace_seconds)
    return min((each for each in ends if each > look.now_seconds), default=None)


def _ended_unseen(look: Look, phase: str) -> AttemptView:
    """View a pod that has ended without a word about the trainer's container."""
    since = look.taken_seconds
    message = text(look.pod, "status", "message")
    reason = text(look.pod, "status", "reason")
    if phase == "Succeeded":
        return AttemptView(AttemptPhase.EXITED, exit_code=0, since_seconds=since)
    if phase == "Unknown":
        return AttemptView(
            AttemptPhase.LOST,
            Reason.NODE_LOST,
            message or "the pod's state is unknown: its node does not answer",
            since_seconds=since,
        )
    if reason == troubles.DEADLINE_EXCEEDED:
        return AttemptView(
            AttemptPhase.EXITED, Reason.TIMED_OUT, message or reason, since_seconds=since
        )
    interruption = interruption_of(look.pod, {})
    if interruption is None:
        # A kubelet that has no room after all: OutOfcpu, OutOfmemory, UnexpectedAdmissionError.
        said = ": ".join(part for part in (reason, message) if part)
        interruption = Reason.EVICTED, f"its node did not run it: {said or 'no reason given'}"
    return AttemptView(AttemptPhase.LOST, *interruption, since_seconds=since)


def _is_deletion_overdue(look: Look) -> bool:
    due = moment(look.pod, "metadata", "deletionTimestamp")
    return due is not None and look.now_seconds >= due + look.bounds.deletion_grace_seconds


def _unanswered(look: Look) -> AttemptView:
    """View a pod that ought to be gone: the kubelet that had to end it is gone itself."""
    node = text(look.pod, "spec", "nodeName")
    reason = Reason.NODE_LOST if node else Reason.POD_DELETED
    disruption = condition(look.pod, "DisruptionTarget")
    if disruption.get("status") == "True":
        reason = troubles.OF_DISRUPTIONS.get(text(disruption, "reason"), reason)
    by_whom = f"and its node {node} does not confirm it" if node else "before it had a node"
    message = f"the pod was deleted, {by_whom}"
    return AttemptView(AttemptPhase.LOST, reason, message, since_seconds=look.now_seconds)


def _waiting(look: Look) -> AttemptView:
    """View a pod that does not run yet; a trouble gets its reason when its grace is over."""
    reason, message = _held_up(look)
    if reason is None and not message:
        reason, message = _unplaced(look.pod)
    return AttemptView(AttemptPhase.WAITING, reason, message, since_seconds=look.created_seconds)


def _held_up(look: Look) -> tuple[Reason | None, str]:
    """Find what holds up a container of the pod on its node, the trainer's first."""
    waited_seconds = look.now_seconds - look.taken_seconds
    first = ""
    for status in _container_statuses(look.pod):
        waiting = mapping(status, "state", "waiting")
        word = text(waiting, "reason")
        said = ": ".join(part for part in (word, text(waiting, "message")) if part)
        first = first or said
        trouble = _trouble(word, waited_seconds, look.bounds)
        if trouble is not None:
            return trouble, said
    return None, first


def _container_statuses(pod: Json) -> list[Json]:
    """Get the statuses of all containers, the trainer's first."""
    statuses = [
        *mappings(pod, "status", "containerStatuses"),
        *mappings(pod, "status", "initContainerStatuses"),
    ]
    return sorted(statuses, key=lambda status: status.get("name") != CONTAINER)


def _trouble(word: str, waited_seconds: float, bounds: Bounds) -> Reason | None:
    if word in troubles.PULL_REFUSED:
        return Reason.IMAGE_PULL_FAILED
    if word in troubles.PULL_FAILING and waited_seconds >= bounds.image_pull_grace_seconds:
        return Reason.IMAGE_PULL_FAILED
    if word in troubles.CONFIG_FAILING and waited_seconds >= bounds.config_error_grace_seconds:
        return Reason.CONFIG_ERROR
    return None


def _unplaced(pod: Json) -> tuple[Reason | None, str]:
    """Find why a pod has no node yet."""
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") != "False":
        return None, ""
    message = text(scheduled, "message")
    if text(scheduled, "reason") == "SchedulingGated":
        gates = ", ".join(text(gate, "name") for gate in mappings(pod, "spec", "schedulingGates"))
        return Reason.QUOTA_EXCEEDED, f"held back by its scheduling gates: {gates or message}"
    return Reason.UNSCHEDULABLE, message or "no node has room for it"
