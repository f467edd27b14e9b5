"""The learning curves of an experiment's best trials, as far as they can be held side by side.

A step counts evaluations, so a curve's compute at a step is that share of the whole training's. A
pruned trial is never the best of its scale: every curve here is whole.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from scaling_operator.api.status import CurvePoint
from scaling_operator.core.fit_types import FitInput, TunedPoint
from scaling_operator.core.reports import STABLE
from scaling_operator.law.chinchilla import NotFitted
from scaling_operator.law.envelope import ALLOWED, Course, Curves, TrainingCurve
from scaling_operator.law.experiment_points import COUNTED, ExperimentPoints
from scaling_operator.law.points import Array

FEWEST_POINTS = 3


def comparable_curves(fit_input: FitInput, prepared: ExperimentPoints) -> Curves | NotFitted:
    """Collect one curve a size, the longest; NotFitted says why there are none to compare."""
    whole = [row for row, point in enumerate(prepared.used) if point.curve]
    if not whole:
        return NotFitted("NoCurves", "the trials report no values before their end")
    if prepared.size != COUNTED or prepared.points.C is None:
        return NotFitted("UnknownFlops", "nothing tells the compute along the curves")
    course = _course(fit_input, [prepared.used[row] for row in whole])
    if isinstance(course, NotFitted):
        return course
    longest: dict[float, int] = {}
    for row in whole:
        size = float(f"{prepared.points.N[row]:.9g}")
        if size not in longest or prepared.points.C[row] > prepared.points.C[longest[size]]:
            longest[size] = row
    is_error = prepared.points.quantity == "error"
    found = [
        _curve(prepared.used[row], prepared.points.C[row], size, is_error=is_error)
        for size, row in longest.items()
    ]
    return Curves(course, tuple(curve for curve in found if len(curve.flops) >= FEWEST_POINTS))


def _course(fit_input: FitInput, points: list[TunedPoint]) -> Course | NotFitted:
    """Name the schedule of the learning rate; of a trainer of one's own, by the phases it names."""
    built_in = fit_input.spec.trainer.built_in
    if built_in is None:
        if any(each.phase == STABLE for point in points for each in point.curve):
            return "wsd"
        message = "the trainer names no stable phase of its schedule in its reports"
        return NotFitted("CurvesNotComparable", message)
    course = built_in.optimizer.schedule.name
    if course not in ALLOWED:
        message = f"under schedule {course} a run cut short is not the run of that length"
        return NotFitted("CurvesNotComparable", message)
    return course


def _curve(point: TunedPoint, flops: float, size: float, *, is_error: bool) -> TrainingCurve:
    end = point.curve[-1].step
    kept = list(_stable(point.curve))
    values: Array = np.array([each.value for each in kept], dtype=np.float64)
    return TrainingCurve(
        parameters=size,
        flops=np.array([flops * (each.step / end) for each in kept], dtype=np.float64),
        loss=1.0 - values if is_error else values,
    )


def _stable(curve: tuple[CurvePoint, ...]) -> Iterator[CurvePoint]:
    """Give what lies in the stable phase; all, where no phase is named."""
    named = any(each.phase is not None for each in curve)
    return (each for each in curve if not named or each.phase == STABLE)
