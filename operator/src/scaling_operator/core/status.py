"""The experiment's status, derived whole from what is observed. Nothing here is remembered.

Conditions keep their last transition time from the status before; all else is computed anew.
"""

from __future__ import annotations

from datetime import UTC, datetime

from scaling_operator.api.names import (
    FIT_CONDITIONS,
    ConditionReason,
    ConditionType,
    Phase,
)
from scaling_operator.api.status import (
    Condition,
    ExperimentStatus,
)
from scaling_operator.core.basis import awaits_fit
from scaling_operator.core.observed import Observed
from scaling_operator.core.progress import all_scales_have_ended, scale_has_ended
from scaling_operator.core.refine import scales_to_add
from scaling_operator.core.scale_status import best_of, front, scale_status, total
from scaling_operator.core.sizing.view import seconds_left

MAX_MESSAGE = 1024


def counted_failures(observed: Observed) -> int:
    """Failed trials that count against `maxFailed`, in all scales."""
    return sum(view.tally.counted_failures for view in observed.scales)


def budget_deadline(observed: Observed) -> float | None:
    """When the budget is spent, in seconds since the epoch; None without one or a start.

    GPU hours and money are spent at the rate of what runs now.
    """
    budget, started = observed.spec.budget, observed.started_seconds
    if started is None:
        return None
    ends: list[float] = []
    if budget.duration is not None:
        ends.append(started + budget.duration.total_seconds())
    if observed.sizing is not None:
        left = seconds_left(observed.sizing, budget.gpu_hours, budget.cost)
        ends += [] if left is None else [observed.now_seconds + left]
    return min(ends, default=None)


def is_complete(observed: Observed) -> bool:
    """Whether every scale has ended or the budget has stopped the rest, and all is fitted."""
    if observed.slots or not (all_scales_have_ended(observed) or _stopped_by_budget(observed)):
        return False
    grows = bool(scales_to_add(observed)) and not _stopped_by_budget(observed)
    return not grows and not awaits_fit(observed)


def has_failed(observed: Observed) -> bool:
    """Whether more trials failed than `maxFailed` allows."""
    return counted_failures(observed) > observed.spec.trials.max_failed


def has_nothing(observed: Observed) -> bool:
    """Whether all is over and no trial has a value: nobody's question was answered."""
    return is_complete(observed) and not any(
        view.tally.counts.succeeded for view in observed.scales
    )


def summarise(observed: Observed) -> ExperimentStatus:
    """Derive the whole status. Its size depends on the number of scales, never of trials."""
    conditions = _conditions(observed)
    scales = tuple(
        scale_status(observed, view)
        for view in sorted(observed.scales, key=lambda view: view.scale.index)
    )
    over = is_complete(observed) or (has_failed(observed) and not observed.slots)
    return ExperimentStatus(
        observed_generation=observed.generation,
        phase=_phase(observed),
        conditions=conditions,
        start_time=moment(observed.started_seconds),
        completion_time=(observed.status.completion_time or moment(observed.now_seconds))
        if over
        else None,
        counts=total(observed, scales),
        best=best_of(observed, scales),
        front=front(observed),
        scales=scales,
        export=observed.status.export,
        # Until this process has fitted, what was fitted before stays.
        fit=observed.status.fit if observed.fit is None else observed.fit.status,
        recommendations=observed.status.recommendations
        if observed.fit is None
        else observed.fit.recommendations,
        ledger=None if observed.sizing is None else observed.sizing.ledger,
    )


def refused(
    before: ExperimentStatus, message: str, generation: int | None, now_seconds: float
) -> ExperimentStatus:
    """Say that a spec cannot be followed; all that was found so far stays.

    Trials that run are left alone: they are settled when the spec is repaired.
    """
    old = next((each for each in before.conditions if each.type == ConditionType.ACCEPTED), None)
    since = (
        old.last_transition_time
        if old is not None and old.status == "False"
        else moment(now_seconds)
    )
    condition = Condition(
        type=ConditionType.ACCEPTED,
        status="False",
        reason=ConditionReason.INVALID_SPEC,
        message=message[:MAX_MESSAGE],
        last_transition_time=since,
        observed_generation=generation,
    )
    others = tuple(each for each in before.conditions if each.type != ConditionType.ACCEPTED)
    return before.model_copy(
        update={"conditions": (condition, *others), "observed_generation": generation}
    )


def _phase(observed: Observed) -> Phase:
    if _failed_reason(observed) is not None:
        return Phase.FAILED
    if is_complete(observed):
        return Phase.SUCCEEDED
    if _suspended_reason(observed) is not None:
        return Phase.SUSPENDED
    return Phase.RUNNING if observed.live or observed.started_seconds else Phase.PENDING


