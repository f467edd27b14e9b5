"""Fitting the law: from checked points to the optimum of the sum-Huber objective.

The procedure is that of Besiroglu et al. 2024, made safe against its known traps: starts by
variable projection instead of one grid of guesses, at least 20 random starts as a guard, the sum
instead of the mean, a factor of 1e3, and a last descent by scipy's BFGS from the best of all. On
the 240 Chinchilla points each part alone finds the same optimum.

The starts: for fixed exponents L = E + A N^-alpha + B D^-beta is linear, so a grid of exponents
with E, A, B solved exactly searches the two hard dimensions without a random start. Only
solutions with all three positive are kept; there the non-negative solution is the plain
least-squares solution, which is a 2 x 2 system once E is eliminated by centring, solved for the
whole grid at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never, cast

import numpy as np
from numpy.typing import NDArray
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

RANDOM_STARTS = 24
ROUGH = Tolerance(gradient=1e-3, gain=1e-8, iterations=200)
"""For the search among starts, of 1e3 x the objective; a last descent polishes the best."""
SMALLEST_EIGENVALUE = 1e-11
"""Least eigenvalue of J'J over the largest, in scaled coordinates, that determines a direction."""
VANISHING = 1e-3
"""A floor E below this share of the lowest loss is no floor: the points show no bend."""
EXPONENTS = np.linspace(0.05, 0.95, 46)
KEPT = 5
CANDIDATES = 40
"""Grid points whose residual is summed anew: the fast formula loses digits near zero."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A fit: the law, the objective (a sum, without the factor of 1e3), residuals and problem.

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
    """Fit a form to checked points; `start` is a further start, `noise` an sd of ln L.

    The random starts follow `seed`. `law.refusals` checks that the points are finite, positive and
    enough.
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
    own_start = [] if start is None else [coordinates(problem, start)]
    starts = [as_coordinates(problem, grid), *own_start, random_starts(problem, rng, RANDOM_STARTS)]
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

    # scipy's stubs lack an objective that returns the gradient with the value.
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


def grid_starts(points: Points, form: Form) -> Law | None:
    """Return the (at most 5) best laws of the grid with E, A, B > 0; None: a degenerate design."""
    size, data = _powers(points.N), _powers(points.N if points.D is None else points.D)
    index = np.arange(len(EXPONENTS))
    same = np.stack([index, index], axis=1)
    match form:
        case "chinchilla":
            pairs = np.stack(np.meshgrid(index, index, indexing="ij"), axis=-1).reshape(-1, 2)
        case "tied" | "power":
            pairs = same
        case _:
            assert_never(form)
    solve = _solve_one if form == "power" else _solve_two
    coefficients, squares = solve(size, data, points.L, pairs)
    usable = np.isfinite(coefficients).all(axis=1) & (coefficients[:, [0, 2]] > 0).all(axis=1)
    usable &= (coefficients[:, 1] > 0) | (form == "power")
    positive = np.flatnonzero(usable)
    if not len(positive):
        return None
    order = positive[np.argsort(squares[positive], kind="stable")][:CANDIDATES]
    i, j = pairs[order].T
    a, b, e = coefficients[order].T[:, :, None]
    exact = np.square(a * size[i] + b * data[j] + e - points.L).sum(axis=1)
    best = order[np.argsort(exact, kind="stable")][:KEPT]
    return _law_of_grid(points, coefficients[best], EXPONENTS[pairs[best]])


def random_starts(problem: FitProblem, rng: np.random.Generator, count: int) -> Array:
    """Return `count` random points (count, p) in scaled coordinates, spread about the data.

    Each term is between a fiftieth of the loss and somewhat above it at the middle of the
    points; exponents lie in [0.05, 1.5].
    """
    middle = float(np.median(problem.log_loss))
    lowest = float(problem.log_loss.min())
    scale = problem.scaling
    x = rng.uniform(middle - 4.0, middle + 0.5, size=(count, len(scale)))
    constant = {"chinchilla": 2, "tied": 2, "power": 1}[problem.form]
    x[:, constant] = lowest - rng.exponential(0.7, size=count)
    for exponent in range(constant + 1, len(scale)):
        x[:, exponent] = rng.uniform(0.05, 1.5, size=count) / scale[exponent, exponent]
    return x


def as_coordinates(problem: FitProblem, law: Law) -> Array:
    """Return the sound draws of a law as starting points (k, p)."""
    return coordinates(problem, law)[law.sound]


def _powers(values: Array) -> Array:
    """Return values^-exponent, shape (46, n), each row divided by its largest entry."""
    log = np.log(values)
    return np.exp(-EXPONENTS[:, None] * (log - log.min()))


def _solve_two(
    size: Array, data: Array, loss: Array, pairs: NDArray[np.intp]
) -> tuple[Array, Array]:
    """Return (A, B, E) of the scaled columns, shape (pairs, 3), and the residual sums (pairs,)."""
    u, v, y = _centred(size), _centred(data), loss - loss.mean()
    i, j = pairs.T
    uu, vv = np.einsum("in,in->i", u, u)[i], np.einsum("in,in->i", v, v)[j]
    uv = (u @ v.T)[i, j]
    uy, vy = (u @ y)[i], (v @ y)[j]
    determinant = uu * vv - uv**2
    # Columns that are parallel to rounding have no solution of their own.
    determinant[determinant <= 1e-13 * uu * vv] = np.nan
    a = (vv * uy - uv * vy) / determinant
    b = (uu * vy - uv * uy) / determinant
    e = loss.mean() - a * size.mean(axis=1)[i] - b * data.mean(axis=1)[j]
    return np.stack([a, b, e], axis=1), y @ y - a * uy - b * vy


def _solve_one(
    size: Array, _data: Array, loss: Array, _pairs: NDArray[np.intp]
) -> tuple[Array, Array]:
    """Return (A, 0, E), shape (46, 3), and the residual sums (46,)."""
    u, y = _centred(size), loss - loss.mean()
    uy = u @ y
    a = uy / np.einsum("in,in->i", u, u)
    coefficients = np.stack([a, np.zeros_like(a), loss.mean() - a * size.mean(axis=1)], axis=1)
    return coefficients, y @ y - a * uy


def _centred(columns: Array) -> Array:
    return columns - columns.mean(axis=1, keepdims=True)


def _law_of_grid(points: Points, coefficients: Array, exponents: Array) -> Law:
    """Undo the scaling of the columns: the largest entry of N^-alpha is that of the smallest N."""
    alpha, beta = exponents.T
    tokens = points.N if points.D is None else points.D
    log_a = np.log(coefficients[:, 0]) + alpha * np.log(points.N.min())
    log_e = np.log(coefficients[:, 2])
    if not coefficients[:, 1].any():
        absent = np.full_like(alpha, np.nan)
        return Law(log_a, np.full_like(alpha, -np.inf), log_e, alpha, absent)
    log_b = np.log(coefficients[:, 1]) + beta * np.log(tokens.min())
    return Law(log_a, log_b, log_e, alpha, beta)
