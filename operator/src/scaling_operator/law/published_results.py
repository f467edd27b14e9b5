"""The published results of a fit: an experiment's status, and the object of `scaling fit --json`.

Both are read from `law.results` by the names of the fields. Numbers that do not exist, and ends of
intervals that are not bounded, are absent from the status and null in the JSON.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, cast, get_args

from pydantic.alias_generators import to_camel

from scaling_operator.api.status_fit import (
    Coefficient,
    FitStatus,
    HeldOut,
    Recommendation,
    ScalePrediction,
    finite,
)
from scaling_operator.core.fit_types import MACHINE_FIELDS, FitCondition
from scaling_operator.law import bootstrap
from scaling_operator.law.holdout import HoldOut
from scaling_operator.law.law import Law
from scaling_operator.law.parametric_fit import NotFitted
from scaling_operator.law.results import FitReport, Prediction, SizeRecommendation
from scaling_operator.sizing.run_plan import RunPlan

Json = dict[str, "Json"] | list["Json"] | str | int | float | bool | None

COEFFICIENTS: tuple[Coefficient, ...] = get_args(Coefficient)
IN_DATA: tuple[Coefficient, ...] = ("B", "beta", "a")
"""Coefficients that a law without a term in D does not have."""


def status_of(report: FitReport) -> FitStatus:
    """Write what was fitted to the points, with its intervals."""
    fitted = report.fitted
    return FitStatus.model_validate(
        {
            "form": report.form,
            "quantity": report.points.quantity,
            "parameters": {} if fitted is None else _coefficients(fitted.law),
            "intervals": {
                name: report.intervals[name] for name in COEFFICIENTS if name in report.intervals
            },
            "objective": None if fitted is None else fitted.objective,
            "huber_delta": None if fitted is None else fitted.problem.delta,
            "points": len(report.points),
            "drop_worst": report.options.drop_worst,
            "bootstrap": report.draws,
            "isoflop": report.isoflop,
            "envelope": report.envelope,
            "hold_out": report.hold_out,
        }
    )


def recommendation_of(answer: SizeRecommendation) -> Recommendation:
    """Write an answer; a quantity that the target, or a ladder's path, decides has no interval."""
    doubts = {name: spread for name, spread in answer.intervals.items() if _is_open(spread)}
    return Recommendation.model_validate(replace(answer, intervals=doubts))


def prediction_of(prediction: Prediction, report: FitReport) -> ScalePrediction | None:
    """Write a prediction in the objective's own units; None for a value beyond the floats."""
    is_error = report.points.quantity == "error"
    value = 1.0 - prediction.loss if is_error else prediction.loss
    if not math.isfinite(value):
        return None
    spread = {
        f"interval{level}": (1.0 - high, 1.0 - low) if is_error else (low, high)
        for level, (low, high) in prediction.intervals.items()
    }
    return ScalePrediction.model_validate(
        {
            "value": value,
            "interval80": spread.get("interval80"),
            "interval95": spread.get("interval95"),
            "model_parameters": prediction.parameters,
            "samples": prediction.tokens,
            "points": len(report.points),
        }
    )


def to_json(report: FitReport) -> dict[str, Json]:
    """Return the report as a JSON object; `points` is their number, intervals are [low, high]."""
    status = status_of(report)
    document = {
        "form": status.form,
        "method": report.options.method,
        "quantity": status.quantity,
        **{name: status.parameters.get(name) for name in COEFFICIENTS},
        "objective": status.objective,
        "huberDelta": status.huber_delta,
        "points": status.points,
        "dropWorst": status.drop_worst,
        "dropped": report.dropped,
        "flopsFactor": report.path.flops_factor,
        "intervals": report.intervals,
        "bootstrap": None if status.bootstrap is None else status.bootstrap.model_dump(),
        "isoflop": _isoflop(report, status),
        "recommendation": [_recommendation(answer) for answer in report.recommendation],
        "predictions": [
            _picked(prediction, "parameters", "tokens", "loss", "interval80", "interval95")
            for prediction in report.predictions
        ],
        "holdOut": _hold_out(report.hold_out),
        "conditions": [_condition(condition) for condition in report.conditions],
    }
    return cast("dict[str, Json]", _plain(document))


def machine_json(plan: RunPlan) -> dict[str, Json]:
    """Write what a run takes as keys of a recommendation's JSON object."""
    document = {to_camel(there): getattr(plan, here) for here, there in MACHINE_FIELDS.items()}
    return document | {"machineMessage": plan.message or None}


def _coefficients(law: Law) -> dict[Coefficient, float]:
    values: dict[Coefficient, float] = {name: float(getattr(law, name)[0]) for name in COEFFICIENTS}
    return {
        name: value
        for name, value in values.items()
        if math.isfinite(value) and not (law.one_variable and name in IN_DATA)
    }


def _is_open(spread: bootstrap.Intervals) -> bool:
    """Whether the interval is wider than a point: a quantity that is given, or decided, is not."""
    return any(high > low for low, high in spread.values())


def _isoflop(report: FitReport, status: FitStatus) -> object:
    if report.isoflop is None or status.isoflop is None:
        return None
    return {
        "optimum": report.isoflop.interpolation,
        "a": status.isoflop.a,
        "intervals": {"a": report.isoflop.intervals},
        "optima": [optimum.model_dump() for optimum in status.isoflop.optima],
    }


def _recommendation(answer: SizeRecommendation) -> object:
    """`interval80`, `interval95` are of the parameters; `intervals` has the other quantities."""
    of_size = ("method", "parameters", "tokens", "tokens_per_parameter", "loss")
    doubt = ("interval80", "interval95", "flat_range", "intervals", "isoflop_parameters", "range")
    return {
        "target": answer.target.model_dump(exclude_none=True),
        "targetFlops": answer.flops,
        **_picked(answer, *of_size, *doubt),
    }


def _hold_out(score: HoldOut | NotFitted | None) -> object:
    if score is None:
        return None
    document = HeldOut.model_validate(score).model_dump(exclude_unset=True)
    return {"error": None, **document} if isinstance(score, NotFitted) else document


def _condition(condition: FitCondition) -> object:
    return {
        "type": condition.type.value,
        "status": "True" if condition.is_true else "False",
        "reason": condition.reason,
        "message": condition.message,
    }


def _picked(result: object, *names: str) -> dict[str, object]:
    return {to_camel(name): getattr(result, name) for name in names}


def _plain(value: Any) -> Json:
    """Give JSON: keys are text, tuples are lists, a number that does not exist is null."""
    match value:
        case dict():
            return {str(key): _plain(item) for key, item in cast("dict[Any, Any]", value).items()}
        case tuple() | list():
            return [_plain(item) for item in cast("list[Any]", value)]
        case _:
            return finite(value)
