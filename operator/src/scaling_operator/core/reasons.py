"""What each reason of a trial means: what follows, whether it counts, what the study is told.

Every decision about a reason reads `EFFECTS`. The table of reasons in the operating guide is
rendered from it (`core/guide.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from scaling_operator.api.names import MAX_ATTEMPTS, Reason, StopReason


class Next(StrEnum):
    """What follows for the trial."""

    FAIL = "fail"
    """The trial fails, and at once where it still waits for its workload."""
    REPEAT = "repeat"
    """The next attempt gets the same machine, after a pause; a bounded number of times in a row."""
    ESCALATE = "escalate"
    """The next attempt gets more memory, as often as the policy says; then the trial fails."""
    WAIT = "wait"
    """The trial is queued until `trials.pendingTimeout`; then it fails."""
    RESUME = "resume"
    """The attempt ends. The trial goes on when the experiment does."""


class ToldAs(StrEnum):
    """What the sampler is told of a trial that fails for this reason."""

    FAILED = "failed"
    """The failure says nothing of the parameters."""
    WORST = "worst"
    """The point itself is at fault: the study ranks it last."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What one reason means.

    `counts`: whether a trial that fails for it counts against `trials.maxFailed`. `meaning` is the
    text of the HTML page. The other texts are the guide's, in Markdown: what is `seen`, what
    `follows` where the default words do not say it, its `bound`, and the `remedy`.
    """

    next: Next
    meaning: str
    seen: str
    follows: str = ""
    bound: str = ""
    remedy: str = ""
    counts: bool = True
    told_as: ToldAs = ToldAs.FAILED


_SAME = "the same"
_ESCALATION = "`escalation` (policy)"

EFFECTS: Mapping[Reason, Effect] = {
    Reason.IMAGE_PULL_FAILED: Effect(
        Next.FAIL,
        meaning="the container's image could not be fetched",
        seen="the image cannot be pulled; an invalid name at once",
        bound="`trials.imagePullGrace` (2m), chart",
        remedy="name of the image; `imagePullSecrets` in the namespace",
    ),
    Reason.CONFIG_ERROR: Effect(
        Next.FAIL,
        meaning="the container could not be made or started",
        seen="the container cannot be made or started (a missing Secret or ConfigMap, no such "
        "command), or the pod is refused (pod security)",
        bound="30 s",
        remedy="the message names it",
    ),
    Reason.TRAINER_FAILED: Effect(
        Next.FAIL,
        meaning="the trainer ended with an error",
        seen="exit code other than 0, 86, 87, 88, 89",
        remedy="`kubectl logs`",
    ),
    Reason.DATA_ERROR: Effect(
        Next.FAIL,
        meaning="the data cannot be used, whatever the parameters",
        seen="exit code 88: the data cannot be used, whatever the parameters",
        follows="failed; the experiment fails with it, at once",
        remedy="the message names file, column and setting",
    ),
    Reason.NO_RESULT: Effect(
        Next.FAIL,
        meaning="the trainer ended well but left no result",
        seen="exit code 0 and no result",
        bound="`trials.noResultGrace` (30s), chart",
        remedy="write `$SCALING_RESULT_FILE` ([a trainer of your own](own-trainer.md))",
    ),
    Reason.INVALID_RESULT: Effect(
        Next.FAIL,
        meaning="the result could not be read, or is not finite",
        seen="a result that is no JSON, lacks the objective or is not finite",
        remedy="the message quotes it",
    ),
    Reason.TIMED_OUT: Effect(
        Next.FAIL,
        meaning="the attempt took longer than trials.timeout",
        seen="the attempt ran longer than allowed",
        bound="`trials.timeout` (experiment)",
        remedy="raise it, or make the trial shorter; a pruner saves the most",
    ),
    Reason.DIVERGED: Effect(
        Next.FAIL,
        meaning="the loss grew beyond all bounds; counts as a bad point, not as a fault",
        seen="exit code 87: the loss is not finite",
        follows="failed, does not count; the sampler avoids this region",
        remedy="nothing, or a narrower range",
        counts=False,
        told_as=ToldAs.WORST,
    ),
    Reason.OOM_KILLED: Effect(
        Next.ESCALATE,
        meaning="the machine's memory did not suffice",
        seen="the kernel ended the container over its memory limit",
        follows="next attempt with more memory as the policy says; none left: failed, counts",
        bound=_ESCALATION,
        remedy="the limit, or the policy",
    ),
    Reason.ACCELERATOR_OOM: Effect(
        Next.ESCALATE,
        meaning="the accelerator's memory did not suffice",
        seen="exit code 86, or PyTorch's message",
        follows="as above, for the accelerator",
        bound=_ESCALATION,
        remedy="the policy's shapes",
    ),
    Reason.EVICTED: Effect(
        Next.REPEAT,
        meaning="the node evicted the attempt",
        seen="the node was short of memory or disk, or was drained, or a folder of the pod "
        "exceeded `trials.diskLimit` (the message says which)",
        follows="next attempt, same resources, after a pause",
        bound="`trials.maxInterruptions` (experiment) in a row, then failed, does not count",
        remedy="requests that fit; a checkpoint saves work",
        counts=False,
    ),
    Reason.PREEMPTED: Effect(
        Next.REPEAT,
        meaning="a workload of higher priority took the place",
        seen="a pod of higher priority needed the node",
        follows=_SAME,
        bound=_SAME,
        remedy="a priority class, a quota",
        counts=False,
    ),
    Reason.NODE_LOST: Effect(
        Next.REPEAT,
        meaning="the node went away",
        seen="the node does not answer, or was shut down",
        follows=_SAME,
        bound=_SAME,
        counts=False,
    ),
    Reason.POD_DELETED: Effect(
        Next.REPEAT,
        meaning="somebody deleted the attempt, or its process was killed",
        seen="somebody deleted the pod",
        follows=_SAME,
        bound=_SAME,
        counts=False,
    ),
    Reason.STORAGE_FULL: Effect(
        Next.REPEAT,
        meaning="no space was left where the trial keeps its files",
        seen="exit code 89: no space is left on the claim or the node",
        follows=_SAME,
        bound=_SAME,
        remedy="free space on the claim; later attempts resume from the last complete checkpoint",
        counts=False,
    ),
    Reason.UNSCHEDULABLE: Effect(
        Next.WAIT,
        meaning="no machine was free within trials.pendingTimeout",
        seen="no node has what the pod asks for",
        follows="the trial is `Queued`",
        bound="`trials.pendingTimeout` (experiment), then failed, counts",
        remedy="`kubectl describe pod`; the policy's selectors and tolerations",
    ),
    Reason.QUOTA_EXCEEDED: Effect(
        Next.WAIT,
        meaning="the quota left no room within trials.pendingTimeout",
        seen="the namespace's quota, or a limit of the policy, is used up",
        follows="the trial is `Queued`; the pod is tried again",
        bound=_SAME,
        remedy="the quota, or fewer `trials.parallel`",
    ),
    Reason.INFEASIBLE: Effect(
        Next.FAIL,
        meaning="no machine of the policy fits these parameters; counts as a bad point",
        seen="no machine of the policy holds the trial",
        remedy="the policy, or a smaller size",
        counts=False,
        told_as=ToldAs.WORST,
    ),
    Reason.SUSPENDED: Effect(
        Next.RESUME,
        meaning="the experiment was suspended meanwhile",
        seen="`suspend: true`",
        follows="the attempt ends; the trial stays and resumes later",
        bound=f"{MAX_ATTEMPTS} attempts, then failed, does not count",
        counts=False,
    ),
}


_STOPS: Mapping[StopReason, str] = {
    StopReason.GOAL_REACHED: "the goal was reached elsewhere",
    StopReason.BUDGET_EXHAUSTED: "the experiment's budget was used up",
    StopReason.TOO_MANY_FAILURES: "the experiment had failed",
    StopReason.UNUSABLE_DATA: "another trial had found that the data cannot be used",
}


def next_of(reason: Reason | None) -> Next | None:
    """Say what follows for a reason; None where there is none."""
    return None if reason is None else EFFECTS[reason].next


def counts(reason: Reason | StopReason | None) -> bool:
    """Whether a trial that failed for a reason counts against `trials.maxFailed`."""
    return not isinstance(reason, Reason) or EFFECTS[reason].counts


def ranks_last(reason: Reason | StopReason | None) -> bool:
    """Whether the study ranks a trial that failed for this reason last."""
    return isinstance(reason, Reason) and EFFECTS[reason].told_as is ToldAs.WORST


def meaning_of(reason: Reason | StopReason) -> str:
    """Say in a few words what happened to a trial, for a report."""
    match reason:
        case Reason():
            return EFFECTS[reason].meaning
        case StopReason():
            return _STOPS[reason]
        case _:
            assert_never(reason)
