"""Where the optimiser starts: variable projection, and random points as a guard.

For fixed exponents L = E + A N^-alpha + B D^-beta is linear, so a grid of exponents with E, A, B
solved exactly searches the two hard dimensions and leaves nothing to luck. Only solutions with all
three positive are kept; there the non-negative solution is the plain least-squares one, which is a
2 x 2 system once E is eliminated by centring, solved for the whole grid at once.
"""

from __future__ import annotations

from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from scaling_operator.law.forms import FitProblem, Form, coordinates
from scaling_operator.law.law import Law
from scaling_operator.law.points import Array, Points

EXPONENTS = np.linspace(0.05, 0.95, 46)
KEPT = 5
CANDIDATES = 40
"""Grid points whose residual is summed anew: the fast formula loses digits near zero."""


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
    found, squares = solve(size, data, points.L, pairs)
    usable = np.isfinite(found).all(axis=1) & (found[:, [0, 2]] > 0).all(axis=1)
    usable &= (found[:, 1] > 0) | (form == "power")
    positive = np.flatnonzero(usable)
    if not len(positive):
        return None
    order = positive[np.argsort(squares[positive], kind="stable")][:CANDIDATES]
    i, j = pairs[order].T
    a, b, e = found[order].T[:, :, None]
    exact = np.square(a * size[i] + b * data[j] + e - points.L).sum(axis=1)
    best = order[np.argsort(exact, kind="stable")][:KEPT]
    return _law_of_grid(points, found[best], EXPONENTS[pairs[best]])


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
    found = np.stack([a, np.zeros_like(a), loss.mean() - a * size.mean(axis=1)], axis=1)
    return found, y @ y - a * uy


def _centred(columns: Array) -> Array:
    return columns - columns.mean(axis=1, keepdims=True)


def _law_of_grid(points: Points, found: Array, exponents: Array) -> Law:
    """Undo the scaling of the columns: the largest entry of N^-alpha is that of the smallest N."""
    alpha, beta = exponents.T
    tokens = points.N if points.D is None else points.D
    log_a = np.log(found[:, 0]) + alpha * np.log(points.N.min())
    log_e = np.log(found[:, 2])
    if not found[:, 1].any():
        absent = np.full_like(alpha, np.nan)
        return Law(log_a, np.full_like(alpha, -np.inf), log_e, alpha, absent)
    log_b = np.log(found[:, 1]) + beta * np.log(tokens.min())
    return Law(log_a, log_b, log_e, alpha, beta)
