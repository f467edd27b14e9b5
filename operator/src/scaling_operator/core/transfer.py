"""What one scale hands to the next: its best points, and a range about the best of them."""

from __future__ import annotations

import math
from collections.abc import Mapping

from scaling_operator.api.fields import Scalar
from scaling_operator.api.scaling import Transfer
from scaling_operator.api.search import FloatParameter, IntParameter, Search
from scaling_operator.api.status import BestTrial, Range

Point = Mapping[str, Scalar]


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
