"""The size to train where it is going to serve: a smaller one, trained for longer, costs less.

Serving reads `served` tokens forward, at a third of a training step's FLOPs per parameter and token
(2 N beside 6 N; Sardana 2024, "Beyond Chinchilla-Optimal"). Without a closed form the best size is
found by trying sizes, for all draws of the law at once.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.optimize import brentq

from scaling_operator.law.law import Law, loss
from scaling_operator.law.optimum import OptimalSize, Path, Question, allocate, log_optimal_size
from scaling_operator.law.points import Array

FORWARD_SHARE = 1 / 3
SERVED_BELOW = np.log(1e6)
"""How far below the optimum without serving sizes are tried, in ln N."""
SERVED_PLACES = 1001
CLOSE = 1e-9
"""Distance, in ln N, from a size that is out of reach."""


def allocate_served(law: Law, target: Question, path: Path) -> OptimalSize:
    """Answer a target of FLOPs or loss with `served` tokens; shapes as in `optimum.allocate`.

    `flops` of the answer are those of training alone. NaN where a draw cannot say.
    """
    if target.kind == "parameters":
        unknown = np.full_like(law.alpha, np.nan)
        return OptimalSize(unknown, unknown, unknown, unknown)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        if law.one_variable:
            return _served_along(law, target, path)
        if target.kind == "flops":
            return _served_of_budget(law, target, path.flops_factor)
        return _served_of_loss(law, target, path.flops_factor)


def _served_of_budget(law: Law, target: Question, factor: float) -> OptimalSize:
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


def _served_of_loss(law: Law, target: Question, factor: float) -> OptimalSize:
    """Minimise k N D + k/3 N served over N with D such that the loss is reached."""
    gap = target.value - law.E
    gap = np.where(gap > 0, gap, np.nan)
    # Below this size no amount of data reaches the loss; above the free optimum both cost more.
    low = (law.ln_a - np.log(gap)) / law.alpha + CLOSE
    high = np.log(allocate(law, Question("loss", target.value), Path(factor)).parameters)

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


def _served_along(law: Law, target: Question, path: Path) -> OptimalSize:
    """Answer along the line of a ladder, where a size says how long it is trained."""
    if target.kind == "loss":
        return allocate(law, Question("loss", target.value), path)
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
    return allocate(law, Question("parameters", size), path)


def _least(value: Callable[[Array], Array], low: Array, high: Array) -> Array:
    """Return where `value` is least between low and high (k,); NaN where it has no number.

    Places are tried at even distances, then more closely about the best of them.
    """
    rows = np.arange(len(low))
    place = low
    for _ in range(2):
        places = low[:, None] + (high - low)[:, None] * np.linspace(0.0, 1.0, SERVED_PLACES)
        values = value(places)
        best = np.argmin(np.where(np.isfinite(values), values, np.inf), axis=1)
        known = np.isfinite(values[rows, best])
        place = np.where(known, places[rows, best], np.nan)
        low = places[rows, np.maximum(best - 1, 0)]
        high = places[rows, np.minimum(best + 1, SERVED_PLACES - 1)]
    return place


def _served_allocation(law: Law, log_size: Array, tokens: Array, factor: float) -> OptimalSize:
    size = np.exp(log_size)
    reached = loss(law, size[:, None], tokens[:, None])[:, 0]
    return OptimalSize(size, tokens, factor * size * tokens, reached)
