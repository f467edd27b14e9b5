"""A report as plain JSON values: the object of `scaling fit --json`, and `fit` in a status.

Numbers that do not exist, and ends of intervals that are not bounded, are null.
"""

from __future__ import annotations

import math

from scaling_operator.core.fit_types import FitCondition
from scaling_operator.law.bootstrap import Draws, Interval, Intervals
from scaling_operator.law.holdout import HoldOut
from scaling_operator.law.isoflop import IsoFlop
from scaling_operator.law.optimum import Question
from scaling_operator.law.parametric_fit import NotFitted
from scaling_operator.law.points import Array
from scaling_operator.law.results import FitReport, Prediction, SizeRecommendation

Json = dict[str, "Json"] | list["Json"] | str | int | float | bool | None


def to_json(report: FitReport) -> dict[str, Json]:
    """Return the report as a JSON object; `points` is their number, intervals are [low, high]."""
    fitted = report.fitted
    law = None if fitted is None else fitted.law
    return {
        "form": report.form,
        "method": report.options.method,
        "quantity": report.points.quantity,
        "E": None if law is None else _first(law.E),
        "A": None if law is None else _first(law.A),
        "B": None if law is None or law.one_variable else _first(law.B),
        "alpha": None if law is None else _first(law.alpha),
        "beta": None if law is None else _first(law.beta),
        "a": None if law is None else _first(law.a),
        "objective": None if fitted is None else _number(fitted.objective),
        "huberDelta": None if fitted is None else fitted.problem.delta,
        "points": len(report.points),
        "dropWorst": report.options.drop_worst,
        "dropped": list(report.dropped),
        "flopsFactor": _number(report.path.flops_factor),
        "intervals": {name: _intervals(each) for name, each in report.intervals.items()},
        "bootstrap": _bootstrap(report.draws),
        "isoflop": _isoflop(report.isoflop, report.isoflop_interval),
        "recommendation": [_recommendation(each) for each in report.recommendation],
        "predictions": [_prediction(each) for each in report.predictions],
        "holdOut": _hold_out(report.hold_out),
        "conditions": [_condition(each) for each in report.conditions],
    }


def _recommendation(each: SizeRecommendation) -> Json:
    """`interval80`, `interval95` are of the parameters; `intervals` has the other quantities."""
    sizes = each.intervals.get("parameters", {})
    return {
        "target": _target(each.target),
        "targetFlops": _number(each.flops),
        "method": each.method,
        "parameters": _number(each.parameters),
        "tokens": _number(each.tokens),
        "tokensPerParameter": _number(each.tokens_per_parameter),
        "loss": _number(each.loss),
        "interval80": _interval(sizes.get(80)),
        "interval95": _interval(sizes.get(95)),
        "flatRange": _interval(each.flat_range),
        "intervals": {name: _intervals(values) for name, values in each.intervals.items()},
        "isoflopParameters": _number(each.isoflop_parameters),
        "range": _interval(each.range),
    }


def _target(target: Question) -> Json:
    served: dict[str, Json] = {"inferenceTokens": target.served} if target.served else {}
    return {target.kind: target.value} | served


def _prediction(each: Prediction) -> Json:
    return {
        "parameters": _number(each.parameters),
        "tokens": _number(each.tokens),
        "loss": _number(each.loss),
        "interval80": _interval(each.intervals.get(80)),
        "interval95": _interval(each.intervals.get(95)),
    }


def _isoflop(isoflop: IsoFlop | None, spread: Intervals) -> Json:
    if isoflop is None:
        return None
    return {
        "optimum": isoflop.interpolation,
        "a": None if isoflop.power is None else _first(isoflop.power.a),
        "intervals": {"a": _intervals(spread)},
        "optima": [
            {
                "budgetFlops": _number(minimum.budget_flops),
                "parameters": _number(minimum.parameters),
                "loss": _number(minimum.loss),
                "edge": minimum.edge,
            }
            for minimum in isoflop.minima
        ],
    }


def _bootstrap(draws: Draws | None) -> Json:
    if draws is None:
        return None
    return {
        "count": draws.count,
        "failed": draws.failed,
        "resample": draws.resample,
        "seed": draws.seed,
    }


def _hold_out(score: HoldOut | NotFitted | None) -> Json:
    match score:
        case None:
            return None
        case NotFitted():
            return {"error": None, "reason": score.reason, "message": score.message}
        case HoldOut():
            return {
                "cut": score.cut,
                "below": score.below,
                "above": score.above,
                "error": _number(score.error),
                "lineError": _number(score.line_error),
                "nearestError": _number(score.nearest_error),
            }


def _condition(condition: FitCondition) -> Json:
    return {
        "type": condition.type.value,
        "status": "True" if condition.is_true else "False",
        "reason": condition.reason,
        "message": condition.message,
    }


def _intervals(values: Intervals) -> Json:
    return {str(level): _interval(interval) for level, interval in values.items()}


def _interval(interval: Interval | None) -> Json:
    return None if interval is None else [_number(end) for end in interval]


def _first(column: Array) -> float | None:
    return _number(float(column[0]))


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value
