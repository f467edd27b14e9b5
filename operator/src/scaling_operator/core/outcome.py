"""From an action to the trial's status that commits it. Both shells write what stands here."""

from __future__ import annotations

from datetime import UTC, datetime

from scaling_operator.api.status import Attempt, CurvePoint, TrialStatus
from scaling_operator.core.actions import EndAttempt, Finish, SetState
from scaling_operator.core.curve import thin

MAX_MESSAGE = 1024
Curve = tuple[tuple[int, float], ...]


def finished(before: TrialStatus, finish: Finish, curve: Curve, now_seconds: float) -> TrialStatus:
    """Build the terminal status of a trial.

    Raises ValueError where the trial has ended already: the first end stays.
    """
    if before.state.ended:
        message = f"the trial has ended as {before.state}; it cannot end again as {finish.state}"
        raise ValueError(message)
    result = finish.result
    phases = {point.step: point.phase for point in before.curve}
    now = datetime.fromtimestamp(now_seconds, tz=UTC)
    status = before.model_copy(
        update={
            "state": finish.state,
            "reason": finish.reason,
            "message": finish.message[:MAX_MESSAGE],
            "completion_time": now,
            "values": finish.values,
            "curve": tuple(
                CurvePoint(step=step, value=value, phase=phases.get(step))
                for step, value in thin(curve)
            ),
            "points": finish.points,
        }
    )
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


def attempt_ended(before: TrialStatus, action: EndAttempt, now_seconds: float) -> TrialStatus:
    """Record an attempt that ended without a result. Repeating it changes nothing."""
    if len(before.attempts) > action.attempt or before.state.ended:
        return before
    ended = Attempt(
        number=action.attempt,
        reason=action.reason,
        message=action.message[:MAX_MESSAGE],
        exit_code=action.exit_code,
        completion_time=datetime.fromtimestamp(now_seconds, tz=UTC),
    )
    return before.model_copy(update={"attempts": (*before.attempts, ended)})


def state_set(before: TrialStatus, action: SetState) -> TrialStatus:
    """Record that a trial is queued, or runs again."""
    if before.state.ended:
        return before
    return before.model_copy(
        update={
            "state": action.state,
            "reason": action.reason,
            "message": action.message[:MAX_MESSAGE],
        }
    )
