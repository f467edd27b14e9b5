"""Whom a run tells what happens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from scaling_operator.api.status import ExperimentStatus
from scaling_operator.api.trial import ScalingTrial
from scaling_operator.core.reports import AttemptKey, Report


@dataclass(frozen=True, slots=True)
class Watcher:
    """Whom a run tells what happens: a progress display, a log."""

    status: Callable[[ExperimentStatus], None]
    ended: Callable[[ScalingTrial], None]
    reported: Callable[[AttemptKey, Report], None]
