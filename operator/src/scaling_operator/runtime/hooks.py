"""Functions that the engine calls when something happens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from scaling_operator.api.status import ExperimentStatus
from scaling_operator.api.trial import ScalingTrial
from scaling_operator.core.actions import Action
from scaling_operator.core.reports import AttemptKey, Report


def _ignore(*arguments: object) -> None:
    del arguments


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the engine calls when something happens: a progress display, a log, Events."""

    status: Callable[[ExperimentStatus], None] = _ignore
    ended: Callable[[ScalingTrial], None] = _ignore
    reported: Callable[[AttemptKey, Report], None] = _ignore
    changed: Callable[[ScalingTrial, ScalingTrial], None] = _ignore
    """A status was stored: before and after."""
    decided: Callable[[Action], None] = _ignore
    """An action is about to be carried out; called again where the action is repeated."""
    asked: Callable[[float], None] = _ignore
    """The sampler has proposed a point; the number is the seconds that it took."""
    ask_failed: Callable[[], None] = _ignore
    """The sampler has raised instead of proposing."""
    noted: Callable[[str], None] = _ignore
    """There is something that the user should know, and that stops nothing."""
