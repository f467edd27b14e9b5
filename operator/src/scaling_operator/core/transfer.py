"""What one scale hands to the next: its best points, and a range about the best of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeGuard

from scaling_operator.api.fields import Scalar
from scaling_operator.api.scaling import Transfer
from scaling_operator.api.search import FloatParameter, IntParameter, Search
from scaling_operator.api.status import BestTrial, Range
from scaling_operator.core.ladder import Scale
from scaling_operator.core.observed import ScaleView

Point = Mapping[str, Scalar]


def donor(view: ScaleView, scales: tuple[ScaleView, ...]) -> ScaleView | None:
    """Choose who hands on: of the open scales the nearest in size, data and compute.

    In a plain ladder that is the one before; the last one counts where two are as near. None where
    none is open.
    """
    known = [each for each in scales if each.open]
    return min(reversed(known), key=lambda each: _distance(view.scale, each.scale), default=None)


def _distance(one: Scale, other: Scale) -> float:
    """Sum of the logarithms between the numbers of two scales."""
    pairs = [(value, other.parameters.get(name)) for name, value in one.parameters.items()]
    pairs += [(one.samples, other.samples), (one.budget_flops, other.budget_flops)]
    return sum(abs(math.log(a / b)) for a, b in pairs if _is_size(a) and _is_size(b))


def _is_size(value: Scalar | None) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def top_points(best: tuple[BestTrial, ...], search: Search, top_k: int) -> tuple[Point, ...]:
    """Take the searched parameters of the best trials, best first, no point twice."""
    points: list[Point] = []
    for trial in best:
        point = {
            name: value for name, value in trial.parameters.items() if name in search.parameters
        }
        if point and point not in points:
            points.append(point)
    return tuple(points[:top_k])


def narrowed_ranges(
    search: Search, before: Mapping[str, Range], best: BestTrial | None, transfer: Transfer
) -> Mapping[str, Range]:
    """Shrink each numeric range about the best value, within the range of the scale before.

    On a logarithmic parameter the width is one of logarithms. With nothing known, the ranges stay.
    """
    if best is None:
        return before
    ranges = dict(before)
    for name, parameter in search.parameters.items():
        value = best.parameters.get(name)
        if not isinstance(parameter, FloatParameter | IntParameter):
            continue
        if value is None or isinstance(value, bool | str):
            continue
        whole = before.get(name) or Range(low=parameter.low, high=parameter.high)
        ranges[name] = _about(value, whole, transfer.shrink, log=parameter.log)
    return ranges


def _about(value: float, whole: Range, shrink: float, *, log: bool) -> Range:
    low, high, at = (
        (math.log(whole.low), math.log(whole.high), math.log(value))
        if log
        else (whole.low, whole.high, value)
    )
    width = (high - low) * shrink
    # Near an edge the range moves inwards instead of losing a half.
    start = min(max(at - width / 2, low), high - width)
    end = start + width
    if log:
        start, end = math.exp(start), math.exp(end)
    # Rounding in exp and log must not push an end past the whole, nor past the best value.
    return Range(low=max(whole.low, min(start, value)), high=min(whole.high, max(end, value)))


def fits(point: Point, ranges: Mapping[str, Range]) -> bool:
    """Whether every number of a point lies within the ranges."""
    for name, bounds in ranges.items():
        value = point.get(name)
        if value is None or isinstance(value, bool | str):
            continue
        if not bounds.low <= value <= bounds.high:
            return False
    return True
