"""The optimal size for a budget, a size or a loss, and how flat the optimum is.

With C = k N D (k = 6, or what was counted) and G = (alpha A / (beta B))^(1/(alpha+beta)), the loss
at a fixed C is least at

    N* = G (C/k)^(beta/(alpha+beta)),    D* = (C/k)^(alpha/(alpha+beta)) / G.

Everything is computed in logarithms and for many draws of the law at once (shape (k,)), so that an
interval is a percentile of the same function. Along a ladder, where D follows from N, there is no
optimum to find: `Path` says which size a budget buys there.

A model that serves: serving reads `served` tokens forward, at a third of a training step's FLOPs
per parameter and token (2 N beside 6 N; Sardana 2024, "Beyond Chinchilla-Optimal"), so that a
smaller model, trained for longer, costs less. Without a closed form the best size is found by
trying sizes, for all draws of the law at once.

Repeated data (Muennighoff 2023): with U unique tokens, D seen in all and R = D/U - 1 repetitions,
the data are worth D' = U + U R* (1 - exp(-R/R*)), R* = 15.3878 by the published fit. Parameters
beyond the number U_N that is optimal for U tokens decay likewise, with R_N* = 5.3097; nothing here
asks for them. Up to four epochs repeats cost almost nothing; D' never exceeds (1 + R*) U.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import assert_never

import numpy as np
from scipy.optimize import brentq

from scaling_operator.api.scaling import Target
from scaling_operator.law.law import Law, loss, pick
from scaling_operator.law.points import Array, Points, RunPath

FORWARD_SHARE = 1 / 3
SERVED_BELOW = np.log(1e6)
"""Sizes are tried down to so far, in ln N, below the optimum without serving."""
SERVED_PLACES = 1001
CLOSE = 1e-9
"""Distance, in ln N, from a size that is out of reach."""
DATA_DECAY = 15.387756
REPEATED_PLACES = 1001
"""Sizes tried between the optimum without repetition and the size that sees each token once."""


@dataclass(frozen=True, slots=True)
class OptimalSize:
    """N, D, C and L, each of shape (k,); NaN where a draw cannot say, inf where out of reach."""

    parameters: Array
    tokens: Array
    flops: Array
    loss: Array


def allocate(law: Law, target: Target, path: RunPath) -> OptimalSize:
    """Answer a target by every draw of a law, (k,)."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        if law.one_variable:
            return _along(law, target, path)
        return _optimal(law, target, path.flops_factor)


def log_optimal_size(law: Law, flops: float, factor: float) -> Array:
    """Return ln N*(C), shape (k,)."""
    return _log_g(law) + law.a * np.log(flops / factor)


def flat_range(law: Law, flops: float, factor: float, percent: float) -> tuple[float, float] | None:
    """Return the sizes whose loss at this budget is within `percent` of the best; (k = 1).

    None for a law without a term in D. The loss at fixed C is convex in ln N, so that each side
    has exactly one end.
    """
    if law.one_variable:
        return None
    fit = pick(law, 0)
    best = float(log_optimal_size(fit, flops, factor)[0])
    log_work = float(np.log(flops / factor))
    a, b = float(fit.ln_a[0]), float(fit.ln_b[0])
    alpha, beta, floor = float(fit.alpha[0]), float(fit.beta[0]), float(fit.E[0])

    def excess(log_size: float) -> float:
        terms = np.exp(a - alpha * log_size) + np.exp(b - beta * (log_work - log_size))
        return float(floor + terms)

    limit = (1.0 + percent / 100.0) * excess(best)
    return _end(excess, limit, (best, -1.0)), _end(excess, limit, (best, 1.0))


def _end(curve: Callable[[float], float], limit: float, side: tuple[float, float]) -> float:
    best, step = side
    while curve(best + step) < limit:
        step *= 2.0
    low, high = sorted((best, best + step))
    return float(np.exp(brentq(lambda x: curve(x) - limit, low, high, xtol=1e-12)))


