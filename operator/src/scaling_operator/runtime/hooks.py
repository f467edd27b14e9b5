"""Whom a run tells what happens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from scaling_operator.api.status import ExperimentStatus
from scaling_operator.api.trial import ScalingTrial
from scaling_operator.core.actions import Action
from scaling_operator.core.reports import AttemptKey, Report


def _ignore(*heard: object) -> None:
    del heard


@dataclass(frozen=True, slots=True)
class Hooks:
    """Whom a run tells what happens: a progress display, a log, Events."""

    status: Callable[[ExperimentStatus], None] = _ignore
    ended: Callable[[ScalingTrial], None] = _ignore
    reported: Callable[[AttemptKey, Report], None] = _ignore
    changed: Callable[[ScalingTrial, ScalingTrial], None] = _ignore
    """A status was stored: before and after."""
    decided: Callable[[Action], None] = _ignore
    """Something is about to be done; once more where it has to be done again."""
    asked: Callable[[float], None] = _ignore
    """The sampler proposed something; how many seconds it took."""
    ask_failed: Callable[[], None] = _ignore
    """The sampler raised instead."""
    noted: Callable[[str], None] = _ignore
    """Something the user should know, which stops nothing."""
