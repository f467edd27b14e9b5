"""The decision: what to do next about an experiment.

One call plans one kind of step. The shell applies the plan and plans again until nothing is left to
do. So each rule sees the result of the rules before it: a trial's end is counted before the next
trial is asked for. Planning twice without a change plans the same; once all is applied, a plan is
empty. A plan leaves out the trials whose action is under way. The other trials do not wait for
them.
"""

from __future__ import annotations

from scaling_operator.api.names import Reason, StopReason, TrialState
from scaling_operator.core.actions import (
    Action,
    AddScales,
    Discard,
    EndTrial,
    OpenScale,
    Plan,
)
from scaling_operator.core.fit_input import awaits_prediction
from scaling_operator.core.limits import Limits, limits_of
from scaling_operator.core.observed import (
    AttemptPhase,
    LiveTrial,
    Observed,
    ScaleView,
    StaleWorkload,
)
from scaling_operator.core.progress import scale_has_ended, scales_to_add
from scaling_operator.core.settle import deadline, launch_time, repeated, runs_again, settle
from scaling_operator.core.starting import asks, launches, may_ask
from scaling_operator.core.status import summarise
from scaling_operator.core.transfer import fits, transfer


def plan(observed: Observed) -> Plan:
    """Decide the next step: the actions of the first rule that has any."""
    limits = limits_of(observed)
    actions = (
        _discard_stale_workloads(observed)
        or _settle_what_ended(observed)
        or _stop_what_may_not_go_on(observed, limits)
        or _release_while_suspended(observed, limits)
        or _end_waits(observed, limits)
        or _add_scales(observed, limits)
        or _open_scales(observed, limits)
        or _start(observed, limits)
    )
    return Plan(actions, summarise(observed, limits), _wake_at(observed, limits))


def _discard_stale_workloads(observed: Observed) -> tuple[Action, ...]:
    """Delete workloads that nobody waits for; one that was told to stop gets a moment to do so."""
    return tuple(
        Discard(workload.scale, workload.number, workload.attempt)
        for workload in observed.stale
        if observed.now_seconds >= _discard_time(observed, workload)
    )


def _discard_time(observed: Observed, workload: StaleWorkload) -> float:
    if workload.told_to_stop and workload.view.phase is AttemptPhase.RUNNING:
        return workload.told_seconds + observed.rules.stale_grace_seconds
    return workload.kept_until_seconds


def _settle_what_ended(observed: Observed) -> tuple[Action, ...]:
    actions = (
        settle(trial, spec=observed.spec, rules=observed.rules, now_seconds=observed.now_seconds)
        for trial in observed.idle
    )
    return tuple(action for action in actions if action is not None)


def _stop_what_may_not_go_on(observed: Observed, limits: Limits) -> tuple[Action, ...]:
    """Stop all trials once the experiment has failed or its budget ends, a scale's at its goal."""
    if limits.stops is not None:
        return _stop(observed.idle, limits.stops)
    reached = {view.scale.index for view in observed.scales if view.tally.goal_reached}
    return _stop(
        tuple(trial for trial in observed.idle if trial.scale in reached), StopReason.GOAL_REACHED
    )


def _stop(trials: tuple[LiveTrial, ...], reason: StopReason) -> tuple[Action, ...]:
    return tuple(
        EndTrial(trial.scale, trial.number, TrialState.STOPPED, reason) for trial in trials
    )


def _release_while_suspended(observed: Observed, limits: Limits) -> tuple[Action, ...]:
    """Free machines while suspended: the attempt ends, the trial stays and goes on later."""
    if limits.suspended is None:
        return ()
    return tuple(
        repeated(trial, Reason.SUSPENDED, "suspended")
        for trial in observed.idle
        if trial.view.phase is not AttemptPhase.ABSENT
    )


def _end_waits(observed: Observed, limits: Limits) -> tuple[Action, ...]:
    """Let no trial wait while nothing may start: its wait begins anew when something may."""
    if limits.may_start:
        return ()
    return tuple(
        runs_again(trial)
        for trial in observed.idle
        if trial.view.phase is AttemptPhase.ABSENT and trial.state is TrialState.QUEUED
    )


def _add_scales(observed: Observed, limits: Limits) -> tuple[Action, ...]:
    """Add a size beyond an edge of the ladder, once all before have ended."""
    if not limits.may_start:
        return ()
    added = scales_to_add(observed)
    return (AddScales(added),) if added else ()


def _open_scales(observed: Observed, limits: Limits) -> tuple[Action, ...]:
    """Open the next scale: with transfer once all before have ended, else for a free slot.

    The law predicts a scale before it opens: no scale opens while a fit is under way.
    """
    closed = tuple(view for view in observed.scales if not view.open)
    if not closed or not limits.may_start or awaits_prediction(observed):
        return ()
    following = closed[0]
    before = observed.scales[: observed.scales.index(following)]
    scaling = observed.spec.scaling
    if scaling is not None and scaling.transfer is not None:
        ready = all(scale_has_ended(observed, view) for view in before)
    else:
        ready = observed.free > 0 and not any(may_ask(observed, view) for view in before)
    return (_open(observed, following),) if ready else ()


def _open(observed: Observed, view: ScaleView) -> Action:
    index, scaling, search = view.scale.index, observed.spec.scaling, observed.spec.search
    predicted = None if observed.fit is None else observed.fit.predictions.get(index)
    if scaling is None or scaling.transfer is None:
        return OpenScale(index, {}, observed.warm_points, predicted)
    transferred = transfer(view, observed.scales, search, scaling.transfer)
    points = tuple(
        point
        for point in (*observed.warm_points, *transferred.points)
        if fits(point, transferred.ranges)
    )
    return OpenScale(index, transferred.ranges, points, predicted)


def _start(observed: Observed, limits: Limits) -> tuple[Action, ...]:
    """Launch trials without a workload; else ask for as many new trials as slots are free."""
    if not limits.may_start:
        return ()
    return launches(observed) or tuple(asks(observed))


def _wake_at(observed: Observed, limits: Limits) -> float | None:
    """Give the next time, later than now, when time alone changes the plan."""
    moments = [deadline(trial, spec=observed.spec, rules=observed.rules) for trial in observed.live]
    moments += [trial.view.changes_at_seconds for trial in observed.live]
    moments += [_discard_time(observed, workload) for workload in observed.stale]
    moments += [
        launch_time(trial, observed.rules)
        for trial in observed.live
        if trial.view.phase is AttemptPhase.ABSENT and limits.may_start
    ]
    if not limits.has_ended:
        moments.append(limits.budget_end_seconds)
    now = observed.now_seconds
    return min((at for at in moments if at is not None and at > now), default=None)
