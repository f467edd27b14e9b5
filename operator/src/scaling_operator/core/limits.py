"""What keeps an experiment from going on: failures, suspension, its budget, its end.

The plan acts on the limits and the status tells them: both read one `Limits` of one observation.
"""

from __future__ import annotations

from dataclasses import dataclass

from scaling_operator.api.names import ConditionReason, StopReason
from scaling_operator.core.fit_input import awaits_fit
from scaling_operator.core.observed import Observed
from scaling_operator.core.progress import (
    all_scales_have_ended,
    is_exhausted,
    scale_has_ended,
    scales_to_add,
)
from scaling_operator.sizing.usage import seconds_left


@dataclass(frozen=True, slots=True)
class Limits:
    """Where an experiment stands against its limits. Times are seconds since the epoch.

    `data_error` is the message of the first trial that could not use the data; no other trial can
    use them either. `counted_failures` are failed trials that count against `trials.maxFailed`, in
    all scales. `failed`, `suspended` and `complete` are the reasons of the conditions of these
    names, None where a condition is not true. `stops` is why all live trials must stop.
    """

    data_error: str | None
    counted_failures: int
    budget_end_seconds: float | None
    failed: ConditionReason | None
    suspended: ConditionReason | None
    complete: ConditionReason | None
    stops: StopReason | None
    has_ended: bool
    """Whether every scale has ended, or the budget has stopped the rest, and no fit is awaited."""
    may_start: bool
    """Whether a workload or a trial may begin now; room for it is another question."""


_STOPS = {
    ConditionReason.DATA_ERROR: StopReason.UNUSABLE_DATA,
    ConditionReason.TOO_MANY_FAILURES: StopReason.TOO_MANY_FAILURES,
}


def limits_of(observed: Observed) -> Limits:
    """Compare what is observed with the limits of its spec."""
    budget, end = observed.spec.budget, _budget_end(observed)
    is_spent = end is not None and observed.now_seconds >= end
    is_stopped = is_spent and budget.on_exceeded == "stop"
    has_ended = _has_ended(observed, is_stopped=is_stopped)
    data_error, failures = _data_error(observed), _counted_failures(observed)
    broken = _broken(observed, data_error, failures)
    failed = broken or _nothing(observed, has_ended=has_ended)
    suspended = _suspended(observed, is_spent=is_spent)
    is_sized = observed.sizing is None or observed.sizing.start_check.may_start
    return Limits(
        data_error=data_error,
        counted_failures=failures,
        budget_end_seconds=end,
        failed=failed,
        suspended=suspended,
        complete=_complete(observed) if has_ended and failed is None else None,
        stops=_STOPS[broken] if broken else StopReason.BUDGET_EXHAUSTED if is_stopped else None,
        has_ended=has_ended,
        may_start=is_sized and not (has_ended or is_spent or failed or suspended),
    )


def _budget_end(observed: Observed) -> float | None:
    """Give the time when the budget is spent; None without a budget or before the start.

    GPU hours and money are spent at the rate of the trials that run now.
    """
    budget, started = observed.spec.budget, observed.started_seconds
    if started is None:
        return None
    ends: list[float] = []
    if budget.duration is not None:
        ends.append(started + budget.duration.total_seconds())
    if observed.sizing is not None:
        left_seconds = seconds_left(observed.sizing, budget.gpu_hours, budget.cost)
        ends += [] if left_seconds is None else [observed.now_seconds + left_seconds]
    return min(ends, default=None)


def _data_error(observed: Observed) -> str | None:
    by_scale = ((view.scale.index, view.tally.data_error) for view in observed.scales)
    errors = [(index, *error) for index, error in by_scale if error is not None]
    return min(errors)[-1] if errors else None


def _counted_failures(observed: Observed) -> int:
    return sum(view.tally.counted_failures for view in observed.scales)


def _has_ended(observed: Observed, *, is_stopped: bool) -> bool:
    if observed.live_scales or not (is_stopped or all_scales_have_ended(observed)):
        return False
    grows = not is_stopped and bool(scales_to_add(observed))
    return not grows and not awaits_fit(observed)


def _broken(observed: Observed, data_error: str | None, failures: int) -> ConditionReason | None:
    """Say why no trial may go on: the data cannot be used, or too many trials failed."""
    if data_error is not None:
        return ConditionReason.DATA_ERROR
    too_many = failures > observed.spec.trials.max_failed
    return ConditionReason.TOO_MANY_FAILURES if too_many else None


def _nothing(observed: Observed, *, has_ended: bool) -> ConditionReason | None:
    """Say whether all is over and no trial has a value: the experiment has no answer."""
    has_value = any(view.tally.counts.succeeded for view in observed.scales)
    return ConditionReason.NO_TRIAL_SUCCEEDED if has_ended and not has_value else None


def _suspended(observed: Observed, *, is_spent: bool) -> ConditionReason | None:
    if observed.spec.suspend:
        return ConditionReason.SUSPENDED
    suspends = is_spent and observed.spec.budget.on_exceeded == "suspend"
    return ConditionReason.BUDGET_EXHAUSTED if suspends else None


def _complete(observed: Observed) -> ConditionReason:
    if not all(scale_has_ended(observed, view) for view in observed.scales):
        return ConditionReason.BUDGET_EXHAUSTED
    if len(observed.scales) == 1 and observed.scales[0].tally.goal_reached:
        return ConditionReason.GOAL_REACHED
    if all(is_exhausted(observed, view) for view in observed.scales):
        return ConditionReason.SPACE_EXHAUSTED
    return ConditionReason.ALL_TRIALS_DONE
