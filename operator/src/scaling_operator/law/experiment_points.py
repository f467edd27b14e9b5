"""From the best trials of an experiment to the points of a law: which N, which rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from scaling_operator.api.fitted import LeftOut
from scaling_operator.api.scaling import Scaling
from scaling_operator.core.fit_types import FitInput, TunedPoint
from scaling_operator.law.conditions import invalid_points
from scaling_operator.law.isoflop import MIN_BUDGETS, curves_of, fit_isoflop
from scaling_operator.law.points import (
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

COUNTED = "modelParameters"
SAME_COMPUTE = 0.02
"""Runs whose ln C lie within this of each other have one budget."""


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
    """Choose what N is, leave out what the rules leave out, and name what belongs together."""
    scaling = fit_input.spec.scaling or Scaling(parameter="size", sizes=(1,))
    size = COUNTED if _all_counted(fit_input.points) else (scaling.parameter or COUNTED)
    known = [point for point in fit_input.points if size_of(point, size) is not None]
    left_out = [
        LeftOut(scale=p.scale.index, reason="UnknownSize")
        for p in fit_input.points
        if p not in known
    ]
    if scaling.fit.hyperparameter_edge == "leave-out":
        left_out += [
            LeftOut(scale=point.scale.index, reason="HyperparameterEdge")
            for point in known
            if point.edges
        ]
        known = [point for point in known if not point.edges]
    points = _points_of_law(fit_input, known, size)
    points, worse = keep_best(points)
    left_out += [LeftOut(scale=known[row].scale.index, reason="NotTheBest") for row in worse]
    used = [point for row, point in enumerate(known) if row not in worse]
    points = replace(points, row=np.arange(len(used), dtype=np.int64))
    return ExperimentPoints(_together(points, used), tuple(used), tuple(left_out), size)


def size_of(point: TunedPoint, size: str) -> float | None:
    """Give a point's N; None where it is not known."""
    if size == COUNTED:
        return point.model_parameters
    value = point.scale.parameters.get(size)
    return None if value is None or isinstance(value, bool | str) else float(value)


def _all_counted(points: Sequence[TunedPoint]) -> bool:
    return all(point.model_parameters for point in points)


def _points_of_law(fit_input: FitInput, known: Sequence[TunedPoint], size: str) -> Points:
    objective = fit_input.spec.all_objectives[0]
    values = [point.value for point in known]
    losses = values if objective.direction == "minimize" else error_of_score(values)
    sizes = [size_of(point, size) or np.nan for point in known]
    samples = _column([point.samples for point in known])
    flops = _column([point.flops for point in known])
    if samples is not None:
        points = points_from_tokens(sizes, samples, losses, flops=flops)
        if flops is None and size != COUNTED:
            points = replace(points, C=None)  # 6 N D counts parameters, not widths
    elif flops is not None and size == COUNTED:
        points = points_from_flops(sizes, flops, losses)
    else:
        points = points_from_sizes(sizes, losses)
    points = named(points, [f"trial {point.trial}" for point in known])
    return points if objective.direction == "minimize" else as_error(points)


def _column(values: Sequence[float | None]) -> list[float] | None:
    """Give a column where every point has it."""
    known = [value for value in values if value is not None]
    return known if len(known) == len(values) and known else None


def _together(points: Points, used: Sequence[TunedPoint]) -> Points:
    """Group runs of one compute budget; join what one run gave, to be resampled together."""
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
    # Where compute is equal by chance, a second opinion that has none is no reason to refuse.
    return isoflop if by_design or fit_isoflop(isoflop).power is not None else points


def _budgets(points: Points, used: Sequence[TunedPoint]) -> list[float] | None:
    """Take the design's budgets, else see which runs spent the same compute."""
    given = _column([point.scale.budget_flops for point in used])
    if given is not None or points.C is None or not len(points):
        return given
    order = np.argsort(points.C)
    steps = np.diff(np.log(points.C[order])) > SAME_COMPUTE
    codes = np.empty(len(points), dtype=np.int64)
    codes[order] = np.concatenate([[0], np.cumsum(steps)])
    means = [
        float(np.exp(np.log(points.C[codes == code]).mean())) for code in range(codes.max() + 1)
    ]
    return [means[code] for code in codes]
