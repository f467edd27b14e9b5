"""What follows for a live trial from the state of its attempt: a total function."""

from __future__ import annotations

from typing import assert_never

from scaling_operator.api.experiment import ExperimentSpec, Objective
from scaling_operator.api.names import MAX_ATTEMPTS, Reason, TrialState
from scaling_operator.api.status import EarlyPoint
from scaling_operator.core.actions import Action, EndAttempt, EndTrial, SetState
from scaling_operator.core.bounds import MAX_BACKOFF_DOUBLINGS
from scaling_operator.core.observed import AttemptPhase, AttemptView, LiveTrial, Rules
from scaling_operator.core.reasons import Next, next_of
from scaling_operator.sizing.usage import NoMachineLeft
from scaling_trainer.contract import (
    EXIT_ACCELERATOR_OOM,
    EXIT_DATA_ERROR,
    EXIT_DIVERGED,
    EXIT_NO_SPACE,
)
from scaling_trainer.results import Result


def values_of(result: Result, objectives: tuple[Objective, ...]) -> tuple[float, ...] | str:
    """Take the objectives' values, from `metrics` by name or `values` in order; else the fault."""
    names = [objective.metric for objective in objectives]
    if result.values is not None:
        if len(result.values) != len(names):
            return f"the result has {len(result.values)} values for {len(names)} objectives"
        return result.values
    missing = [name for name in names if name not in result.metrics]
    if missing:
        reported = ", ".join(sorted(result.metrics)) or "no metrics"
        return f"the result lacks {', '.join(missing)}; it has {reported}"
    return tuple(result.metrics[name] for name in names)


def early_points(result: Result, objectives: tuple[Objective, ...]) -> tuple[EarlyPoint, ...]:
    """Take the objective at each early point of a run; points without it are left out."""
    first, *others = objectives
    if others:
        return ()
    name = first.metric
    return tuple(
        EarlyPoint(samples=point.samples, flops=point.flops, value=point.metrics[name])
        for point in result.points
        if name in point.metrics and point.samples >= 0 and (point.flops or 0.0) >= 0
    )


_REASON_OF_EXIT_CODE = {
    EXIT_DIVERGED: Reason.DIVERGED,
    EXIT_DATA_ERROR: Reason.DATA_ERROR,
    EXIT_NO_SPACE: Reason.STORAGE_FULL,
}


def settle(
    trial: LiveTrial, *, spec: ExperimentSpec, rules: Rules, now_seconds: float
) -> Action | None:
    """Decide what follows for a trial from the state of its attempt; None: nothing yet.

    Nothing follows from an absent workload here: the plan launches it, since that needs a slot.
    """
    view = trial.view
    age_seconds = now_seconds - view.since_seconds
    match view.phase:
        case AttemptPhase.ABSENT:
            return None
        case AttemptPhase.WAITING:
            return _waiting(trial, spec, rules, age_seconds)
        case AttemptPhase.RUNNING:
            if age_seconds >= spec.trials.timeout.total_seconds():
                return _fail(trial, Reason.TIMED_OUT, f"ran longer than {spec.trials.timeout}")
            return _running(trial)
        case AttemptPhase.EXITED:
            return _exited(trial, spec, rules, age_seconds)
        case AttemptPhase.LOST:
            reason = view.reason or Reason.POD_DELETED
            return _interrupted(trial, reason, trial.view.message, spec.trials.max_interruptions)
        case _:
            assert_never(view.phase)


def deadline(trial: LiveTrial, *, spec: ExperimentSpec, rules: Rules) -> float | None:
    """Give the time when `settle` decides otherwise by time alone, in seconds since the epoch."""
    view = trial.view
    match view.phase:
        case AttemptPhase.RUNNING:
            return view.since_seconds + spec.trials.timeout.total_seconds()
        case AttemptPhase.WAITING:
            if _queues(view) and trial.state is not TrialState.QUEUED:
                return view.since_seconds + rules.queueing_grace_seconds
            return view.since_seconds + spec.trials.pending_timeout.total_seconds()
        case AttemptPhase.EXITED:
            return view.since_seconds + rules.no_result_grace_seconds
        case AttemptPhase.ABSENT:
            return queue_deadline(trial, spec)
        case AttemptPhase.LOST:
            return None
        case _:
            assert_never(view.phase)


def _waiting(
    trial: LiveTrial, spec: ExperimentSpec, rules: Rules, age_seconds: float
) -> Action | None:
    reason = trial.view.reason
    if reason is not None and next_of(reason) is Next.FAIL:
        return _fail(trial, reason, trial.view.message)
    if age_seconds >= spec.trials.pending_timeout.total_seconds():
        return waited_too_long(trial, spec, reason, trial.view.message)
    if _queues(trial.view) and age_seconds >= rules.queueing_grace_seconds:
        return _queued(trial)
    return None


def waited_too_long(
    trial: LiveTrial, spec: ExperimentSpec, reason: Reason | None, message: str
) -> EndTrial:
    """End a trial that has had no machine for too long."""
    waited = f"waited longer than {spec.trials.pending_timeout}"
    explained = f"{waited}: {message}" if message else waited
    return _fail(trial, reason or Reason.UNSCHEDULABLE, explained)


def without_machine(trial: LiveTrial, left: NoMachineLeft) -> EndTrial:
    """End a trial for whose next attempt no machine is left."""
    return _fail(trial, left.reason, left.message)


