"""Runs of a known law: what a fit is tested on, and how a bias shows that real runs would hide.

An IsoFLOP design has, per budget, sizes spread evenly in ln N about the true optimum. Noise is
log-normal. A learning rate that is right for one size only costs a share kappa o^2 of the loss,
with o the octaves between it and the best rate, which falls as N^-1/3: the surface on which one
rate for all sizes bends the law.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from scaling_operator.law.law import Law, law_of, loss
from scaling_operator.law.optimum import log_optimal_size
from scaling_operator.law.points import (
    FLOPS_PER_PARAMETER_AND_TOKEN,
    Array,
    Points,
    grouped,
    points_from_flops,
)

BEST_RATE_EXPONENT = -1 / 3


def chinchilla_law() -> Law:
    """Return the optimum of the 240 Chinchilla points (Besiroglu et al. 2024, refitted)."""
    return law_of((477.82587, 2143.41736, 1.81721810), (0.34731050, 0.36717243))


@dataclass(frozen=True, slots=True)
class IsoFlopDesign:
    """`budgets` from `lowest` to `highest` FLOPs, each with `sizes` in [N*/width, N* width]."""

    budgets: int
    sizes: int
    lowest: float = 1e18
    highest: float = 1e20
    width: float = 8.0


def simulated(
    law: Law,
    design: IsoFlopDesign,
    *,
    noise: float = 0.0,
    rng: np.random.Generator | None = None,
) -> Points:
    """Draw the runs of a design; `noise` is the sd of ln L and follows `rng`."""
    budgets = np.repeat(np.geomspace(design.lowest, design.highest, design.budgets), design.sizes)
    spread = np.tile(np.geomspace(1 / design.width, design.width, design.sizes), design.budgets)
    best = [
        np.exp(log_optimal_size(law, float(c), FLOPS_PER_PARAMETER_AND_TOKEN)[0]) for c in budgets
    ]
    size = np.array(best) * spread
    losses = loss(law, size, budgets / (FLOPS_PER_PARAMETER_AND_TOKEN * size))[0]
    if rng is not None:
        losses *= np.exp(noise * rng.standard_normal(len(losses)))
    return grouped(points_from_flops(size, budgets, losses), budgets)


def with_one_rate(points: Points, *, kappa: float, rate_fits: float) -> Points:
    """Return the runs as they end with one learning rate for all: the best for `rate_fits` N."""
    penalty = 1.0 + kappa * octaves_off(points.N, rate_fits) ** 2
    return replace(points, L=points.L * penalty)


def octaves_off(parameters: Array, rate_fits: float) -> Array:
    """Return log2 of used over best rate, where the rate is the best for `rate_fits` parameters."""
    return BEST_RATE_EXPONENT * np.log2(rate_fits / parameters)
