"""Answers drawn from a fit: sizes for targets and losses for sizes, each with its intervals."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from scaling_operator.api.scaling import Target
from scaling_operator.law.bootstrap import Draws, Intervals, intervals
from scaling_operator.law.envelope import Curves, Envelope, envelope_size
from scaling_operator.law.isoflop import IsoFlop, optimal_size
from scaling_operator.law.law import Law, loss
from scaling_operator.law.optimum import (
    OptimalSize,
    allocate,
    allocate_repeated,
    allocate_served,
    effective_tokens,
    flat_range,
)
from scaling_operator.law.parametric_fit import Fitted, NotFitted
from scaling_operator.law.points import Array, RunPath
from scaling_operator.law.results import FitOptions, Prediction, SizeRecommendation, Unanswered


@dataclass(frozen=True, slots=True)
class Basis:
    """What answers rest on: a fit and its resamples, or the IsoFLOP minima, or both.

    The envelope gives no answer of its own; it only widens the range of an answer.
    """

    options: FitOptions
    path: RunPath
    fitted: Fitted | None
    draws: Draws | None
    isoflop: IsoFlop | None
    envelope: Envelope | NotFitted | None = None
    curves: Curves | None = None


def recommend(basis: Basis, target: Target) -> SizeRecommendation | Unanswered:
    """Answer a target, or say why the fit holds no answer."""
    if target.kind == "cost":
        return _for_money(basis, target)
    if basis.fitted is None:
        answer = _by_isoflop(basis, target)
        return _unanswered(basis, target) if answer is None else answer
    best = _allocate(basis, basis.fitted.law, target)
    size, tokens, flops = (float(x[0]) for x in (best.parameters, best.tokens, best.flops))
    if not np.isfinite(size):
        return _unanswered(basis, target)
    spread = {} if basis.draws is None else _spread(_allocate(basis, basis.draws.law, target))
    constrained = basis.options.unique_tokens is not None or target.served > 0
    is_flat_known = np.isfinite(flops) and not constrained
    if target.kind == "flops" and not target.served:
        flops = target.value
    return SizeRecommendation(
        target=target,
        method="parametric",
        flops=flops if np.isfinite(flops) else None,
        parameters=size,
        tokens=tokens if np.isfinite(tokens) else None,
        tokens_per_parameter=tokens / size if np.isfinite(tokens) else None,
        loss=float(best.loss[0]),
        intervals=spread,
        flat_range=flat_range(
            basis.fitted.law, flops, basis.path.flops_factor, basis.options.flat_percent
        )
        if is_flat_known
        else None,
        isoflop_parameters=None if target.served else _iso_size(basis, flops),
        envelope_parameters=None if target.served else _envelope_size(basis, flops),
    )


def _for_money(basis: Basis, target: Target) -> SizeRecommendation | Unanswered:
    """Find the FLOPs that the money buys, and answer for those FLOPs."""
    if basis.options.exchange is None:
        return Unanswered(target, "NoPrices", "nothing tells what FLOPs cost")
    # Intervals are not needed while the budget is sought, and take most of the time.
    isoflop = None if basis.isoflop is None else replace(basis.isoflop, draws=None)
    plain = replace(basis, draws=None, isoflop=isoflop)

    def best_at(flops: float) -> tuple[float, float | None] | None:
        answer_at = recommend(plain, Target(flops=flops))
        return (
            None if isinstance(answer_at, Unanswered) else (answer_at.parameters, answer_at.tokens)
        )

    flops = basis.options.exchange(target, best_at)
    answer = flops if isinstance(flops, Unanswered) else recommend(basis, Target(flops=flops))
    return replace(answer, target=target)


def _unanswered(basis: Basis, target: Target) -> Unanswered:
    """Say why: the loss lies below the floor, or the law does not know compute."""
    fitted = basis.fitted
    if fitted is None:
        message = f"IsoFLOP alone says nothing of {'serving' if target.served else 'a loss'}"
        return Unanswered(target, "OutOfReach", message)
    floor = float(fitted.law.E[0])
    if target.kind == "loss" and target.value <= floor:
        message = f"no size reaches it: this law has no answer below its floor (E is {floor:.4g})"
        return Unanswered(target, "OutOfReach", message)
    if fitted.law.one_variable and target.kind == "flops":
        message = "how compute follows from size is not known here"
        return Unanswered(target, "UnknownFlops", message)
    return Unanswered(target, "OutOfReach", f"this law has no answer (E is {floor:.4g})")


def predict(basis: Basis, parameters: float, tokens: float | None) -> Prediction | None:
    """Predict the loss of one run; None without a parametric fit, or without the D it needs."""
    fitted = basis.fitted
    if fitted is None or (tokens is None and not fitted.law.one_variable):
        return None
    size, data = np.array([parameters]), None if tokens is None else np.array([tokens])
    if data is not None and basis.options.unique_tokens is not None:
        data = effective_tokens(data, basis.options.unique_tokens)
    expected = float(loss(fitted.law, size, data)[0, 0])
    if basis.draws is None:
        return Prediction(parameters, tokens, expected, {})
    drawn = loss(basis.draws.law, size, data)[:, 0]
    rng = np.random.default_rng((basis.options.seed, 1))
    # m - ln L is the residual, so that a run scatters by its negative about the prediction.
    scatter = rng.choice(-fitted.residuals, size=len(drawn))
    return Prediction(parameters, tokens, expected, intervals(drawn * np.exp(scatter)))


def with_range(recommendation: SizeRecommendation, isoflop: IsoFlop | None) -> SizeRecommendation:
    """Downgrade to the range of sizes that any method allows at 95 %."""
    sizes = [recommendation.parameters, *recommendation.intervals.get("parameters", {}).get(95, ())]
    if recommendation.envelope_parameters is not None:
        sizes.append(recommendation.envelope_parameters)
    if recommendation.isoflop_parameters is not None and recommendation.flops is not None:
        sizes.append(recommendation.isoflop_parameters)
        if isoflop is not None and isoflop.draws is not None:
            drawn = intervals(optimal_size(isoflop.draws, recommendation.flops))
            sizes += drawn.get(95, ())
    return replace(recommendation, range=(min(sizes), max(sizes)))


def _allocate(basis: Basis, law: Law, target: Target) -> OptimalSize:
    unique = basis.options.unique_tokens
    if target.served:
        return allocate_served(law, target, basis.path)
    if unique is None:
        return allocate(law, target, basis.path)
    return allocate_repeated(law, target, basis.path, unique)


def _spread(drawn: OptimalSize) -> dict[str, Intervals]:
    with np.errstate(invalid="ignore"):
        ratio = drawn.tokens / drawn.parameters
    columns: dict[str, Array] = {
        "parameters": drawn.parameters,
        "tokens": drawn.tokens,
        "tokensPerParameter": ratio,
        "loss": drawn.loss,
        "flops": drawn.flops,
    }
    return {name: intervals(column) for name, column in columns.items()}


def _iso_size(basis: Basis, flops: float) -> float | None:
    if basis.isoflop is None or basis.isoflop.power is None or not np.isfinite(flops):
        return None
    return float(optimal_size(basis.isoflop.power, flops)[0])


def _envelope_size(basis: Basis, flops: float) -> float | None:
    if not isinstance(basis.envelope, Envelope) or not np.isfinite(flops):
        return None
    return envelope_size(basis.envelope, flops)


def _by_isoflop(basis: Basis, target: Target) -> SizeRecommendation | None:
    """Answer by the power law through the minima, which has no loss and no budget for a loss."""
    isoflop = basis.isoflop
    if isoflop is None or isoflop.power is None or target.kind == "loss" or target.served:
        return None
    power = isoflop.power
    flops = target.value
    if target.kind == "parameters":
        flops = float(np.exp((np.log(target.value) - power.log_k[0]) / power.a[0]))
    size = float(optimal_size(power, flops)[0])
    if not np.isfinite(size):
        return None
    work = flops / basis.path.flops_factor
    spread: dict[str, Intervals] = {}
    if isoflop.draws is not None and target.kind == "flops":
        drawn = optimal_size(isoflop.draws, flops)
        with np.errstate(over="ignore", divide="ignore"):
            columns = {"parameters": drawn, "tokens": work / drawn}
            columns["tokensPerParameter"] = columns["tokens"] / drawn
        spread = {name: intervals(column) for name, column in columns.items()}
    return SizeRecommendation(
        target=target,
        method="isoflop",
        flops=flops,
        parameters=size,
        tokens=work / size,
        tokens_per_parameter=work / size / size,
        loss=None,
        intervals=spread,
        isoflop_parameters=size,
        envelope_parameters=_envelope_size(basis, flops),
    )
