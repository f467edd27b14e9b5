"""The envelope of training curves: at each compute the size whose curve lies lowest.

A third estimate (Hoffmann 2022), given only where the curves allow it: under a constant rate, or in
the stable phase of a warm-up/stable/decay schedule. Under a cosine a run that is cut short is not
the run of that length, and the envelope is biased. The envelope needs whole curves: an experiment
has whole curves; `scaling fit`, which sees the ends of runs, has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from scaling_operator.api.status_fit import BudgetOptimum
from scaling_operator.law.parametric_fit import NotFitted
from scaling_operator.law.points import Array

Course = Literal["constant", "wsd", "cosine", "other"]
ALLOWED: tuple[Course, ...] = ("constant", "wsd")
FEWEST_SIZES = 5
PLACES = 200
FEWEST_OPTIMA = 3


@dataclass(frozen=True, slots=True)
class TrainingCurve:
    """A run: N, ascending C and the L there, each of shape (s,); of wsd only the stable phase."""

    parameters: float
    flops: Array
    loss: Array


@dataclass(frozen=True, slots=True)
class Curves:
    """The curves of an experiment, under one kind of schedule."""

    course: Course
    curves: tuple[TrainingCurve, ...]


@dataclass(frozen=True, slots=True)
class Envelope:
    """N* ~ C^a through the sizes that are lowest somewhere: C, N and L, each of shape (k,).

    C is the geometric middle of the budgets at which a size is lowest.
    """

    a: float
    flops: Array
    parameters: Array
    loss: Array

    @property
    def optima(self) -> tuple[BudgetOptimum, ...]:
        """The sizes that are lowest somewhere, each with its C and L."""
        columns = (self.flops.tolist(), self.parameters.tolist(), self.loss.tolist())
        return tuple(
            BudgetOptimum(budget_flops=flops, parameters=parameters, loss=loss)
            for flops, parameters, loss in zip(*columns, strict=True)
        )


def envelope_size(envelope: Envelope, flops: float) -> float:
    """Return the size that the envelope's power law has at a budget."""
    beyond = np.log(flops) - np.log(envelope.flops).mean()
    return float(np.exp(np.log(envelope.parameters).mean() + envelope.a * beyond))


def fit_envelope(curves: Sequence[TrainingCurve], course: Course) -> Envelope | NotFitted:
    """Fit the envelope; NotFitted says why these curves do not allow it."""
    refusal = _refusal(curves, course)
    if refusal is not None:
        return refusal
    ordered = sorted(curves, key=lambda curve: curve.parameters)
    first = min(float(np.log(curve.flops[0])) for curve in ordered)
    last = max(float(np.log(curve.flops[-1])) for curve in ordered)
    places: Array = np.linspace(first, last, PLACES)
    # Beyond its own ends a curve says nothing, and is never the lowest.
    heights = np.stack([_height(curve, places) for curve in ordered])
    covered = np.isfinite(heights).sum(axis=0) >= FEWEST_OPTIMA
    lowest = np.argmin(heights, axis=0)
    middles = [_interior(size, (lowest, covered, heights), places) for size in range(len(ordered))]
    optima = [
        (middle, np.log(curve.parameters), height)
        for curve, place in zip(ordered, middles, strict=True)
        if place is not None
        for middle, height in (place,)
    ]
    if len(optima) < FEWEST_OPTIMA:
        message = f"{len(optima)} sizes are lowest between others; the envelope needs 3"
        return NotFitted("EdgeOptimum", message)
    work, sizes, losses = np.array(optima).T
    centred = work - work.mean()
    a = float(centred @ sizes / (centred @ centred))
    return Envelope(a, np.exp(work), np.exp(sizes), np.exp(losses))


def _refusal(curves: Sequence[TrainingCurve], course: Course) -> NotFitted | None:
    if course not in ALLOWED:
        message = f"under schedule {course} a run cut short is not the run of that length"
        return NotFitted("CurvesNotComparable", message)
    if len({curve.parameters for curve in curves}) < FEWEST_SIZES:
        return NotFitted("TooFewSizes", f"the envelope needs curves of {FEWEST_SIZES} sizes")
    for curve in curves:
        values = np.concatenate([curve.flops, curve.loss, [curve.parameters]])
        sound = np.isfinite(values).all() and (values > 0).all()
        if not sound or len(curve.flops) < FEWEST_OPTIMA or (np.diff(curve.flops) <= 0).any():
            message = f"the curve of {curve.parameters:g} parameters is too short or not sound"
            return NotFitted("InvalidCurve", message)
    return None


def _height(curve: TrainingCurve, places: Array) -> Array:
    log_flops = np.log(curve.flops)
    inside = (places >= log_flops[0]) & (places <= log_flops[-1])
    return np.where(inside, np.interp(places, log_flops, np.log(curve.loss)), np.inf)


def _interior(
    size: int, curves: tuple[Array | np.ndarray, np.ndarray, Array], places: Array
) -> tuple[float, float] | None:
    """Return the middle of the places where a size is lowest; None at an end of sizes or curves."""
    lowest, covered, heights = curves
    own = np.flatnonzero((lowest == size) & covered)
    if size in (0, len(heights) - 1) or not len(own):
        return None
    before, after = own[0] - 1, own[-1] + 1
    rivals = before >= 0 and after < len(places) and covered[before] and covered[after]
    if not rivals or lowest[before] >= size or lowest[after] <= size:
        return None
    middle = int((own[0] + own[-1]) // 2)
    return float(places[middle]), float(heights[size, middle])
