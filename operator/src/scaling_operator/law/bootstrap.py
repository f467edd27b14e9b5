"""Intervals by resampling: which runs are drawn, the refits, and percentiles.

A resample is a row of counts over the points, so that all of them share one design matrix and are
minimised as one batch, each from the full-data optimum and from one other point; the lower of the
two minima counts. A resample draws what varied independently:

* pairs: single runs;
* stratified: runs within their budget, where an IsoFLOP design fixed the budgets (pairs give about
  the same coverage with wider intervals there, residuals give too narrow ones);
* cluster: whole runs or sizes, where several points share an artefact.

The seed fixes everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, assert_never

import numpy as np

from scaling_operator.law.batch_bfgs import Tolerance, minimise
from scaling_operator.law.forms import coefficient_count, coordinates, jacobian, law_at, weighted
from scaling_operator.law.law import Law, mapped
from scaling_operator.law.parametric_fit import Fitted
from scaling_operator.law.points import Array, Points

Resample = Literal["pairs", "stratified", "cluster"]
LEVELS = (80, 90, 95)
CHUNK_ENTRIES = 100_000
"""Terms minimised together, resamples x columns: so many stay in the cache of a core."""
REDRAWS = 200
TOLERANCE = Tolerance(gradient=1e-4, gain=1e-9, iterations=300)
"""Of 1e3 x the objective, which is of the order of 1: far below what a percentile can show."""

Interval = tuple[float, float]
Intervals = dict[int, Interval]
"""Level in per cent -> (low, high)."""


@dataclass(frozen=True, slots=True)
class Draws:
    """The refits: a law of `count` draws; the `failed` draws are not sound and hold NaN."""

    law: Law
    resample: Resample
    seed: int
    count: int
    failed: int


def resample_of(points: Points) -> Resample:
    """Choose what to draw: clusters where they are declared, else within budgets, else runs."""
    if points.cluster is not None:
        return "cluster"
    return "pairs" if points.group is None else "stratified"


def bootstrap_law(
    points: Points, fitted: Fitted, *, count: int, seed: int, resample: Resample | None = None
) -> Draws:
    """Refit `count` resamples of the points behind `fitted`; a resample is a row of counts.

    Raises ValueError where the resampling asked for needs a column that the points lack.
    """
    kind = resample_of(points) if resample is None else resample
    rng = np.random.default_rng(seed)
    counts = draw_counts(points, kind, count=count, rng=rng)
    counts = _redrawn(points, counts, kind, (coefficient_count(fitted.form) + 1, rng))
    problem = fitted.problem
    starts = [coordinates(problem, law)[0] for law in (fitted.law, fitted.other)]
    inverse = _inverse_hessian(fitted)
    best = np.empty((count, len(starts[0])))
    chunk = max(8, CHUNK_ENTRIES // (2 * problem.design.shape[1]))
    for first in range(0, count, chunk):
        part = counts[first : first + chunk]
        both = np.repeat(np.stack(starts), len(part), axis=0)
        objective = weighted(problem, np.concatenate([part, part]))
        x, value = minimise(objective, both, inverse=inverse, tolerance=TOLERANCE)
        lower = value[len(part) :] < value[: len(part)]
        best[first : first + chunk] = np.where(lower[:, None], x[len(part) :], x[: len(part)])
    law = _sound_only(law_at(problem, best))
    return Draws(law, kind, seed, count, int(count - law.sound.sum()))


def draw_counts(
    points: Points, resample: Resample, *, count: int, rng: np.random.Generator
) -> Array:
    """Draw how often each point counts, shape (count, n); ValueError as in `bootstrap_law`."""
    size = len(points)
    match resample:
        case "pairs":
            return rng.multinomial(size, np.full(size, 1 / size), size=count).astype(np.float64)
        case "stratified":
            strata = _column(points.group, "a budget")
            counts = np.zeros((count, size))
            for stratum in np.unique(strata):
                members = np.flatnonzero(strata == stratum)
                even = np.full(len(members), 1 / len(members))
                counts[:, members] = rng.multinomial(len(members), even, size=count)
            return counts
        case "cluster":
            labels, codes = np.unique(_column(points.cluster, "a cluster"), return_inverse=True)
            even = np.full(len(labels), 1 / len(labels))
            return rng.multinomial(len(labels), even, size=count)[:, codes].astype(np.float64)
        case _:
            assert_never(resample)


def intervals(draws: Array) -> dict[int, Interval]:
    """Return percentile intervals of draws (count,) at 80, 90 and 95 %, ignoring NaN.

    An infinite end means that the quantity is not bounded on that side.
    """
    numbers = draws[~np.isnan(draws)]
    if not len(numbers):
        return {}
    return {level: _interval(numbers, level) for level in LEVELS}


def _interval(numbers: Array, level: int) -> Interval:
    tail = (100 - level) / 200
    # "nearest" interpolates between no two draws, hence never between a finite and an infinite one.
    low, high = np.quantile(numbers, [tail, 1 - tail], method="nearest")
    return float(low), float(high)


def _redrawn(
    points: Points, counts: Array, kind: Resample, need: tuple[int, np.random.Generator]
) -> Array:
    """Redraw the resamples with too few distinct points, or sizes, to determine the form."""
    least, rng = need
    sizes, codes = np.unique(points.N, return_inverse=True)
    member = np.equal.outer(codes, np.arange(len(sizes))).astype(np.float64)
    least_sizes = min(3, len(sizes))
    for _ in range(REDRAWS):
        present = counts > 0
        few = (present.sum(axis=1) < min(least, len(points))) | (
            (present @ member > 0).sum(axis=1) < least_sizes
        )
        if not few.any():
            break
        counts[few] = draw_counts(points, kind, count=int(few.sum()), rng=rng)
    return counts


def _inverse_hessian(fitted: Fitted) -> Array:
    """Return a first inverse Hessian (p, p) at the optimum: Gauss-Newton with Huber's weights."""
    problem = fitted.problem
    x = coordinates(problem, fitted.law)[0]
    slopes, residual = jacobian(problem, x)
    weight = problem.delta / np.maximum(np.abs(residual), problem.delta)
    hessian = 1e3 * (slopes.T * weight) @ slopes
    ridge = 1e-6 * np.trace(hessian) * np.eye(len(hessian))
    return np.asarray(np.linalg.inv(hessian + ridge), dtype=np.float64)


def _sound_only(law: Law) -> Law:
    return mapped(law, lambda column: np.where(law.sound, column, np.nan))


def _column(column: Array | None, what: str) -> Array:
    if column is None:
        message = f"this resampling needs {what} for each point; the points have none"
        raise ValueError(message)
    return column