def _conditions(observed: Observed) -> tuple[Condition, ...]:
    suspended = _suspended_reason(observed)
    complete = _complete_reason(observed)
    failed = _failed_reason(observed)
    return (
        _condition(observed, ConditionType.ACCEPTED, ConditionReason.VALID_SPEC, is_true=True),
        _condition(
            observed,
            ConditionType.SUSPENDED,
            suspended or ConditionReason.RESUMED,
            is_true=suspended is not None,
        ),
        _condition(
            observed,
            ConditionType.COMPLETE,
            complete or ConditionReason.TRIALS_REMAIN,
            is_true=complete is not None,
        ),
        _condition(
            observed,
            ConditionType.FAILED,
            failed or ConditionReason.WITHIN_LIMITS,
            is_true=failed is not None,
            message=_failed_message(observed, failed),
        ),
        *_sizing_conditions(observed),
        *_export_conditions(observed),
        *_fit_conditions(observed),
    )


def _sizing_conditions(observed: Observed) -> tuple[Condition, ...]:
    if observed.sizing is None:
        return ()
    verdict = observed.sizing.verdict
    message = verdict.message[:MAX_MESSAGE]
    kind = ConditionType.SIZED
    return (_condition(observed, kind, verdict.reason, is_true=verdict.is_good, message=message),)


def _export_conditions(observed: Observed) -> tuple[Condition, ...]:
    export = observed.status.export
    if export is None:
        return ()
    reason = ConditionReason.MODEL_SAVED if export.saved else ConditionReason.EXPORT_FAILED
    message = f"trial {export.trial}: {export.message}"[:MAX_MESSAGE]
    kind = ConditionType.EXPORTED
    return (_condition(observed, kind, reason, is_true=export.saved, message=message),)


def _fit_conditions(observed: Observed) -> tuple[Condition, ...]:
    if observed.fit is None:
        kept = observed.status.conditions
        return tuple(condition for condition in kept if condition.type in FIT_CONDITIONS)
    return tuple(
        _condition(
            *(observed, each.type, each.reason),
            is_true=each.is_true,
            message=each.message[:MAX_MESSAGE],
        )
        for each in observed.fit.conditions
    )


def _condition(
    observed: Observed,
    kind: ConditionType,
    reason: str,
    *,
    is_true: bool,
    message: str = "",
) -> Condition:
    status = "True" if is_true else "False"
    before = next((old for old in observed.status.conditions if old.type == kind), None)
    same = before is not None and before.status == status
    return Condition(
        type=kind,
        status=status,
        reason=reason,
        message=message,
        last_transition_time=before.last_transition_time
        if same and before is not None
        else moment(observed.now_seconds),
        observed_generation=observed.generation,
    )


def _failed_reason(observed: Observed) -> ConditionReason | None:
    if has_failed(observed):
        return ConditionReason.TOO_MANY_FAILURES
    return ConditionReason.NO_TRIAL_SUCCEEDED if has_nothing(observed) else None


def _failed_message(observed: Observed, reason: ConditionReason | None) -> str:
    if reason is ConditionReason.NO_TRIAL_SUCCEEDED:
        return "no trial has a value; their reasons say why"
    failed = counted_failures(observed)
    limit = observed.spec.trials.max_failed
    return f"failed trials: {failed}; trials.maxFailed allows {limit}" if failed else ""


def _suspended_reason(observed: Observed) -> ConditionReason | None:
    if observed.spec.suspend:
        return ConditionReason.SUSPENDED
    end = budget_deadline(observed)
    if observed.spec.budget.on_exceeded == "suspend" and end is not None:
        return ConditionReason.BUDGET_EXHAUSTED if observed.now_seconds >= end else None
    return None


def _complete_reason(observed: Observed) -> ConditionReason | None:
    if _failed_reason(observed) is not None or not is_complete(observed):
        return None
    ended = all(scale_has_ended(observed, view) for view in observed.scales)
    if not ended:
        return ConditionReason.BUDGET_EXHAUSTED
    if len(observed.scales) == 1 and observed.scales[0].tally.goal_reached:
        return ConditionReason.GOAL_REACHED
    return ConditionReason.ALL_TRIALS_DONE


def _stopped_by_budget(observed: Observed) -> bool:
    end = budget_deadline(observed)
    return (
        end is not None
        and observed.now_seconds >= end
        and observed.spec.budget.on_exceeded == "stop"
    )


def moment(seconds: float | None) -> datetime | None:
    """Give a time as conditions have it."""
    return None if seconds is None else datetime.fromtimestamp(seconds, tz=UTC)
