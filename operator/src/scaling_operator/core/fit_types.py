"""The input and the answer of a fit, as plain values: the core knows no numpy.

A shell passes a `FitInput` to the package `law`, and puts the `FitView` that comes back into
`Observed`. Two inputs are equal exactly where their fits are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.fields import Scalar
from scaling_operator.api.names import ConditionType
from scaling_operator.api.status import CurvePoint
from scaling_operator.api.status_fit import (
    FitStatus,
    Interval,
    Recommendation,
    ScalePrediction,
    finite,
)
from scaling_operator.core.ladder import Scale
from scaling_operator.sizing.run_plan import KnownMachines, RunPlan
from scaling_trainer.foreign_text import MAX_MESSAGE

MACHINE_FIELDS: Mapping[str, str] = {
    field.name: f"machine_{field.name}" if field.name in ("reason", "message") else field.name
    for field in fields(RunPlan)
}
"""From a field of a plan to the field of a recommendation that holds it."""


@dataclass(frozen=True, slots=True)
class TunedPoint:
    """The best trial of a scale at one D; `curve` is its learning curve, where D is its end.

    `edges` are searched numbers at an end of the file's range; `narrow_edges` are those at an end
    of the range that transfer has narrowed.
    """

    scale: Scale
    trial: str
    value: float
    parameters: Mapping[str, Scalar]
    model_parameters: float | None = None
    samples: float | None = None
    flops: float | None = None
    edges: tuple[str, ...] = ()
    narrow_edges: tuple[str, ...] = ()
    curve: tuple[CurvePoint, ...] = ()


@dataclass(frozen=True, slots=True)
class FitInput:
    """Everything that a fit depends on.

    `tuning` are scales whose trials have not all ended. `untried` are scales without any trial, for
    which the law predicts. `seed` fixes starts and resamples. `machines` price what the law
    recommends. `bought` maps money to the FLOPs that it buys, where an answer is read back.
    """

    spec: ExperimentSpec
    points: tuple[TunedPoint, ...]
    tuning: tuple[int, ...] = ()
    untried: tuple[Scale, ...] = ()
    seed: int = 0
    machines: KnownMachines | None = None
    bought: Mapping[float, float] = field(default_factory=dict[float, float])


@dataclass(frozen=True, slots=True)
class FitCondition:
    """One statement about a fit."""

    type: ConditionType
    reason: str
    message: str
    is_true: bool = True


@dataclass(frozen=True, slots=True)
class FitView:
    """The answer of a fit: its part of the status, and predictions by index of untried scales."""

    fit_input: FitInput
    status: FitStatus
    conditions: tuple[FitCondition, ...]
    recommendations: tuple[Recommendation, ...] = ()
    predictions: Mapping[int, ScalePrediction] = field(default_factory=dict[int, ScalePrediction])


def checked(prediction: ScalePrediction, seen: float) -> ScalePrediction:
    """Compare a prediction with the best value that was seen."""
    within = "outside"
    if _holds(prediction.interval80, seen):
        within = "80"
    elif _holds(prediction.interval95, seen):
        within = "95"
    error = seen / prediction.value - 1.0 if prediction.value else None
    return prediction.model_copy(update={"seen": seen, "error": error, "within": within})


def with_machine(recommendation: Recommendation, plan: RunPlan) -> Recommendation:
    """Add what the recommended run takes, and why some of it is not known."""
    machine = {there: finite(getattr(plan, here)) for here, there in MACHINE_FIELDS.items()}
    return recommendation.model_copy(
        update=machine | {"machine_message": plan.message[:MAX_MESSAGE] or None}
    )


def plan_of(recommendation: Recommendation) -> RunPlan:
    """Read back from a status what a recommended run takes."""
    stored: dict[str, Any] = {
        here: getattr(recommendation, there) for here, there in MACHINE_FIELDS.items()
    }
    stored["message"] = recommendation.machine_message or ""
    return RunPlan(**stored)


def _holds(interval: Interval | None, value: float) -> bool:
    if interval is None:
        return False
    above = interval.low is None or interval.low <= value
    return above and (interval.high is None or value <= interval.high)
