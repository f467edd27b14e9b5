"""How an attempt ended, from the terminated state of its container and what befell its pod."""

from __future__ import annotations

from scaling_operator.api.names import Reason
from scaling_operator.core.observed import AttemptPhase, AttemptView
from scaling_operator.kube.workloads import pod_reasons as troubles
from scaling_operator.kube.workloads.untrusted import Json, condition, moment, text, whole
from scaling_trainer.contract import (
    EXIT_ACCELERATOR_OOM,
    EXIT_DATA_ERROR,
    EXIT_DIVERGED,
    EXIT_NO_SPACE,
)
from scaling_trainer.foreign_text import as_message
from scaling_trainer.results import Result, ResultError, parse_result

Interruption = tuple[Reason, str]
GONE = AttemptView(
    AttemptPhase.LOST, Reason.POD_DELETED, "the pod was gone before its result was read"
)
"""An attempt that was made and has ended, and whose result went with its pod."""

_UNKNOWN_EXIT = 255
_SPEAKING_EXITS = (EXIT_ACCELERATOR_OOM, EXIT_DIVERGED, EXIT_DATA_ERROR, EXIT_NO_SPACE)


def ended_view(pod: Json, terminated: Json, taken_seconds: float) -> AttemptView:
    """View an attempt whose program has ended, after its node took the pod at `taken_seconds`."""
    exit_code = whole(terminated, "exitCode")
    said = text(terminated, "message").strip()
    result, problem = _read(said)
    finished = moment(terminated, "finishedAt")
    since = taken_seconds if finished is None else finished
    succeeded = exit_code == 0 and result is not None
    interruption = None if succeeded else interruption_of(pod, terminated)
    if interruption is not None:
        return AttemptView(AttemptPhase.LOST, *interruption, exit_code, since_seconds=since)
    if not succeeded and text(pod, "status", "reason") == troubles.DEADLINE_EXCEEDED:
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
    reason, message = _failure(terminated, said if result is None else "")
    return AttemptView(
        AttemptPhase.EXITED, reason, as_message(message), exit_code, result, since_seconds=since
    )


def interruption_of(pod: Json, terminated: Json) -> Interruption | None:
    """Find what ended the pod from outside; None where the program ended first, or nothing did."""
    finished = moment(terminated, "finishedAt")
    return (
        _lost_container(terminated)
        or _ended_pod(pod)
        or _disrupted(pod, finished)
        or _deleted(pod, finished)
    )


def _lost_container(terminated: Json) -> Interruption | None:
    word = text(terminated, "reason")
    gone = word == "ContainerStatusUnknown"
    # containerd says so of what ran when the node went down.
    restarted = word == "Unknown" and whole(terminated, "exitCode") == _UNKNOWN_EXIT
    if not (gone or restarted):
        return None
    return Reason.NODE_LOST, text(terminated, "message") or "its node has lost the container"


def _ended_pod(pod: Json) -> Interruption | None:
    word = text(pod, "status", "reason")
    reason = troubles.OF_PODS.get(word)
    return None if reason is None else (reason, text(pod, "status", "message") or word)


def _disrupted(pod: Json, finished: float | None) -> Interruption | None:
    disruption = condition(pod, "DisruptionTarget")
    if disruption.get("status") != "True":
        return None
    if _was_before(finished, moment(disruption, "lastTransitionTime")):
        return None
    word = text(disruption, "reason")
    reason = troubles.OF_DISRUPTIONS.get(word, Reason.EVICTED)
    return reason, text(disruption, "message") or word or "a disruption of the pod"


def _deleted(pod: Json, finished: float | None) -> Interruption | None:
    due = moment(pod, "metadata", "deletionTimestamp")
    if due is None:
        return None
    # The time of a deletion is when the pod has to be gone; it was asked for a grace earlier.
    grace = whole(pod, "metadata", "deletionGracePeriodSeconds") or 0
    if _was_before(finished, due - grace):
        return None
    return Reason.POD_DELETED, "the pod was deleted while the attempt ran"


def _was_before(finished: float | None, moment_seconds: float | None) -> bool:
    return finished is not None and moment_seconds is not None and finished < moment_seconds


def _read(said: str) -> tuple[Result | None, str | None]:
    if not said:
        return None, None
    try:
        return parse_result(said.encode(errors="replace")), None
    except ResultError as error:
        return None, str(error)


def _failure(terminated: Json, said: str) -> tuple[Reason | None, str]:
    """Find why the program failed; None: its exit code says it."""
    word = text(terminated, "reason")
    if word in troubles.NEVER_STARTED:
        return Reason.CONFIG_ERROR, said or word
    if word == "OOMKilled" and whole(terminated, "exitCode") not in _SPEAKING_EXITS:
        return Reason.OOM_KILLED, said or "the container used more memory than its limit"
    if any(each in said for each in troubles.ACCELERATOR_OOM_WORDS):
        return Reason.ACCELERATOR_OOM, said
    return None, said
