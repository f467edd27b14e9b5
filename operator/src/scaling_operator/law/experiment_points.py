"""From the best trials of an experiment to what a law is fitted to: points, curves, sizes to come.

Points: which quantity is N, which trials count.

Curves: the learning curves of the best trials, as far as they can be compared. A step counts
evaluations: the compute at step k of n is k/n of the training's compute. A pruned trial is never
the best of its scale, so every curve is complete.

Sizes to come: N and D of the scales that have no trial yet. The law predicts their loss.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from pydantic import ValidationError

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.fields import Scalar
from scaling_operator.api.scaling import Scaling
from scaling_operator.api.status import CurvePoint
from scaling_operator.api.status_fit import LeftOut
from scaling_operator.core.edges import number_of
from scaling_operator.core.fit_types import FitInput, TunedPoint
from scaling_operator.core.ladder import Scale, samples_of
from scaling_operator.core.reports import STABLE
from scaling_operator.law.envelope import ALLOWED, Course, Curves, TrainingCurve
from scaling_operator.law.isoflop import MIN_BUDGETS, curves_of, fit_isoflop
from scaling_operator.law.parametric_fit import NotFitted
from scaling_operator.law.points import (
    Array,
    Points,
    as_error,
    clustered,
    error_of_score,
    grouped,
    keep_best,
    named,
    points_from_flops,
    points_from_sizes,
    points_from_tokens,
)
from scaling_operator.law.refusals import invalid_points
from scaling_trainer.config.builtin import with_parameters
from scaling_trainer.counting import count, dimensions_of

COUNTED = "modelParameters"
SAME_COMPUTE = 0.02
"""Runs whose ln C lie within this of each other have one budget."""
FEWEST_POINTS = 3


@dataclass(frozen=True, slots=True)
class ExperimentPoints:
    """Points of a law and the tuned points they come from, row by row.

    `size` says what N is: counted parameters, or the ladder's own number.
    """

    points: Points
    used: tuple[TunedPoint, ...]
    left_out: tuple[LeftOut, ...]
    size: str


def prepare(fit_input: FitInput) -> ExperimentPoints:
    """Choose what N is, apply the rules that leave points out, and label what belongs together."""
    scaling = fit_input.spec.scaling or Scaling(parameter="size", sizes=(1,))
    size = COUNTED if _all_counted(fit_input.points) else (scaling.parameter or COUNTED)
    sized = [point for point in fit_input.points if size_of(point, size) is not None]
    left_out = [
        LeftOut(scale=p.scale.index, reason="UnknownSize")
        for p in fit_input.points
        if p not in sized
    ]
    if scaling.fit.hyperparameter_edge == "leave-out":
        left_out += [
            LeftOut(scale=point.scale.index, reason="HyperparameterEdge")
            for point in sized
            if point.edges
        ]
        sized = [point for point in sized if not point.edges]
    points = _points_of_law(fit_input, sized, size)
    points, worse = keep_best(points)
    left_out += [LeftOut(scale=sized[row].scale.index, reason="NotTheBest") for row in worse]
    used = [point for row, point in enumerate(sized) if row not in worse]
    points = replace(points, row=np.arange(len(used), dtype=np.int64))
    return ExperimentPoints(_together(points, used), tuple(used), tuple(left_out), size)


def size_of(point: TunedPoint, size: str) -> float | None:
    """Return N of a point; None where N is unknown."""
    if size == COUNTED:
        return point.model_parameters
    value = point.scale.parameters.get(size)
    return None if value is None or isinstance(value, bool | str) else float(value)


def _all_counted(points: Sequence[TunedPoint]) -> bool:
    return all(point.model_parameters for point in points)


def _points_of_law(fit_input: FitInput, tuned: Sequence[TunedPoint], size: str) -> Points:
    objective = fit_input.spec.all_objectives[0]
    values = [point.value for point in tuned]
    losses = values if objective.direction == "minimize" else error_of_score(values)
    sizes = [size_of(point, size) or np.nan for point in tuned]
    samples = _column([point.samples for point in tuned])
    flops = _column([point.flops for point in tuned])
    if samples is not None:
        points = points_from_tokens(sizes, samples, losses, flops=flops)
        if flops is None and size != COUNTED:
            points = replace(points, C=None)  # 6 N D counts parameters, not widths
    elif flops is not None and size == COUNTED:
        points = points_from_flops(sizes, flops, losses)
    else:
        points = points_from_sizes(sizes, losses)
    points = named(points, [f"trial {point.trial}" for point in tuned])
    return points if objective.direction == "minimize" else as_error(points)


def _column(values: Sequence[float | None]) -> list[float] | None:
    """Return the values as a column; None where any value is missing."""
    present = [value for value in values if value is not None]
    return present if len(present) == len(values) and present else None


def _together(points: Points, used: Sequence[TunedPoint]) -> Points:
    """Group runs by compute budget; cluster the points of one run, to be resampled together."""
    scales = [point.scale.index for point in used]
    if len(set(scales)) < len(scales):
        points = clustered(points, scales)
    if invalid_points(points):
        return points  # the fit refuses them by name
    budgets = _budgets(points, used)
    if budgets is None:
        return points
    isoflop = grouped(points, budgets)
    if len(curves_of(isoflop)) < MIN_BUDGETS:
        return points
    by_design = all(point.scale.budget_flops is not None for point in used)
    # Where compute is equal by chance, IsoFLOP without a power law is no reason to refuse.
    return isoflop if by_design or fit_isoflop(isoflop).power is not None else points


def _budgets(points: Points, used: Sequence[TunedPoint]) -> list[float] | None:
    """Return the budgets of the design; else group the runs that spent the same compute."""
    declared = _column([point.scale.budget_flops for point in used])
    if declared is not None or points.C is None or not len(points):
        return declared
    order = np.argsort(points.C)
    steps = np.diff(np.log(points.C[order])) > SAME_COMPUTE
    codes = np.empty(len(points), dtype=np.int64)
    codes[order] = np.concatenate([[0], np.cumsum(steps)])
    means = [
        float(np.exp(np.log(points.C[codes == code]).mean())) for code in range(codes.max() + 1)
    ]
    return [means[code] for code in codes]


def comparable_curves(fit_input: FitInput, prepared: ExperimentPoints) -> Curves | NotFitted:
    """Collect the longest curve of each size; NotFitted says why no curves can be compared."""
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
    curves = [
        _curve(prepared.used[row], prepared.points.C[row], size, is_error=is_error)
        for size, row in longest.items()
    ]
    return Curves(course, tuple(curve for curve in curves if len(curve.flops) >= FEWEST_POINTS))


def _course(fit_input: FitInput, points: list[TunedPoint]) -> Course | NotFitted:
    """Name the schedule of the learning rate; for a custom trainer, by the phases it reports."""
    built_in = fit_input.spec.trainer.built_in
    if built_in is None:
        if any(reading.phase == STABLE for point in points for reading in point.curve):
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
    stable = list(_stable(point.curve))
    values: Array = np.array([reading.value for reading in stable], dtype=np.float64)
    return TrainingCurve(
        parameters=size,
        flops=np.array([flops * (reading.step / end) for reading in stable], dtype=np.float64),
        loss=1.0 - values if is_error else values,
    )


def _stable(curve: tuple[CurvePoint, ...]) -> Iterator[CurvePoint]:
    """Return the readings of the stable phase; all readings where no phase is named."""
    named = any(reading.phase is not None for reading in curve)
    return (reading for reading in curve if not named or reading.phase == STABLE)


def expected_runs(
    fit_input: FitInput, prepared: ExperimentPoints
) -> Mapping[int, tuple[float, float | None]]:
    """Return (N, D) by index of each untried scale whose N and D can be known in advance."""
    runs: dict[int, tuple[float, float | None]] = {}
    if not prepared.used:
        return runs
    for scale in fit_input.untried:
        nearest = min(
            prepared.used, key=lambda point: abs(number_of(point.scale) - number_of(scale))
        )
        parameters = {**nearest.parameters, **scale.parameters}
        size = _expected_size(fit_input.spec, prepared, scale, parameters)
        if size is None:
            continue
        samples = _expected_samples(fit_input.spec, prepared, scale, (parameters, size))
        if samples is not None or prepared.points.D is None:
            runs[scale.index] = (size, samples)
    return runs


def interpolated_in_logs(x: float, places: Array, values: Array) -> float | None:
    """Interpolate piecewise linearly in (ln place, ln value); extrapolate beyond the ends.

    None where fewer than two places differ.
    """
    order = np.argsort(places)
    _, first = np.unique(places[order], return_index=True)
    log_x, log_y = np.log(places[order][first]), np.log(values[order][first])
    if len(log_x) < 2:  # noqa: PLR2004 - a line needs two
        return None
    at = float(np.log(x))
    piece = int(np.clip(np.searchsorted(log_x, at) - 1, 0, len(log_x) - 2))
    slope = (log_y[piece + 1] - log_y[piece]) / (log_x[piece + 1] - log_x[piece])
    return float(np.exp(log_y[piece] + slope * (at - log_x[piece])))


def _expected_size(
    spec: ExperimentSpec, prepared: ExperimentPoints, scale: Scale, parameters: Mapping[str, Scalar]
) -> float | None:
    if prepared.size != COUNTED:
        value = scale.parameters.get(prepared.size)
        return None if value is None or isinstance(value, bool | str) else float(value)
    counted = _counted_by_formula(spec, parameters) or _named_by_rung(
        prepared, scale, prepared.points.N
    )
    if counted is not None:
        return counted
    if len(scale.parameters) != 1:
        return None
    numbers = np.array([number_of(point.scale) for point in prepared.used])
    return interpolated_in_logs(number_of(scale), numbers, prepared.points.N)


def _named_by_rung(prepared: ExperimentPoints, scale: Scale, column: Array) -> float | None:
    """Return the rung's parameter that equalled N (or D) in every scale that was tried."""
    for name, value in scale.parameters.items():
        tried = [point.scale.parameters.get(name) for point in prepared.used]
        numbers = [number for number in tried if isinstance(number, int | float)]
        if len(numbers) == len(column) and np.allclose(numbers, column, rtol=1e-6, atol=0.0):
            return None if isinstance(value, bool | str) else float(value)
    return None


