"""What is decided about an experiment, in the log: one line for each decision."""

from __future__ import annotations

import logging
from typing import assert_never

from scaling_operator.api.names import TrialState
from scaling_operator.core.actions import (
    Action,
    AddScales,
    Ask,
    Discard,
    EndAttempt,
    Finish,
    Launch,
    OpenScale,
    SetState,
)
from scaling_operator.kube.client.index import Key
from scaling_operator.kube.logs import Fields, about

log = logging.getLogger(__name__)


def write_decision(key: Key, action: Action) -> None:
    """Write a line; a failure is a warning."""
    sentence, fields = _told(key, action)
    failed = isinstance(action, Finish) and action.state is TrialState.FAILED
    level = logging.WARNING if failed or isinstance(action, EndAttempt) else logging.INFO
    log.log(level, "%s", sentence, extra=fields)


def _told(key: Key, action: Action) -> tuple[str, Fields]:
    match action:
        case AddScales():
            sizes = ", ".join(str(scale.index) for scale in action.scales)
            return f"scales are added: {sizes}", about(key)
        case OpenScale():
            return f"scale {action.scale} opens", about(key)
        case _:
            return _told_of_trial(key, action)


def _told_of_trial(
    key: Key, action: Ask | Launch | SetState | EndAttempt | Finish | Discard
) -> tuple[str, Fields]:
    trial = (action.scale, action.number)
    match action:
        case Ask():
            how = "proposed" if action.point is None else "proposed at a given point"
            return f"a trial is {how}", about(key, trial=trial)
        case Launch():
            return "an attempt starts", about(key, trial=trial, attempt=action.attempt)
        case SetState():
            sentence = _sentence(f"the trial is {action.state}", action.message)
            return sentence, about(key, trial=trial, reason=action.reason)
        case EndAttempt():
            sentence = _sentence("the attempt is over, another follows", action.message)
            fields = about(key, trial=trial, attempt=action.attempt, reason=action.reason)
            return sentence, fields
        case Finish():
            sentence = _sentence(f"the trial ends {action.state}", _outcome(action))
            return sentence, about(key, trial=trial, reason=action.reason)
        case Discard():
            fields = about(key, trial=trial, attempt=action.attempt)
            return "the attempt's workload is deleted", fields
        case _:
            assert_never(action)


def _outcome(action: Finish) -> str:
    values = ", ".join(f"{value:.6g}" for value in action.values)
    return action.message or values


def _sentence(what: str, detail: str) -> str:
    # A trainer's last words may be long, and of several lines.
    return f"{what}: {' '.join(detail.split())[:300]}" if detail else what
