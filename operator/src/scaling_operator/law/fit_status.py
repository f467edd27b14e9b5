"""From a law's report to what a status says: plain models, numbers that exist, bounded texts."""

from __future__ import annotations

import math
from collections.abc import Mapping

from scaling_operator.api.fitted import (
    BudgetOptimum,
    Coefficient,
    FitStatus,
    HeldOut,
    Interval,
    Intervals,
    LeftOut,
    Quantity,
    Recommendation,
    Resampling,
    ScalePrediction,
    SecondOpinion,
    ThirdOpinion,
    Trend,
)
from scaling_operator.api.scaling import Target
from scaling_operator.law import bootstrap
from scaling_operator.law import results as report
from scaling_operator.law.chinchilla import NotFitted
from scaling_operator.law.envelope import Envelope
from scaling_operator.law.experiment_points import ExperimentPoints
from scaling_operator.law.holdout import HoldOut
from scaling_operator.law.isoflop import IsoFlop
from scaling_operator.law.results import FitReport
from scaling_operator.sizing.run_plan import RunPlan

LONGEST = 1024
QUANTITIES: tuple[Quantity, ...] = ("parameters", "tokens", "tokensPerParameter", "loss", "flops")
COEFFICIENTS: tuple[Coefficient, ...] = ("E", "A", "B", "alpha", "beta", "a")


def status_of(fit: FitReport, prepared: ExperimentPoints, trends: Mapping[str, Trend]) -> FitStatus:
    """Say what was fitted; without a fit, how many points there are and which are left out."""
    worst = tuple(
        LeftOut(scale=prepared.used[row].scale.index, reason="DropWorst") for row in fit.dropped
    )
    common = FitStatus(
        quantity=fit.points.quantity,
        size=prepared.size,
        points=len(fit.points),
        drop_worst=fit.options.drop_worst,
        left_out=(*prepared.left_out, *worst),
        isoflop=_isoflop(fit.isoflop, fit.isoflop_interval),
        hyperparameters=dict(trends),
    )
    if fit.fitted is None:
        return common
    law = fit.fitted.law
    values = {name: finite(float(getattr(law, name)[0])) for name in COEFFICIENTS}
    return common.model_copy(
        update={
            "form": fit.form,
            "parameters": {
                name: value
                for name, value in values.items()
                if value is not None and not (law.one_variable and name in ("B", "beta", "a"))
            },
            "intervals": {
                name: doubt_of(fit.intervals[name])
                for name in COEFFICIENTS
                if name in fit.intervals
            },
            "objective": fit.fitted.objective,
            "huber_delta": fit.fitted.problem.delta,
            "bootstrap": _resampling(fit.draws),
            "hold_out": _held_out(fit.hold_out),
            "envelope": _envelope(fit.envelope),
        }
    )


def recommendation_of(
    target: Target, answer: report.SizeRecommendation, size: float | None
) -> Recommendation:
    """Write an answer; `size` is the ladder's parameter at its N."""
    spread: dict[Quantity, Intervals] = {
        name: doubt_of(answer.intervals[name])
        for name in QUANTITIES
        if _is_open(answer.intervals.get(name, {}))
    }
    sizes = spread.get("parameters", Intervals())
    return Recommendation(
        target=target,
        method=answer.method,
        parameters=finite(answer.parameters),
        interval80=sizes.interval80,
        interval95=sizes.interval95,
        flat_range=interval_of(answer.flat_range),
        range=interval_of(answer.range),
        size=finite(size),
        tokens=finite(answer.tokens),
        tokens_per_parameter=finite(answer.tokens_per_parameter),
        flops=finite(answer.flops),
        loss=finite(answer.loss),
        intervals=spread,
    )


def with_machine(found: Recommendation, plan: RunPlan) -> Recommendation:
    """Add what the recommended run takes, and why some of it is not known."""
    return found.model_copy(
        update={
            "shape": plan.shape,
            "count": plan.count,
            "hours": finite(plan.hours),
            "gpu_hours": finite(plan.gpu_hours),
            "cost": finite(plan.cost),
            "machine_reason": plan.reason,
            "machine_message": plan.message[:LONGEST] or None,
        }
    )


def _is_open(spread: bootstrap.Intervals) -> bool:
    """Whether there is doubt: what was asked for, or a ladder's path decides, has none to show."""
    return any(high > low for low, high in spread.values())


def prediction_of(each: report.Prediction, fit: FitReport) -> ScalePrediction | None:
    """Write a prediction in the objective's own units; None for a value beyond the floats."""
    is_error = fit.points.quantity == "error"
    value = 1.0 - each.loss if is_error else each.loss
    if not math.isfinite(value):
        return None
    spread = {
        level: (1.0 - high, 1.0 - low) if is_error else (low, high)
        for level, (low, high) in each.intervals.items()
    }
    doubt = doubt_of(spread)
    return ScalePrediction(
        value=value,
        interval80=doubt.interval80,
        interval95=doubt.interval95,
        model_parameters=each.parameters,
        samples=each.tokens,
        points=len(fit.points),
    )


def doubt_of(spread: bootstrap.Intervals) -> Intervals:
    """Take the levels that a status shows."""
    return Intervals(interval80=interval_of(spread.get(80)), interval95=interval_of(spread.get(95)))


def interval_of(ends: bootstrap.Interval | None) -> Interval | None:
    """Write an interval; an end that is not finite is no bound."""
    return None if ends is None else Interval(low=finite(ends[0]), high=finite(ends[1]))


def finite(value: float | None) -> float | None:
    """Leave out what is not a finite number."""
    return None if value is None or not math.isfinite(value) else value


def _resampling(draws: bootstrap.Draws | None) -> Resampling | None:
    if draws is None:
        return None
    return Resampling(
        count=draws.count, failed=draws.failed, resample=draws.resample, seed=draws.seed
    )


def _held_out(score: HoldOut | NotFitted | None) -> HeldOut | None:
    match score:
        case None:
            return None
        case NotFitted():
            return HeldOut(reason=score.reason, message=score.message[:LONGEST])
        case HoldOut():
            return HeldOut(
                cut=score.cut,
                below=score.below,
                above=score.above,
                error=finite(score.error),
                line_error=finite(score.line_error),
                nearest_error=finite(score.nearest_error),
            )


def _isoflop(isoflop: IsoFlop | None, spread: bootstrap.Intervals) -> SecondOpinion | None:
    if isoflop is None:
        return None
    doubt = doubt_of(spread)
    return SecondOpinion(
        a=None if isoflop.power is None else finite(float(isoflop.power.a[0])),
        interval80=doubt.interval80,
        interval95=doubt.interval95,
        optima=tuple(
            BudgetOptimum(
                budget_flops=each.budget_flops,
                parameters=each.parameters,
                loss=each.loss,
                edge=each.edge,
            )
            for each in isoflop.minima
        ),
    )


def _envelope(found: Envelope | NotFitted | None) -> ThirdOpinion | None:
    match found:
        case None:
            return None
        case NotFitted():
            return ThirdOpinion(reason=found.reason, message=found.message[:LONGEST])
        case Envelope():
            places = zip(found.flops, found.parameters, found.loss, strict=True)
            optima = tuple(
                BudgetOptimum(budget_flops=float(c), parameters=float(n), loss=float(value))
                for c, n, value in places
            )
            return ThirdOpinion(a=finite(found.a), optima=optima)
