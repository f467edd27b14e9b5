"""What one scale passes to the next: its best points, and ranges about the expected best values.

Points and ranges move along the ladder as the best values have moved so far: h = h0 size^p. The
line is a regression of ln h over the logarithms of what a scale sets. The regression shrinks
exponents towards 0: a typical exponent is 0.5, and a search of few trials finds a best value within
a factor of 1.6. So two scales move a value little; ten scales say how the value moves.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeGuard

from scaling_operator.api.fields import Scalar
from scaling_operator.api.scaling import Transfer
from scaling_operator.api.search import FloatParameter, IntParameter, Search
from scaling_operator.api.status import BestTrial, Range
from scaling_operator.core.ladder import Scale
from scaling_operator.core.observed import ScaleView

RIDGE = 1.0
"""Variance of a best value about its line, divided by that of an exponent, in ln units."""
Axes = tuple[str, ...]
# No parameter's name has a colon.
_DATA, _BUDGET = ":samples", ":budgetFlops"


@dataclass(frozen=True, slots=True)
class Drift:
    """A line: ln h = centre + slopes . (place - origin), over the logarithms of `axes`."""

    axes: Axes
    origin: tuple[float, ...]
    centre: float
    slopes: tuple[float, ...]

    def at(self, scale: Scale) -> float | None:
        """Give the line's value at a scale; None where the scale sets other axes."""
        place = _place(scale, self.axes)
        if place is None:
            return None
        return math.exp(
            self.centre
            + sum(
                slope * (coordinate - origin)
                for slope, coordinate, origin in zip(self.slopes, place, self.origin, strict=True)
            )
        )


def drifts(views: Sequence[ScaleView], search: Search) -> Mapping[str, Drift]:
    """Fit a line for each logarithmic number through the best values of the scales so far."""
    lines: dict[str, Drift] = {}
    tried = [view for view in views if view.tally.best]
    for name, parameter in search.parameters.items():
        if not isinstance(parameter, FloatParameter | IntParameter) or not parameter.log:
            continue
        pairs = [
            (view.scale, math.log(value))
            for view in tried
            if isinstance(value := view.tally.best[0].parameters.get(name), int | float)
        ]
        line = _line(pairs)
        if line is not None:
            lines[name] = line
    return lines


def _line(pairs: Sequence[tuple[Scale, float]]) -> Drift | None:
    if not pairs:
        return None
    axes = axes_of(pairs[0][0])
    places = [(_place(scale, axes), height) for scale, height in pairs]
    comparable = [(place, height) for place, height in places if place is not None]
    if not axes or not comparable:
        return None
    count = len(comparable)
    origin = tuple(sum(place[axis] for place, _ in comparable) / count for axis in range(len(axes)))
    centre = sum(height for _, height in comparable) / count
    rows = [
        [coordinate - mean for coordinate, mean in zip(place, origin, strict=True)]
        for place, _ in comparable
    ]
    heights = [height - centre for _, height in comparable]
    return Drift(axes, origin, centre, _ridge(rows, heights))


def axes_of(scale: Scale) -> Axes:
    """Name what a scale sets to numbers above 0."""
    names = sorted(name for name, value in scale.parameters.items() if _is_size(value))
    names += [_DATA] if scale.samples else []
    return (*names, *([_BUDGET] if scale.budget_flops else []))


def _place(scale: Scale, axes: Axes) -> tuple[float, ...] | None:
    if axes_of(scale) != axes:
        return None
    by_design = {_DATA: scale.samples, _BUDGET: scale.budget_flops}
    values = [by_design[axis] if axis in by_design else scale.parameters[axis] for axis in axes]
    return tuple(math.log(float(value or 1.0)) for value in values)


def _ridge(rows: Sequence[Sequence[float]], heights: Sequence[float]) -> tuple[float, ...]:
    """Solve (X'X + ridge) b = X'y by elimination; the ridge keeps the matrix well conditioned."""
    size = len(rows[0])
    matrix = [
        [sum(row[i] * row[j] for row in rows) + (RIDGE if i == j else 0.0) for j in range(size)]
        + [sum(row[i] * height for row, height in zip(rows, heights, strict=True))]
        for i in range(size)
    ]
    for i in range(size):
        pivot = matrix[i][i]
        matrix[i] = [entry / pivot for entry in matrix[i]]
        for j in range(size):
            if j != i:
                factor = matrix[j][i]
                matrix[j] = [a - factor * b for a, b in zip(matrix[j], matrix[i], strict=True)]
    return tuple(row[size] for row in matrix)


NARROWEST = 0.2
"""The least share of the file's range that a narrowed range keeps, however long the ladder."""

Point = Mapping[str, Scalar]


@dataclass(frozen=True, slots=True)
class Transferred:
    """The ranges and first points that a scale starts with."""

    ranges: Mapping[str, Range]
    points: tuple[Point, ...]


