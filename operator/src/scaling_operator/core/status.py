"""The experiment's status, derived as a whole from what is observed, without memory."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from scaling_operator.api.names import (
    FIT_CONDITIONS,
    ConditionReason,
    ConditionType,
    Phase,
    TrialState,
)
from scaling_operator.api.status import (
    MAX_FRONT,
    BestTrial,
    Condition,
    Counts,
    ExperimentStatus,
    ScaleStatus,
)
from scaling_operator.core.conditions import Finding, as_condition, moment, with_finding
from scaling_operator.core.fit_types import checked
from scaling_operator.core.limits import Limits
from scaling_operator.core.observed import Observed, ScaleView
from scaling_operator.core.progress import (
    is_exhausted,
    most_trials,
)
from scaling_operator.core.tally import losses_of, spread


@dataclass(frozen=True, slots=True)
class LiveCounts:
    """Live trials of a scale, by state."""

    running: int = 0
    queued: int = 0


NONE_LIVE = LiveCounts()


def live_counts(observed: Observed) -> dict[int, LiveCounts]:
    """Count the live trials of all scales in one pass."""
    by_state = Counter((trial.scale, trial.state) for trial in observed.live)
    return {
        scale: LiveCounts(by_state[scale, TrialState.RUNNING], by_state[scale, TrialState.QUEUED])
        for scale, _ in by_state
    }


def scale_status(observed: Observed, view: ScaleView, live: LiveCounts) -> ScaleStatus:
    """Describe a scale: its design, its counts, its best trial, and the law's prediction of it."""
    best = view.tally.best[0] if view.tally.best else None
    counts = view.tally.counts.model_copy(
        update={
            "running": live.running,
            "queued": live.queued,
            "max": most_trials(observed, view),
        }
    )
    return ScaleStatus(
        index=view.scale.index,
        parameters=dict(view.scale.parameters),
        samples=view.scale.samples,
        budget_flops=view.scale.budget_flops,
        open=view.open,
        ranges=dict(view.ranges),
        points=tuple(dict(point) for point in view.points),
        counts=counts,
        best=best,
        predicted=view.predicted
        if view.predicted is None or best is None
        else checked(view.predicted, best.values[0]),
        sizing=None if observed.sizing is None else observed.sizing.scales.get(view.scale.index),
    )


def total(scales: tuple[ScaleStatus, ...]) -> Counts:
    """Count the trials of all scales."""
    fields = ("running", "queued", "succeeded", "pruned", "failed", "stopped")
    sums = {field: sum(int(getattr(scale.counts, field)) for scale in scales) for field in fields}
    return Counts(**sums, max=sum(scale.counts.max for scale in scales))


def best_of(observed: Observed, scales: tuple[ScaleStatus, ...]) -> BestTrial | None:
    """Take the best trial of all scales; of the smaller scale where two are equal."""
    objectives = observed.spec.all_objectives
    candidates = [scale.best for scale in scales if scale.best is not None]
    if len(objectives) > 1 or not candidates:
        return None
    best = min(candidates, key=lambda trial: (*losses_of(trial, objectives), trial.scale))
    before = observed.status.best
    if before is not None and before.trial == best.trial and before.test_metrics is not None:
        return best.model_copy(update={"test_metrics": before.test_metrics})
    return best


def front(observed: Observed) -> tuple[BestTrial, ...]:
    """Give the Pareto front; several objectives have one scale."""
    return tuple(trial for view in observed.scales for trial in spread(view.tally.front, MAX_FRONT))


def summarise(observed: Observed, limits: Limits) -> ExperimentStatus:
    """Derive the whole status. Its size depends on the number of scales, not of trials."""
    conditions = _conditions(observed, limits)
    live = live_counts(observed)
    scales = tuple(
        scale_status(observed, view, live.get(view.scale.index, NONE_LIVE))
        for view in sorted(observed.scales, key=lambda view: view.scale.index)
    )
    is_over = limits.has_ended or (limits.failed is not None and not observed.live_scales)
    return ExperimentStatus(
        observed_generation=observed.generation,
        phase=_phase(observed, limits),
        conditions=conditions,
        start_time=moment(observed.started_seconds),
        completion_time=(observed.status.completion_time or moment(observed.now_seconds))
        if is_over
        else None,
        counts=total(scales),
        best=best_of(observed, scales),
        front=front(observed),
        scales=scales,
        data_notes=observed.status.data_notes,
        export=observed.status.export,
        # Until this process has made a fit, the earlier process's fit stays.
        fit=observed.status.fit if observed.fit is None else observed.fit.status,
        recommendations=observed.status.recommendations
        if observed.fit is None
        else observed.fit.recommendations,
        ledger=None if observed.sizing is None else observed.sizing.ledger,
    )


