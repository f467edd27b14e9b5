"""Repeated data and over-trained sizes: what a token seen again is worth (Muennighoff 2023).

With U unique tokens, D seen in all and R = D/U - 1 repetitions, the data are worth
D' = U + U R* (1 - exp(-R/R*)), R* = 15.3878 by the published fit. Parameters beyond the number U_N
that is optimal for U tokens decay likewise, with R_N* = 5.3097; nothing here asks for them. Up to
four epochs repeats cost almost nothing; D' never exceeds (1 + R*) U.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from scaling_operator.law.law import Law, loss
from scaling_operator.law.optimum import OptimalSize, Path, Question, log_optimal_size
from scaling_operator.law.points import Array, Points

DATA_DECAY = 15.387756
REPEATED_PLACES = 1001
"""Sizes tried between the optimum without repetition and the size that sees each token once."""


def effective_tokens(tokens: Array, unique_tokens: float, decay: float = DATA_DECAY) -> Array:
    """Return D' of D tokens, any shape, of which `unique_tokens` differ. Raises ValueError."""
    return _effective(tokens, unique_tokens, decay)


def with_effective_tokens(points: Points, unique_tokens: float) -> Points:
    """Replace D by D' before a fit. Raises ValueError where the points have no D."""
    if points.D is None:
        message = "unique tokens are given, but the points have no tokens to compare them with"
        raise ValueError(message)
    return replace(points, D=effective_tokens(points.D, unique_tokens))


def allocate_repeated(law: Law, target: Question, path: Path, unique_tokens: float) -> OptimalSize:
    """Answer a FLOPs target where only `unique_tokens` differ; shapes as in `optimum.allocate`.

    A repeated token is worth less than a fresh one, so that the best size lies between N* and the
    size C / (k U) that sees each token once; it is found by trying sizes in between. Targets of
    another kind, and laws without D, have no answer: NaN.
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
