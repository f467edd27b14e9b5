"""What a plan may have a shell do. Each action is safe to repeat after a crash."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scaling_operator.api.fields import Scalar
from scaling_operator.api.names import Reason, StopReason, TrialState
from scaling_operator.api.status import EarlyPoint, ExperimentStatus, Range
from scaling_operator.api.status_fit import ScalePrediction
from scaling_operator.core.ladder import Scale
from scaling_operator.core.reports import AttemptKey
from scaling_trainer.results import Result


@dataclass(frozen=True, slots=True)
class AddScales:
    """Write scales that `refine` adds into the status, at once: they are stored nowhere else."""

    scales: tuple[Scale, ...]


@dataclass(frozen=True, slots=True)
class OpenScale:
    """Write a scale's ranges, first points and prediction into the status, before any trial."""

    scale: int
    ranges: Mapping[str, Range]
    points: tuple[Mapping[str, Scalar], ...]
    predicted: ScalePrediction | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """Sample the parameters of a trial, create its ScalingTrial, and launch its first attempt.

    The new ScalingTrial commits what Optuna proposed.
    """

    scale: int
    number: int
    point: Mapping[str, Scalar] | None


@dataclass(frozen=True, slots=True)
class Launch:
    """Create the attempt's workload."""

    scale: int
    number: int
    attempt: int


@dataclass(frozen=True, slots=True)
class SetState:
    """Write that a live trial is queued, or runs again."""

    scale: int
    number: int
    state: TrialState
    reason: Reason | None
    message: str
    queued_seconds: float | None = None
    """Since when the trial waits, in seconds since the epoch; None where it runs."""


@dataclass(frozen=True, slots=True)
class EndAttempt:
    """Record that an attempt is over without a result; the next attempt gets the next number."""

    scale: int
    number: int
    attempt: int
    reason: Reason
    message: str
    exit_code: int | None = None


@dataclass(frozen=True, slots=True)
class EndTrial:
    """Commit the trial's end in its status, then tell the study."""

    scale: int
    number: int
    state: TrialState
    reason: Reason | StopReason | None = None
    message: str = ""
    result: Result | None = None
    values: tuple[float, ...] = ()
    exit_code: int | None = None
    points: tuple[EarlyPoint, ...] = ()


@dataclass(frozen=True, slots=True)
class Discard:
    """Delete a workload that nobody waits for."""

    scale: int
    number: int
    attempt: int


Change = SetState | EndAttempt | EndTrial
"""The actions that write the status of a live trial."""
Action = AddScales | OpenScale | Ask | Launch | SetState | EndAttempt | EndTrial | Discard


@dataclass(frozen=True, slots=True)
class Plan:
    """Actions in their required order, the status, and when time alone changes the plan."""

    actions: tuple[Action, ...]
    status: ExperimentStatus
    wake_at_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Grouped:
    """The actions of a plan, grouped by how a shell applies them."""

    scales: tuple[AddScales | OpenScale, ...]
    changes: tuple[Change, ...]
    asks: tuple[Ask, ...]
    launches: tuple[Launch, ...]
    discards: tuple[AttemptKey, ...]


def grouped(actions: Sequence[Action]) -> Grouped:
    """Group the actions of a plan; within a group their order stays."""
    return Grouped(
        scales=tuple(action for action in actions if isinstance(action, AddScales | OpenScale)),
        changes=tuple(action for action in actions if isinstance(action, Change)),
        asks=tuple(action for action in actions if isinstance(action, Ask)),
        launches=tuple(action for action in actions if isinstance(action, Launch)),
        discards=tuple(
            AttemptKey(action.scale, action.number, action.attempt)
            for action in actions
            if isinstance(action, Discard)
        ),
    )
