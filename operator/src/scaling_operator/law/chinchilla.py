"""Fitting the law: from checked points to the optimum of the sum-Huber objective.

The procedure is that of Besiroglu et al. 2024, made safe against its known traps: starts by
variable projection instead of one grid of guesses, at least 20 random starts as a guard, the sum
instead of the mean, a factor of 1e3, and a last descent by scipy's BFGS from the best of all. On
the 240 Chinchilla points each part alone finds the same optimum.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
from scipy import optimize

from scaling_operator.law.batch_bfgs import Tolerance, minimise
from scaling_operator.law.forms import (
    OBJECTIVE_FACTOR,
    FitProblem,
    Form,
    coordinates,
    jacobian,
    law_at,
    problem_of,
    weighted,
)
from scaling_operator.law.law import Law, pick
from scaling_operator.law.points import Array, Points
from scaling_operator.law.starts import as_coordinates, grid_starts, random_starts

RANDOM_STARTS = 24
ROUGH = Tolerance(gradient=1e-3, gain=1e-8, iterations=200)
"""For the search among starts, of 1e3 x the objective; the best is then descended to rounding."""
SMALLEST_EIGENVALUE = 1e-11
"""Of J'J over its largest, in scaled coordinates: below it a direction is not determined."""
VANISHING = 1e-3
"""A floor E below this share of the lowest loss is no floor: the points show no bend."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A fit: the law, the objective (a sum, without the factor of 1e3) and what it came from.

    `residuals` (n,) are ln L predicted - ln L measured; `other` is the best start of the grid, the
    second starting point of a bootstrap.
    """

    form: Form
    law: Law
    objective: float
    residuals: Array
    other: Law
    problem: FitProblem


@dataclass(frozen=True, slots=True)
class NotFitted:
    """Why no law can be given for these points."""

    reason: str
    message: str


def fit_law(
    points: Points,
    form: Form,
    *,
    seed: int = 0,
    noise: float | None = None,
    start: Law | None = None,
) -> Fitted | NotFitted:
    """Fit a form to checked points; `start` adds a start of the user's, `noise` is an sd of ln L.

    The random starts follow `seed`. Points must be finite, positive and enough: see `judge`.
    """
    problem = problem_of(points, form, noise=noise)
    grid = grid_starts(points, form)
    if grid is None:
        hint = " (of a score such as accuracy, fit 1 - score)" if points.quantity == "loss" else ""
        message = (
            f"no exponents give E, A and B above 0: the {points.quantity} does not fall with size "
            f"and data as a power law with a floor does{hint}"
        )
        return NotFitted("DegenerateDesign", message)
    rng = np.random.default_rng(seed)
    given = [] if start is None else [coordinates(problem, start)]
    starts = [as_coordinates(problem, grid), *given, random_starts(problem, rng, RANDOM_STARTS)]
    x, value = descend(problem, np.concatenate(starts))
    return _judged(problem, points, pick(grid, 0), _polished(problem, (x, value)))


def descend(problem: FitProblem, starts: Array) -> tuple[Array, float]:
    """Minimise from every start (k, p) and return the best point (p,) and 1e3 x its objective."""
    x, value = minimise(weighted(problem), starts, tolerance=ROUGH)
    usable = np.isfinite(x).all(axis=1) & np.isfinite(value)
    best = int(np.argmin(np.where(usable, value, np.inf)))
    return x[best], float(value[best])


def _polished(problem: FitProblem, best: tuple[Array, float]) -> tuple[Array, float]:
    """Descend once more by scipy's BFGS, to rounding; keep whichever is lower."""
    x, value = best
    evaluate = weighted(problem)
    row = np.zeros(1, dtype=np.intp)

    def scalar(point: Array) -> tuple[float, Array]:
        values, gradients = evaluate(point[None, :], row)
        return float(values[0]), gradients[0]

    # The stubs know no objective that returns its gradient beside the value.
    minimize = cast("Callable[..., optimize.OptimizeResult]", optimize.minimize)
    result = minimize(scalar, x, jac=True, method="BFGS", options={"gtol": 1e-9})
    end, reached = np.asarray(result["x"], dtype=np.float64), float(result["fun"])
    if np.isfinite(end).all() and reached < value:
        return end, reached
    return x, value


def _judged(
    problem: FitProblem, points: Points, other: Law, best: tuple[Array, float]
) -> Fitted | NotFitted:
    x, value = best
    law = law_at(problem, x[None, :])
    if not law.sound.all() or not np.isfinite(value):
        message = "the best fit has an exponent that is not positive: more would not be better"
        return NotFitted("DegenerateDesign", message)
    if law.E[0] < VANISHING * points.L.min():
        message = (
            "the irreducible loss E tends to 0: the points show no floor, so a law with one is not "
            "determined; add larger runs"
        )
        return NotFitted("IrreducibleLossVanishes", message)
    slopes, residuals = jacobian(problem, x)
    eigenvalues = np.linalg.eigvalsh(slopes.T @ slopes)
    if eigenvalues[0] < SMALLEST_EIGENVALUE * eigenvalues[-1]:
        message = "the coefficients are not determined by these points: a term of the law is absent"
        return NotFitted("DegenerateDesign", message)
    return Fitted(problem.form, law, value / OBJECTIVE_FACTOR, residuals, other, problem)