def spec_refused(
    before: ExperimentStatus,
    reason: ConditionReason,
    message: str,
    generation: int | None,
    now_seconds: float,
) -> ExperimentStatus:
    """Say that a spec cannot be followed; the rest of the status stays.

    Running trials are left alone: they are settled when the spec is repaired.
    """
    finding = Finding(ConditionType.ACCEPTED, is_true=False, reason=reason, message=message)
    changed = with_finding(before, finding, generation, now_seconds)
    return changed.model_copy(update={"observed_generation": generation})


def failing(
    before: ExperimentStatus, message: str, generation: int | None, now_seconds: float
) -> ExperimentStatus:
    """Say that work on an experiment fails repeatedly, by a fault of the operator itself.

    The next status that `summarise` derives lacks this condition: then the work has succeeded.
    """
    kind, reason = ConditionType.INTERNAL_ERROR, ConditionReason.INTERNAL_ERROR
    finding = Finding(kind, is_true=True, reason=reason, message=message)
    return with_finding(before, finding, generation, now_seconds)


def is_failing(status: ExperimentStatus) -> bool:
    """Whether the status has the condition of `failing`, which the next status removes."""
    return any(condition.type == ConditionType.INTERNAL_ERROR for condition in status.conditions)


def _phase(observed: Observed, limits: Limits) -> Phase:
    if limits.failed is not None:
        return Phase.FAILED
    if limits.has_ended:
        return Phase.SUCCEEDED
    if limits.suspended is not None:
        return Phase.SUSPENDED
    return Phase.RUNNING if observed.live or observed.started_seconds else Phase.PENDING


def _conditions(observed: Observed, limits: Limits) -> tuple[Condition, ...]:
    suspended, complete, failed = limits.suspended, limits.complete, limits.failed
    findings = (
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
            message=_failed_message(observed, limits),
        ),
        *_sizing_findings(observed),
        *_export_findings(observed),
        *_fit_findings(observed),
    )
    before, now = observed.status.conditions, observed.now_seconds
    conditions = (as_condition(finding, before, observed.generation, now) for finding in findings)
    return (*conditions, *_kept_fit_conditions(observed))


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
        Finding(condition.type, condition.is_true, condition.reason, condition.message)
        for condition in observed.fit.conditions
    )


def _kept_fit_conditions(observed: Observed) -> tuple[Condition, ...]:
    """Keep the conditions of an earlier process's fit until this process has made one."""
    if observed.fit is not None:
        return ()
    return tuple(
        condition for condition in observed.status.conditions if condition.type in FIT_CONDITIONS
    )


def _failed_message(observed: Observed, limits: Limits) -> str:
    if limits.failed is ConditionReason.NO_TRIAL_SUCCEEDED:
        return "no trial has a value; their reasons say why"
    if limits.failed is ConditionReason.DATA_ERROR:
        return limits.data_error or "the data cannot be used"
    failures, most = limits.counted_failures, observed.spec.trials.max_failed
    return f"failed trials: {failures}; trials.maxFailed allows {most}" if failures else ""


def _complete_message(observed: Observed, reason: ConditionReason | None) -> str:
    """Name the scales that ended early, and how many points each had."""
    if reason not in (ConditionReason.SPACE_EXHAUSTED, ConditionReason.ALL_TRIALS_DONE):
        return ""
    counted = [
        f"{view.space_points} of scale {view.scale.index}"
        for view in observed.scales
        if is_exhausted(observed, view)
    ]
    points = f"all points of the space were tried: {', '.join(counted)}"
    return f"{points}; search.repeats: train tries points again" if counted else ""
