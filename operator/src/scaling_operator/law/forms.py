"""The functional forms that can be fitted, and the objective they share.

Every form is a sum of powers, whose terms are linear in the fitted coefficients once logarithms are
taken: t_j = X_j theta with t_1 = a - alpha ln N, t_2 = b - beta ln D, t_3 = e. The prediction of
ln L is m = log-sum-exp(t), the residual r = m - ln L, and the objective a Huber loss summed over
points (Hoffmann 2022, Besiroglu 2024). Its gradient is analytic: dr/dtheta = sum_j w_j X_j with
w_j = exp(t_j - m), times r inside delta and delta sign(r) outside.

Two departures serve the optimiser alone and leave the optimum where it is: coordinates are centred
and scaled (a against alpha correlates above .999 otherwise), and the sum is multiplied by 1e3
while minimising, without which solvers stop early. Values are reported without the factor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, assert_never

import numpy as np

from scaling_operator.law.batch_bfgs import Objective, Rows
from scaling_operator.law.law import Law
from scaling_operator.law.points import Array, Points

Form = Literal["chinchilla", "tied", "power"]
OBJECTIVE_FACTOR = 1e3
HUBER_DELTA = 1e-3
HUBER_EFFICIENCY = 1.345
"""Delta over the noise at which Huber's estimate is 95 % efficient for normal noise."""


@dataclass(frozen=True, slots=True)
class FitProblem:
    """A form on given points: n points, p coefficients, j terms.

    `design` is (p, j n), the terms one after the other, in scaled coordinates z; `scaling` (p, p)
    turns them into coefficients, theta = scaling z.
    """

    form: Form
    design: Array
    scaling: Array
    log_loss: Array
    delta: float


def coefficient_count(form: Form) -> int:
    """Return how many coefficients a form has."""
    match form:
        case "chinchilla":
            return 5
        case "tied":
            return 4
        case "power":
            return 3
        case _:
            assert_never(form)


def problem_of(points: Points, form: Form, *, noise: float | None = None) -> FitProblem:
    """Set up a form on points. A measured seed noise (sd of ln L) widens delta to 1.345 noise."""
    log_size = np.log(points.N)
    # Without D only the one-variable form is fitted, which does not use this column.
    log_data = log_size if points.D is None else np.log(points.D)
    terms, scaling = _terms(form, log_size, log_data)
    design = np.einsum("jnp,pq->qjn", terms, scaling).reshape(len(scaling), -1)
    delta = HUBER_DELTA if noise is None else max(HUBER_DELTA, HUBER_EFFICIENCY * noise)
    return FitProblem(form, np.ascontiguousarray(design), scaling, np.log(points.L), delta)


def _terms(form: Form, log_size: Array, log_data: Array) -> tuple[Array, Array]:
    """Return the terms (j, n, p) in theta and the scaling (p, p)."""
    one, zero = np.ones_like(log_size), np.zeros_like(log_size)
    spread = max(float(np.std(log_size)), 1e-12)
    scaling = np.eye(coefficient_count(form))
    match form:
        case "chinchilla":
            rows = [
                [one, zero, zero, -log_size, zero],
                [zero, one, zero, zero, -log_data],
                [zero, zero, one, zero, zero],
            ]
            data_spread = max(float(np.std(log_data)), 1e-12)
            scaling[3, 3], scaling[4, 4] = 1.0 / spread, 1.0 / data_spread
            scaling[0, 3], scaling[1, 4] = log_size.mean() / spread, log_data.mean() / data_spread
        case "tied":
            rows = [
                [one, zero, zero, -log_size],
                [zero, one, zero, -log_data],
                [zero, zero, one, zero],
            ]
            scaling[3, 3] = 1.0 / spread
            scaling[0, 3], scaling[1, 3] = log_size.mean() / spread, log_data.mean() / spread
        case "power":
            rows = [[one, zero, -log_size], [zero, one, zero]]
            scaling[2, 2] = 1.0 / spread
            scaling[0, 2] = log_size.mean() / spread
        case _:
            assert_never(form)
    return np.stack([np.stack(row, axis=-1) for row in rows]), scaling


def weighted(problem: FitProblem, weights: Array | None = None) -> Objective:
    """Return the objective, times 1e3, in scaled coordinates.

    `weights` (m, n) says how often each point counts in each row of the batch: a resample is a
    row of counts, so that nothing is copied. Without `weights` every point counts once.
    """
    count = len(problem.log_loss)
    delta = problem.delta

    def value_and_gradient(x: Array, rows: Rows) -> tuple[Array, Array]:
        terms = (x @ problem.design).reshape(len(x), -1, count)
        top = terms.max(axis=1)
        terms -= top[:, None]
        shares = np.exp(terms, out=terms)
        total = shares.sum(axis=1)
        residual = np.log(total)
        residual += top
        residual -= problem.log_loss
        clipped = np.clip(residual, -delta, delta)
        # clipped (r - clipped / 2) is r^2/2 inside delta and delta (|r| - delta/2) outside.
        residual -= 0.5 * clipped
        if weights is not None:
            clipped *= weights[rows]
        value = np.einsum("bn,bn->b", clipped, residual)
        clipped /= total
        shares *= clipped[:, None]
        gradient = shares.reshape(len(x), -1) @ problem.design.T
        return OBJECTIVE_FACTOR * value, OBJECTIVE_FACTOR * gradient

    return value_and_gradient


def jacobian(problem: FitProblem, x: Array) -> tuple[Array, Array]:
    """Return dr/dz (n, p) and the residuals r (n,) at one point x (p,) in scaled coordinates."""
    count = len(problem.log_loss)
    terms = (x @ problem.design).reshape(-1, count)
    top = terms.max(axis=0)
    shares = np.exp(terms - top)
    residual = top + np.log(shares.sum(axis=0)) - problem.log_loss
    shares /= shares.sum(axis=0)
    design = problem.design.reshape(len(x), -1, count)
    return np.einsum("jn,pjn->np", shares, design), residual


def law_at(problem: FitProblem, x: Array) -> Law:
    """Turn scaled coordinates (k, p) into a law of k draws."""
    theta = (x @ problem.scaling.T).T
    match problem.form:
        case "chinchilla":
            return Law(*theta)
        case "tied":
            return Law(theta[0], theta[1], theta[2], theta[3], theta[3])
        case "power":
            absent = np.full_like(theta[0], np.nan)
            return Law(theta[0], np.full_like(absent, -np.inf), theta[1], theta[2], absent)
        case _:
            assert_never(problem.form)


def coordinates(problem: FitProblem, law: Law) -> Array:
    """Turn a law of k draws into scaled coordinates (k, p); tied takes the exponents' mean."""
    match problem.form:
        case "chinchilla":
            theta = [
                law.ln_a,
                law.ln_b,
                law.ln_e,
                law.alpha,
                law.beta,
            ]
        case "tied":
            theta = [
                law.ln_a,
                law.ln_b,
                law.ln_e,
                0.5 * (law.alpha + law.beta),
            ]
        case "power":
            theta = [law.ln_a, law.ln_e, law.alpha]
        case _:
            assert_never(problem.form)
    return np.asarray(np.linalg.solve(problem.scaling, np.stack(theta)), dtype=np.float64).T
