"""The experiment's status, derived whole from what is observed. Nothing here is remembered.

Conditions keep their last transition time from the status before; all else is computed anew.
"""

from __future__ import annotations

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
from scaling_operator.core.conditions import Finding, as_condition, moment, with_finding
from scaling_operator.core.fit_input import awaits_fit
from scaling_operator.core.observed import Observed
from scaling_operator.core.progress import all_scales_have_ended, is_exhausted, scale_has_ended
from scaling_operator.core.refine import scales_to_add
from scaling_operator.core.scale_status import (
    NONE_LIVE,
    best_of,
    front,
    live_counts,
    scale_status,
    total,
)
from scaling_operator.sizing.usage import seconds_left


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
    if observed.live_scales or not (
        all_scales_have_ended(observed) or _stopped_by_budget(observed)
    ):
        return False
    grows = bool(scales_to_add(observed)) and not _stopped_by_budget(observed)
    return not grows and not awaits_fit(observed)


def data_error(observed: Observed) -> str | None:
    """Give what the first trial said that could not use the data; no other one could use them."""
    found = ((view.scale.index, view.tally.data_error) for view in observed.scales)
    errors = [(index, *error) for index, error in found if error is not None]
    return min(errors)[-1] if errors else None


def has_failed(observed: Observed) -> bool:
    """Whether the data cannot be used, or more trials failed than `maxFailed` allows."""
    too_many = counted_failures(observed) > observed.spec.trials.max_failed
    return too_many or data_error(observed) is not None


def has_nothing(observed: Observed) -> bool:
    """Whether all is over and no trial has a value: nobody's question was answered."""
    return is_complete(observed) and not any(
        view.tally.counts.succeeded for view in observed.scales
    )


def summarise(observed: Observed) -> ExperimentStatus:
    """Derive the whole status. Its size depends on the number of scales, never of trials."""
    conditions = _conditions(observed)
    live = live_counts(observed)
    scales = tuple(
        scale_status(observed, view, live.get(view.scale.index, NONE_LIVE))
        for view in sorted(observed.scales, key=lambda view: view.scale.index)
    )
    over = is_complete(observed) or (has_failed(observed) and not observed.live_scales)
    return ExperimentStatus(
        observed_generation=observed.generation,
        phase=_phase(observed),
        conditions=conditions,
        start_time=moment(observed.started_seconds),
        completion_time=(observed.status.completion_time or moment(observed.now_seconds))
        if over
        else None,
        counts=total(scales),
        best=best_of(observed, scales),
        front=front(observed),
        scales=scales,
        data_notes=observed.status.data_notes,
        export=observed.status.export,
        # Until this process has fitted, what was fitted before stays.
        fit=observed.status.fit if observed.fit is None else observed.fit.status,
        recommendations=observed.status.recommendations
        if observed.fit is None
        else observed.fit.recommendations,
        ledger=None if observed.sizing is None else observed.sizing.ledger,
    )


def refused(
    before: ExperimentStatus,
    reason: ConditionReason,
    message: str,
    generation: int | None,
    now_seconds: float,
) -> ExperimentStatus:
    """Say that a spec cannot be followed; all that was found so far stays.

    Trials that run are left alone: they are settled when the spec is repaired.
    """
    finding = Finding(ConditionType.ACCEPTED, is_true=False, reason=reason, message=message)
    changed = with_finding(before, finding, generation, now_seconds)
    return changed.model_copy(update={"observed_generation": generation})


def failing(
    before: ExperimentStatus, message: str, generation: int | None, now_seconds: float
) -> ExperimentStatus:
    """Say that work on an experiment fails again and again by a fault of the operator's own.

    The next status that `summarise` derives has no such condition: then the work went well.
    """
    kind, reason = ConditionType.INTERNAL_ERROR, ConditionReason.INTERNAL_ERROR
    finding = Finding(kind, is_true=True, reason=reason, message=message)
    return with_finding(before, finding, generation, now_seconds)