def queue_deadline(trial: LiveTrial, spec: ExperimentSpec) -> float | None:
    """Give the time when a trial without a workload has waited too long; None: it does not wait."""
    if trial.queued_seconds is None:
        return None
    return trial.queued_seconds + spec.trials.pending_timeout.total_seconds()


def _queues(view: AttemptView) -> bool:
    """Whether an attempt waits for a machine that others have.

    An attempt that waits for its image, say, has its machine already.
    """
    return next_of(view.reason) is Next.WAIT or view.is_refused


def _queued(trial: LiveTrial) -> Action | None:
    if trial.state is TrialState.QUEUED:
        return None
    view = trial.view
    return SetState(
        scale=trial.scale,
        number=trial.number,
        state=TrialState.QUEUED,
        reason=view.reason,
        message=view.message,
        queued_seconds=view.since_seconds,
    )


def _running(trial: LiveTrial) -> Action | None:
    return None if trial.state is TrialState.RUNNING else runs_again(trial)


def runs_again(trial: LiveTrial) -> SetState:
    """Record that a queued trial waits no more."""
    return SetState(trial.scale, trial.number, TrialState.RUNNING, reason=None, message="")


def _exited(
    trial: LiveTrial, spec: ExperimentSpec, rules: Rules, age_seconds: float
) -> Action | None:
    view = trial.view
    if view.exit_code != 0:
        return _exited_badly(trial, rules, spec.trials.max_interruptions)
    if view.result_problem is not None:
        return _fail(trial, Reason.INVALID_RESULT, view.result_problem)
    if view.result is None:
        if age_seconds < rules.no_result_grace_seconds:
            return None
        return _fail(trial, Reason.NO_RESULT, "exit 0, and nothing in $SCALING_RESULT_FILE")
    values = values_of(view.result, spec.all_objectives)
    if isinstance(values, str):
        return _fail(trial, Reason.INVALID_RESULT, values)
    return EndTrial(
        scale=trial.scale,
        number=trial.number,
        state=TrialState.SUCCEEDED,
        result=view.result,
        values=values,
        exit_code=0,
        points=early_points(view.result, spec.all_objectives),
    )


def _exited_badly(trial: LiveTrial, rules: Rules, max_interruptions: int) -> Action:
    view = trial.view
    reason = _reason_of_exit(view)
    message = view.message or f"the trainer ended with exit code {view.exit_code}"
    if next_of(reason) is Next.REPEAT:
        return _interrupted(trial, reason, message, max_interruptions)
    if next_of(reason) is Next.ESCALATE:
        escalations = sum(next_of(ended) is Next.ESCALATE for ended in trial.ended_attempts)
        if escalations < rules.max_escalations:
            return repeated(trial, reason, message)
    return _fail(trial, reason, message)


def _reason_of_exit(view: AttemptView) -> Reason:
    if view.reason is not None:
        return view.reason
    if view.exit_code in _REASON_OF_EXIT_CODE:
        return _REASON_OF_EXIT_CODE[view.exit_code]
    reported = view.result.reason if view.result is not None else None
    if view.exit_code == EXIT_ACCELERATOR_OOM or reported == Reason.ACCELERATOR_OOM:
        return Reason.ACCELERATOR_OOM
    return Reason.TRAINER_FAILED


def _interrupted(trial: LiveTrial, reason: Reason, message: str, max_interruptions: int) -> Action:
    if interruptions_in_a_row(trial) >= max_interruptions:
        return _fail(trial, reason, f"interrupted {trial.attempt + 1} times, the last: {reason}")
    return repeated(trial, reason, message)


def interruptions_in_a_row(trial: LiveTrial) -> int:
    """Count the interruptions right before this attempt, without another end in between."""
    count = 0
    for reason in reversed(trial.ended_attempts):
        if next_of(reason) is not Next.REPEAT:
            break
        count += 1
    return count


def launch_time(trial: LiveTrial, rules: Rules) -> float:
    """Give the time when the next attempt may start, in seconds since the epoch.

    Each further interruption in a row doubles the pause, MAX_BACKOFF_DOUBLINGS times at most.
    """
    interruptions = interruptions_in_a_row(trial)
    if not interruptions or trial.last_ended_seconds is None:
        return 0.0
    doublings = min(interruptions - 1, MAX_BACKOFF_DOUBLINGS)
    return trial.last_ended_seconds + rules.backoff_seconds * 2.0**doublings


def repeated(trial: LiveTrial, reason: Reason, message: str) -> EndAttempt | EndTrial:
    """End an attempt; another one follows, unless it was the last that a trial may have."""
    if trial.attempt + 1 >= MAX_ATTEMPTS:
        return _fail(trial, reason, f"its last attempt of {MAX_ATTEMPTS}: {message or reason}")
    return EndAttempt(
        scale=trial.scale,
        number=trial.number,
        attempt=trial.attempt,
        reason=reason,
        message=message,
        exit_code=trial.view.exit_code,
    )


def _fail(trial: LiveTrial, reason: Reason, message: str) -> EndTrial:
    view = trial.view
    return EndTrial(
        scale=trial.scale,
        number=trial.number,
        state=TrialState.FAILED,
        reason=reason,
        message=message,
        result=view.result,
        exit_code=view.exit_code,
    )
