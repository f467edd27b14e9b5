"""From an action to the trial's status that commits it. Both shells write this status."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pydantic import ValidationError

from scaling_operator.api.names import Reason, TrialState
from scaling_operator.api.status import Attempt, CurvePoint, TrialStatus
from scaling_operator.api.status_sizing import AttemptResources
from scaling_operator.core.actions import EndAttempt, EndTrial, SetState
from scaling_operator.core.conditions import moment
from scaling_operator.core.curve import CurvePoints, thin
from scaling_operator.sizing.usage import Usage, used
from scaling_trainer.foreign_text import as_message


@dataclass(frozen=True, slots=True)
class Machine:
    """What an attempt had: its resources, since when, and what they use in an hour."""

    resources: AttemptResources
    started_seconds: float | None
    rate: Usage


def finished(
    before: TrialStatus,
    finish: EndTrial,
    curve: CurvePoints,
    now_seconds: float,
    machine: Machine | None = None,
) -> TrialStatus:
    """Build the terminal status of a trial; with a machine it records the last attempt too.

    Where such a status could not be read back, the trial has failed as InvalidResult instead.
    Raises ValueError where the trial has ended already: the first end stays.
    """
    status = _finished(before, finish, curve, now_seconds, machine)
    problem = _unreadable(status)
    if problem is None:
        return status
    return _finished(before, _without_result(finish, problem), curve, now_seconds, machine)


def status_refused(before: TrialStatus, why: str, now_seconds: float) -> TrialStatus:
    """Build the terminal status of a trial whose status the API server refuses.

    It adds nothing from the trial's container to what is stored already.
    """
    return before.model_copy(
        update={
            "state": TrialState.FAILED,
            "reason": Reason.INVALID_RESULT,
            "message": as_message(f"its status is refused: {why}"),
            "completion_time": moment(now_seconds),
        }
    )


def _without_result(finish: EndTrial, problem: str) -> EndTrial:
    return replace(
        finish,
        state=TrialState.FAILED,
        reason=Reason.INVALID_RESULT,
        message=problem,
        result=None,
        values=(),
        points=(),
    )


def _unreadable(status: TrialStatus) -> str | None:
    """Say which part of a status could not be read back; None where all could."""
    try:
        TrialStatus.model_validate_json(status.model_dump_json(exclude_none=True))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    except ValueError as error:  # half of a character, which no text can hold
        return str(error)
    return None


def _finished(
    before: TrialStatus,
    finish: EndTrial,
    curve: CurvePoints,
    now_seconds: float,
    machine: Machine | None,
) -> TrialStatus:
    if before.state.ended:
        message = f"the trial has ended as {before.state}; it cannot end again as {finish.state}"
        raise ValueError(message)
    result = finish.result
    phases = {point.step: point.phase for point in before.curve}
    now = moment(now_seconds)
    status = before.model_copy(
        update={
            "state": finish.state,
            "queued_time": None,
            "reason": finish.reason,
            "message": as_message(finish.message),
            "completion_time": now,
            "values": finish.values,
            "curve": tuple(
                CurvePoint(step=step, value=value, phase=phases.get(step))
                for step, value in thin(curve)
            ),
            "points": finish.points,
        }
    )
    if machine is not None:
        last = Attempt(
            number=len(before.attempts),
            reason=finish.reason if isinstance(finish.reason, Reason) else None,
            message=as_message(finish.message),
            exit_code=finish.exit_code,
        )
        status = _with_attempt(status, last, now_seconds, machine)
    if result is None:
        return status
    return status.model_copy(
        update={
            "metrics": dict(result.metrics),
            "model_parameters": result.model_parameters,
            "samples": result.samples,
            "flops": result.flops,
            "steps": result.steps,
            "seconds": result.seconds,
            "step_seconds": result.step_seconds,
            "peak_host_bytes": result.peak_host_bytes,
            "peak_device_bytes": result.peak_device_bytes,
        }
    )


def attempt_ended(
    before: TrialStatus, action: EndAttempt, now_seconds: float, machine: Machine | None = None
) -> TrialStatus:
    """Record an attempt that ended without a result. Repeating it changes nothing."""
    if len(before.attempts) > action.attempt or before.state.ended:
        return before
    ended = Attempt(
        number=action.attempt,
        reason=action.reason,
        message=as_message(action.message),
        exit_code=action.exit_code,
    )
    return _with_attempt(before, ended, now_seconds, machine)


def _with_attempt(
    before: TrialStatus, ended: Attempt, now_seconds: float, machine: Machine | None
) -> TrialStatus:
    """Add an attempt that is over, and what it has used; the next attempt's wait begins anew."""
    before = before.model_copy(update={"queued_time": None})
    ended = ended.model_copy(update={"completion_time": moment(now_seconds)})
    if machine is None:
        return before.model_copy(update={"attempts": (*before.attempts, ended)})
    started = machine.started_seconds
    ended = ended.model_copy(
        update={
            "resources": machine.resources,
            "start_time": moment(started),
        }
    )
    more = used(machine.rate, started, now_seconds)
    return before.model_copy(
        update={
            "attempts": (*before.attempts, ended),
            "gpu_hours": (before.gpu_hours or 0.0) + more.gpu_hours,
            "cost": (before.cost or 0.0) + more.cost,
        }
    )


def state_set(before: TrialStatus, action: SetState) -> TrialStatus:
    """Record that a trial is queued, and since when; or that it waits no more."""
    if before.state.ended:
        return before
    return before.model_copy(
        update={
            "state": action.state,
            "reason": action.reason,
            "message": as_message(action.message),
            "queued_time": moment(action.queued_seconds),
        }
    )