def is_failing(status: ExperimentStatus) -> bool:
    """Whether a fault is told that the next status would take back."""
    return any(each.type == ConditionType.INTERNAL_ERROR for each in status.conditions)


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
    found = (
        Finding(ConditionType.ACCEPTED, is_true=True, reason=ConditionReason.VALID_SPEC),
        Finding(
            ConditionType.SUSPENDED,
            is_true=suspended is not None,
            reason=suspended or ConditionReason.RESUMED,
        ),
        Finding(
            ConditionType.COMPLETE,
            is_true=complete is not None,
            reason=complete or ConditionReason.TRIALS_REMAIN,
            message=_complete_message(observed, complete),
        ),
        Finding(
            ConditionType.FAILED,
            is_true=failed is not None,
            reason=failed or ConditionReason.WITHIN_LIMITS,
            message=_failed_message(observed, failed),
        ),
        *_sizing_findings(observed),
        *_export_findings(observed),
        *_fit_findings(observed),
    )
    before, now = observed.status.conditions, observed.now_seconds
    made = tuple(as_condition(each, before, observed.generation, now) for each in found)
    return (*made, *_kept_fit_conditions(observed))


def _sizing_findings(observed: Observed) -> tuple[Finding, ...]:
    if observed.sizing is None:
        return ()
    start_check = observed.sizing.start_check
    return (
        Finding(
            ConditionType.SIZED, start_check.may_start, start_check.reason, start_check.message
        ),
    )


def _export_findings(observed: Observed) -> tuple[Finding, ...]:
    export = observed.status.export
    if export is None:
        return ()
    reason = ConditionReason.MODEL_SAVED if export.saved else ConditionReason.EXPORT_FAILED
    message = f"trial {export.trial}: {export.message}"
    return (Finding(ConditionType.EXPORTED, export.saved, reason, message),)


def _fit_findings(observed: Observed) -> tuple[Finding, ...]:
    if observed.fit is None:
        return ()
    return tuple(
        Finding(each.type, each.is_true, each.reason, each.message)
        for each in observed.fit.conditions
    )


def _kept_fit_conditions(observed: Observed) -> tuple[Condition, ...]:
    """Keep what was fitted before, until this process has fitted."""
    if observed.fit is not None:
        return ()
    return tuple(each for each in observed.status.conditions if each.type in FIT_CONDITIONS)


def _failed_reason(observed: Observed) -> ConditionReason | None:
    if data_error(observed) is not None:
        return ConditionReason.DATA_ERROR
    if has_failed(observed):
        return ConditionReason.TOO_MANY_FAILURES
    return ConditionReason.NO_TRIAL_SUCCEEDED if has_nothing(observed) else None


def _failed_message(observed: Observed, reason: ConditionReason | None) -> str:
    if reason is ConditionReason.NO_TRIAL_SUCCEEDED:
        return "no trial has a value; their reasons say why"
    if reason is ConditionReason.DATA_ERROR:
        return data_error(observed) or "the data cannot be used"
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
    if all(is_exhausted(observed, view) for view in observed.scales):
        return ConditionReason.SPACE_EXHAUSTED
    return ConditionReason.ALL_TRIALS_DONE


def _complete_message(observed: Observed, reason: ConditionReason | None) -> str:
    """Say of scales that ended early how many points they had."""
    if reason not in (ConditionReason.SPACE_EXHAUSTED, ConditionReason.ALL_TRIALS_DONE):
        return ""
    counted = [
        f"{view.space_points} of scale {view.scale.index}"
        for view in observed.scales
        if is_exhausted(observed, view)
    ]
    points = f"all points of the space were tried: {', '.join(counted)}"
    return f"{points}; search.repeats: train tries points again" if counted else ""


def _stopped_by_budget(observed: Observed) -> bool:
    end = budget_deadline(observed)
    return (
        end is not None
        and observed.now_seconds >= end
        and observed.spec.budget.on_exceeded == "stop"
    )