def _optimal(law: Law, target: Target, factor: float) -> OptimalSize:
    match target.kind:
        case "flops":
            log_size = log_optimal_size(law, target.value, factor)
        case "parameters":
            log_size = np.full_like(law.alpha, np.log(target.value))
        case "loss":
            # At the optimum alpha A/N^alpha = beta B/D^beta, so the two terms together are
            # (1 + alpha/beta) A/N^alpha.
            share = np.log1p(law.alpha / law.beta) + law.ln_a
            log_size = (share - np.log(_above_floor(law, target.value))) / law.alpha
        case "cost":
            log_size = np.full_like(law.alpha, np.nan)
        case _:
            assert_never(target.kind)
    if target.kind == "flops":
        log_data = np.log(target.value / factor) - log_size
    else:
        log_data = (law.alpha * log_size - (law.alpha + law.beta) * _log_g(law)) / law.beta
    return _allocation(law, log_size, log_data, np.log(factor) + log_size + log_data)


def _along(law: Law, target: Target, path: RunPath) -> OptimalSize:
    """Answer along the line of a ladder: a budget or a loss buys one size there."""
    unknown = np.full_like(law.alpha, np.nan)
    match target.kind:
        case "flops":
            if path.flops is None or path.flops[1] <= 0:
                return OptimalSize(unknown, unknown, unknown, unknown)
            intercept, slope = path.flops
            log_size = np.full_like(law.alpha, (np.log(target.value) - intercept) / slope)
        case "parameters":
            log_size = np.full_like(law.alpha, np.log(target.value))
        case "loss":
            log_size = (law.ln_a - np.log(_above_floor(law, target.value))) / law.alpha
        case "cost":
            log_size = unknown
        case _:
            assert_never(target.kind)
    log_data = unknown if path.tokens is None else path.tokens[0] + path.tokens[1] * log_size
    log_work = unknown if path.flops is None else path.flops[0] + path.flops[1] * log_size
    return _allocation(law, log_size, log_data, log_work)


def _allocation(law: Law, log_size: Array, log_data: Array, log_work: Array) -> OptimalSize:
    size, data = np.exp(log_size), np.exp(log_data)
    reached = loss(law, size[:, None], data[:, None])[:, 0]
    return OptimalSize(size, data, np.exp(log_work), reached)


def _above_floor(law: Law, aim: float) -> Array:
    """Return aim - E, and 0 (an infinite size) where the floor lies above the aim."""
    gap = aim - law.E
    return np.where(np.isnan(gap), np.nan, np.maximum(gap, 0.0))


def _log_g(law: Law) -> Array:
    ratio = np.log(law.alpha) + law.ln_a - np.log(law.beta) - law.ln_b
    return ratio / (law.alpha + law.beta)


def allocate_served(law: Law, target: Target, path: RunPath) -> OptimalSize:
    """Answer a target of FLOPs or loss with `served` tokens; shapes as in `optimum.allocate`.

    `flops` of the answer are those of training alone. NaN where a draw cannot say.
    """
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        if law.one_variable:
            return _along_with_serving(law, target, path)
        if target.kind == "flops":
            return _served_of_budget(law, target, path.flops_factor)
        return _served_of_loss(law, target, path.flops_factor)


def _served_of_budget(law: Law, target: Target, factor: float) -> OptimalSize:
    """Minimise the loss over N with D = C/(k N) - served/3."""
    free = log_optimal_size(law, target.value, factor)
    affordable = np.log(target.value / (factor * FORWARD_SHARE * target.served))
    high = np.minimum(free, affordable - CLOSE)

    def tokens(log_size: Array) -> Array:
        seen = target.value / factor * np.exp(-log_size) - FORWARD_SHARE * target.served
        return np.where(seen > 0, seen, np.nan)

    def losses(log_size: Array) -> Array:
        return loss(law, np.exp(log_size), tokens(log_size))

    log_size = _least(losses, high - SERVED_BELOW, high)
    return _served_allocation(law, log_size, tokens(log_size), factor)


def _served_of_loss(law: Law, target: Target, factor: float) -> OptimalSize:
    """Minimise k N D + k/3 N served over N with D such that the loss is reached."""
    gap = target.value - law.E
    gap = np.where(gap > 0, gap, np.nan)
    # Below this size no amount of data reaches the loss; above the free optimum both cost more.
    low = (law.ln_a - np.log(gap)) / law.alpha + CLOSE
    high = np.log(allocate(law, Target(loss=target.value), RunPath(factor)).parameters)

    def tokens(log_size: Array) -> Array:
        shape = (-1,) + (1,) * (log_size.ndim - 1)
        left = gap.reshape(shape) - np.exp(
            law.ln_a.reshape(shape) - law.alpha.reshape(shape) * log_size
        )
        return np.exp((law.ln_b.reshape(shape) - np.log(left)) / law.beta.reshape(shape))

    def work(log_size: Array) -> Array:
        return np.exp(log_size) * (tokens(log_size) + FORWARD_SHARE * target.served)

    log_size = _least(work, low, high)
    return _served_allocation(law, log_size, tokens(log_size), factor)