def _counted_by_formula(spec: ExperimentSpec, parameters: Mapping[str, Scalar]) -> float | None:
    """Count a model by formula, where the built-in trainer trains it on data of known shape."""
    if spec.trainer.built_in is None:
        return None
    try:
        config = with_parameters(spec.trainer.built_in, parameters)
    except ValidationError:
        return None
    dimensions = dimensions_of(config.dataset.model_dump(mode="json"))
    if dimensions is None:
        return None
    return float(count(config.model.model_dump(mode="json"), dimensions).parameters)


def _expected_samples(
    spec: ExperimentSpec,
    prepared: ExperimentPoints,
    scale: Scale,
    run: tuple[Mapping[str, Scalar], float],
) -> float | None:
    parameters, size = run
    if scale.samples is not None or scale.budget_flops is not None:
        return samples_of(spec, scale, parameters)
    if prepared.points.D is None:
        return None
    named = _named_by_rung(prepared, scale, prepared.points.D)
    if named is not None:
        return named
    lasts = _last_of_each_scale(prepared)
    return interpolated_in_logs(size, prepared.points.N[lasts], prepared.points.D[lasts])


def _last_of_each_scale(prepared: ExperimentPoints) -> Sequence[int]:
    """Return the row of each scale's last point: the point at the end of its run."""
    last: dict[int, int] = {}
    tokens = prepared.points.D
    for row, point in enumerate(prepared.used):
        index = point.scale.index
        if tokens is not None and (index not in last or tokens[row] > tokens[last[index]]):
            last[index] = row
    return list(last.values())
