"""BFGS on many starting points, or many resamples, at once.

A bootstrap is thousands of five-dimensional minimisations, in which a loop in Python around
scipy's BFGS spends most of its time on overhead. Here every array has the batch as first axis, and
a row leaves the batch when it has converged. The line search bisects for the weak Wolfe conditions
(Lewis and Overton 2013), which keeps BFGS sound where the objective is nearly an absolute value, as
the Huber objective with a narrow delta is. A test compares the results with those of scipy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scaling_operator.law.points import Array

Rows = NDArray[np.intp]
Objective = Callable[[Array, Rows], tuple[Array, Array]]
"""(x of shape (m, p), rows of shape (m,)) -> (values (m,), gradients (m, p))."""

ARMIJO, CURVATURE = 1e-4, 0.9
LINE_STEPS = 30
LONGEST_STEP = 5.0
STALLED_ITERATIONS = 3


@dataclass(frozen=True, slots=True)
class Tolerance:
    """When a row has converged: the largest gradient entry, or the relative gain of a step."""

    gradient: float = 1e-6
    gain: float = 1e-11
    iterations: int = 400


@dataclass(slots=True)
class _State:
    """Mutable working arrays of the whole batch; private to a call of `minimise`."""

    x: Array
    value: Array
    gradient: Array
    inverse: Array
    stalled: NDArray[np.intp]


def minimise(
    objective: Objective,
    start: Array,
    *,
    inverse: Array | None = None,
    tolerance: Tolerance = Tolerance(),
) -> tuple[Array, Array]:
    """Minimise from every row of `start` (m, p); return the minima (m, p) and values (m,).

    `inverse` (p, p) is a first inverse Hessian for all rows; without it the first step is scaled.
    Rows whose objective is not finite anywhere near their start end with an infinite value.
    """
    rows = np.arange(len(start), dtype=np.intp)
    value, gradient = objective(start, rows)
    size = start.shape[1]
    identity = np.eye(size) if inverse is None else inverse
    state = _State(
        x=start.copy(),
        value=np.where(np.isfinite(value), value, np.inf),
        gradient=gradient,
        inverse=np.broadcast_to(identity, (len(start), size, size)).copy(),
        stalled=np.zeros(len(start), dtype=np.intp),
    )
    active = rows[np.isfinite(state.value)]
    for iteration in range(tolerance.iterations):
        active = active[np.abs(state.gradient[active]).max(axis=1) > tolerance.gradient]
        if not len(active):
            break
        rescale = iteration == 0 and inverse is None
        active = _step(objective, state, active, gain=tolerance.gain, rescale=rescale)
    return state.x, state.value


def _step(objective: Objective, state: _State, rows: Rows, *, gain: float, rescale: bool) -> Rows:
    """Take one BFGS step in each of `rows`; return those that go on."""
    direction = _direction(state, rows, first=rescale)
    moved, x, value, gradient = _search(objective, state, rows, direction)
    step = x - state.x[rows]
    change = gradient - state.gradient[rows]
    _update(state, rows, (step, change), rescale=rescale)
    small = state.value[rows] - value <= gain * np.abs(value)
    state.stalled[rows] = np.where(small, state.stalled[rows] + 1, 0)
    state.x[rows], state.value[rows], state.gradient[rows] = x, value, gradient
    return rows[moved & (state.stalled[rows] < STALLED_ITERATIONS)]


def _direction(state: _State, rows: Rows, *, first: bool) -> Array:
    gradient = state.gradient[rows]
    direction = -np.einsum("bij,bj->bi", state.inverse[rows], gradient)
    uphill = np.einsum("bi,bi->b", direction, gradient) >= 0
    if uphill.any():
        state.inverse[rows[uphill]] = np.eye(gradient.shape[1])
        direction[uphill] = -gradient[uphill]
    length = np.abs(direction).max(axis=1, keepdims=True)
    # Where nothing is known of the curvature, the first step has length 0.1 whatever the slope.
    longest = 0.1 if first else LONGEST_STEP
    return direction * np.minimum(1.0, longest / np.maximum(length, 1e-300))


def _search(
    objective: Objective, state: _State, rows: Rows, direction: Array
) -> tuple[NDArray[np.bool_], Array, Array, Array]:
    """Bisect for a step that meets both weak Wolfe conditions, else the best Armijo step seen."""
    x, value, gradient = state.x[rows], state.value[rows], state.gradient[rows]
    slope = np.einsum("bi,bi->b", direction, gradient)
    best_x, best_value, best_gradient = x.copy(), value.copy(), gradient.copy()
    low, high = np.zeros(len(rows)), np.full(len(rows), np.inf)
    length = np.ones(len(rows))
    moved = np.zeros(len(rows), dtype=np.bool_)
    todo = np.arange(len(rows), dtype=np.intp)
    for _ in range(LINE_STEPS):
        trial = x[todo] + length[todo, None] * direction[todo]
        new_value, new_gradient = objective(trial, rows[todo])
        enough = new_value <= value[todo] + ARMIJO * length[todo] * slope[todo]
        steep = np.einsum("bi,bi->b", new_gradient, direction[todo]) < CURVATURE * slope[todo]
        good = todo[enough]
        best_x[good], best_value[good] = trial[enough], new_value[enough]
        best_gradient[good] = new_gradient[enough]
        moved[good] = True
        low[good] = length[good]
        high[todo[~enough]] = length[todo[~enough]]
        todo = todo[~enough | steep]
        if not len(todo):
            break
        length[todo] = np.where(
            np.isfinite(high[todo]), 0.5 * (low[todo] + high[todo]), 2.0 * low[todo]
        )
    return moved, best_x, best_value, best_gradient


def _update(state: _State, rows: Rows, pair: tuple[Array, Array], *, rescale: bool) -> None:
    """Apply the BFGS formula (Nocedal and Wright 2006, 6.17) to the inverse Hessians of `rows`."""
    step, change = pair
    product = np.einsum("bi,bi->b", step, change)
    curved = product > 1e-12 * np.linalg.norm(step, axis=1) * np.linalg.norm(change, axis=1)
    if not curved.any():
        return
    rows, step, change, product = rows[curved], step[curved], change[curved], product[curved]
    if rescale:
        scale = product / np.einsum("bi,bi->b", change, change)
        state.inverse[rows] *= scale[:, None, None]
    inverse = state.inverse[rows]
    image = np.einsum("bij,bj->bi", inverse, change)
    factor = (1.0 + np.einsum("bi,bi->b", change, image) / product) / product
    cross = np.einsum("bi,bj->bij", image, step) / product[:, None, None]
    outer = np.einsum("bi,bj->bij", step, step) * factor[:, None, None]
    state.inverse[rows] = inverse + outer - cross - cross.transpose(0, 2, 1)