def _along_with_serving(law: Law, target: Target, path: RunPath) -> OptimalSize:
    """Answer along the line of a ladder, where a size says how long it is trained."""
    if target.kind == "loss":
        return allocate(law, Target(loss=target.value), path)
    unknown = np.full_like(law.alpha, np.nan)
    if path.flops is None or path.flops[1] <= 0:
        return OptimalSize(unknown, unknown, unknown, unknown)
    intercept, slope = path.flops
    served = path.flops_factor * FORWARD_SHARE * target.served

    def excess(log_size: float) -> float:
        return (
            float(np.exp(intercept + slope * log_size) + served * np.exp(log_size)) - target.value
        )

    high = (float(np.log(target.value)) - intercept) / slope
    low = high - 1.0
    while excess(low) > 0:
        low -= 1.0
    size = float(np.exp(brentq(excess, low, high)))
    return allocate(law, Target(parameters=size), path)


def _least(value: Callable[[Array], Array], low: Array, high: Array) -> Array:
    """Return the place of the least `value` between low and high (k,); NaN without a number.

    Places are tried at even distances, then more closely about the best of them.
    """
    rows = np.arange(len(low))
    place = low
    for _ in range(2):
        places = low[:, None] + (high - low)[:, None] * np.linspace(0.0, 1.0, SERVED_PLACES)
        values = value(places)
        best = np.argmin(np.where(np.isfinite(values), values, np.inf), axis=1)
        is_number = np.isfinite(values[rows, best])
        place = np.where(is_number, places[rows, best], np.nan)
        low = places[rows, np.maximum(best - 1, 0)]
        high = places[rows, np.minimum(best + 1, SERVED_PLACES - 1)]
    return place


def _served_allocation(law: Law, log_size: Array, tokens: Array, factor: float) -> OptimalSize:
    size = np.exp(log_size)
    reached = loss(law, size[:, None], tokens[:, None])[:, 0]
    return OptimalSize(size, tokens, factor * size * tokens, reached)


def effective_tokens(tokens: Array, unique_tokens: float, decay: float = DATA_DECAY) -> Array:
    """Return D' of D tokens, any shape, of which `unique_tokens` differ. Raises ValueError."""
    return _effective(tokens, unique_tokens, decay)


def with_effective_tokens(points: Points, unique_tokens: float) -> Points:
    """Replace D by D' before a fit. Raises ValueError where the points have no D."""
    if points.D is None:
        message = "unique tokens are given, but the points have no tokens to compare them with"
        raise ValueError(message)
    return replace(points, D=effective_tokens(points.D, unique_tokens))


def allocate_repeated(law: Law, target: Target, path: RunPath, unique_tokens: float) -> OptimalSize:
    """Answer a FLOPs target where only `unique_tokens` differ; shapes as in `optimum.allocate`.

    A repeated token is worth less than a fresh one, so that the best size lies between N* and the
    size C / (k U) that sees each token once; the best is found by trying sizes in between. Targets
    of another kind, and laws without D, have no answer: NaN.
    """
    if target.kind != "flops" or law.one_variable:
        unknown = np.full_like(law.alpha, np.nan)
        return OptimalSize(unknown, unknown, unknown, unknown)
    log_work = np.log(target.value / path.flops_factor)
    free = log_optimal_size(law, target.value, path.flops_factor)
    once = np.maximum(log_work - np.log(unique_tokens), free)
    log_size = free[:, None] + (once - free)[:, None] * np.linspace(0.0, 1.0, REPEATED_PLACES)
    seen = np.exp(log_work - log_size)
    losses = loss(law, np.exp(log_size), effective_tokens(seen, unique_tokens))
    rows = np.arange(len(free))
    best = np.argmin(losses, axis=1)
    size = np.exp(log_size[rows, best])
    flops = np.full_like(size, target.value)
    return OptimalSize(size, seen[rows, best], flops, losses[rows, best])


def _effective(seen: Array, unique: float, decay: float) -> Array:
    if not unique > 0:
        message = f"the unique amount is {unique:g}; it must be above 0"
        raise ValueError(message)
    repeats = np.maximum(seen / unique - 1.0, 0.0)
    return np.minimum(seen, unique) - unique * decay * np.expm1(-repeats / decay)