def transfer(
    view: ScaleView, scales: tuple[ScaleView, ...], search: Search, transfer: Transfer
) -> Transferred:
    """Take ranges and points from the scales before; none where no scale was open before."""
    before = donor(view, scales)
    if before is None:
        return Transferred({}, ())
    lines = drifts(scales, search)
    points = top_points(before.tally.best, search, max(transfer.top_k, 1))
    if not points:
        return Transferred(before.ranges, ())
    expected = _expected(points[0], view.scale, lines, search)
    step = (before.scale, view.scale)
    moved = [expected, *(_moved(point, step, lines, search) for point in points)]
    ranges = dict(narrowed_ranges(search, before.ranges, expected, transfer.shrink))
    distinct = [point for place, point in enumerate(moved) if point not in moved[:place]]
    return Transferred(ranges, tuple(distinct[: transfer.top_k]))


def donor(view: ScaleView, scales: tuple[ScaleView, ...]) -> ScaleView | None:
    """Choose the scale to take from: of the open scales the nearest in size, data and compute.

    In a plain ladder that is the scale before. Where two scales are equally near, the last one
    counts. None where no scale is open.
    """
    open_scales = [view for view in scales if view.open]
    return min(
        reversed(open_scales),
        key=lambda donor_view: _distance(view.scale, donor_view.scale),
        default=None,
    )


def _distance(scale: Scale, other: Scale) -> float:
    """Sum the differences between two scales' numbers, in logarithms."""
    pairs = [(value, other.parameters.get(name)) for name, value in scale.parameters.items()]
    pairs += [(scale.samples, other.samples), (scale.budget_flops, other.budget_flops)]
    return sum(abs(math.log(a / b)) for a, b in pairs if _is_size(a) and _is_size(b))


def _is_size(value: Scalar | None) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def top_points(best: tuple[BestTrial, ...], search: Search, top_k: int) -> tuple[Point, ...]:
    """Take the searched parameters of the best trials, best first, each point once."""
    points: list[Point] = []
    for trial in best:
        point = {
            name: value for name, value in trial.parameters.items() if name in search.parameters
        }
        if point and point not in points:
            points.append(point)
    return tuple(points[:top_k])


def _expected(point: Point, scale: Scale, lines: Mapping[str, Drift], search: Search) -> Point:
    """Take the best point, with each number set to the value of its line at the scale."""
    places = {name: line.at(scale) for name, line in lines.items() if name in point}
    return dict(point) | dict(_allowed(places, search))


def _moved(
    point: Point, step: tuple[Scale, Scale], lines: Mapping[str, Drift], search: Search
) -> Point:
    """Move a point's numbers by the factors by which the lines change over a step."""
    places: dict[str, float | None] = {}
    for name, line in lines.items():
        value, start, end = point.get(name), line.at(step[0]), line.at(step[1])
        if isinstance(value, int | float) and start is not None and end is not None:
            places[name] = value * end / start
    return dict(point) | dict(_allowed(places, search))


def _allowed(
    places: Mapping[str, float | None], search: Search
) -> Iterator[tuple[str, int | float]]:
    """Clip numbers to the file's range; round those of whole-number parameters."""
    for name, value in places.items():
        parameter = search.parameters[name]
        if value is None or not isinstance(parameter, FloatParameter | IntParameter):
            continue
        inside = min(max(value, parameter.low), parameter.high)
        yield name, round(inside) if isinstance(parameter, IntParameter) else inside


def narrowed_ranges(
    search: Search, before: Mapping[str, Range], centre: Point, shrink: float
) -> Iterator[tuple[str, Range]]:
    """Shrink each numeric range about a point, within the file's range.

    The width of a logarithmic parameter's range is measured in logarithms.
    """
    for name, parameter in search.parameters.items():
        value = centre.get(name)
        if not isinstance(parameter, FloatParameter | IntParameter):
            continue
        if value is None or isinstance(value, bool | str):
            if name in before:
                yield name, before[name]
            continue
        whole = Range(low=parameter.low, high=parameter.high)
        yield name, _about(value, whole, (before.get(name, whole), shrink), log=parameter.log)


def _about(value: float, whole: Range, share: tuple[Range, float], *, log: bool) -> Range:
    last, shrink = share
    low, high, last_low, last_high, centre = (
        math.log(number) if log else float(number)
        for number in (whole.low, whole.high, last.low, last.high, value)
    )
    width = max((last_high - last_low) * shrink, NARROWEST * (high - low))
    width = min(width, high - low)
    # Near an end of the whole range the new one moves inwards: it is not cut to a half.
    start = min(max(centre - width / 2, low), high - width)
    end = start + width
    if log:
        start, end = math.exp(start), math.exp(end)
    # Rounding in exp and log must not push an end past the whole range, nor past the value.
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
