"""The optimal size for a budget, a size or a loss, and how flat the optimum is.

With C = k N D (k = 6, or what was counted) and G = (alpha A / (beta B))^(1/(alpha+beta)), the loss
at a fixed C is least at

    N* = G (C/k)^(beta/(alpha+beta)),    D* = (C/k)^(alpha/(alpha+beta)) / G.

Everything is computed in logarithms and for many draws of the law at once (shape (k,)), so that an
interval is a percentile of the same function. Along a ladder, where D follows from N, there is no
optimum to find: `Path` says which size a budget buys there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, assert_never

import numpy as np
from scipy.optimize import brentq

from scaling_operator.law.law import Law, loss, pick
from scaling_operator.law.points import FLOPS_PER_PARAMETER_AND_TOKEN, Array, Points

TargetKind = Literal["flops", "parameters", "loss", "cost"]
STRAIGHT = 0.02
"""Largest sd of ln D about a line over ln N at which runs count as lying on one line."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a size is asked for: FLOPs to spend, a size to train well, a loss to reach, money.

    A law knows no money: `recommend` exchanges it for FLOPs before anything is allocated.

    `served` tokens are read afterwards at k/3 FLOPs per parameter and token (2 where k = 6): a
    budget then pays for both, and a loss is reached at the least sum of both.
    """

    kind: TargetKind
    value: float
    served: float = 0.0


@dataclass(frozen=True, slots=True)
class Path:
    """How compute and data follow from size: per point C = k N D, and along a ladder a line.

    `flops_factor` is k, the geometric mean over the points of C / (N D). Where the runs lie on
    one line, ln D = tokens_at_one + tokens_slope ln N and ln C likewise; None elsewhere.
    """

    flops_factor: float = FLOPS_PER_PARAMETER_AND_TOKEN
    tokens: tuple[float, float] | None = None
    flops: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class OptimalSize:
    """N, D, C and L, each of shape (k,); NaN where a draw cannot say, inf where out of reach."""

    parameters: Array
    tokens: Array
    flops: Array
    loss: Array


def path_of(points: Points) -> Path:
    """Read off the points how compute and data follow from size."""
    if points.D is None or points.C is None:
        return Path()
    factor = float(np.exp(np.mean(np.log(points.C) - np.log(points.N) - np.log(points.D))))
    if not on_one_line(points):
        return Path(flops_factor=factor)
    log_size = np.log(points.N)
    return Path(factor, _line(log_size, np.log(points.D)), _line(log_size, np.log(points.C)))


def on_one_line(points: Points) -> bool:
    """Whether D is unknown, constant, or a power of N, as along a plain ladder."""
    if points.D is None or not len(points):
        return True
    log_size, log_data = np.log(points.N), np.log(points.D)
    intercept, slope = _line(log_size, log_data)
    return float(np.std(log_data - intercept - slope * log_size)) < STRAIGHT


def allocate(law: Law, target: Question, path: Path) -> OptimalSize:
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
    one = pick(law, 0)
    best = float(log_optimal_size(one, flops, factor)[0])
    log_work = float(np.log(flops / factor))
    a, b = float(one.ln_a[0]), float(one.ln_b[0])
    alpha, beta, floor = float(one.alpha[0]), float(one.beta[0]), float(one.E[0])

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


def _optimal(law: Law, target: Question, factor: float) -> OptimalSize:
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


def _along(law: Law, target: Question, path: Path) -> OptimalSize:
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


def _line(x: Array, y: Array) -> tuple[float, float]:
    """Return intercept and slope of y over x by least squares."""
    centred = x - x.mean()
    spread = float(centred @ centred)
    slope = float(centred @ (y - y.mean())) / spread if spread > 0 else 0.0
    return float(y.mean()) - slope * float(x.mean()), slope
