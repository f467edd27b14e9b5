"""How the best values of searched numbers move along a ladder: h = h0 size^p, as far as is known.

A regression of ln h over the logarithms of what a scale sets. Exponents are drawn towards 0 as much
as typical ones (half) and the noise of a search of few trials (a factor of 1.6) suggest: two scales
move a value little, ten scales say how it moves.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scaling_operator.api.search import FloatParameter, IntParameter, Search
from scaling_operator.core.ladder import Scale
from scaling_operator.core.observed import ScaleView

RIDGE = 1.0
"""Variance of a best value about its line over that of an exponent, in ln units."""
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
        """Give the value that suits a scale; None where the scale sets something else."""
        place = _place(scale, self.axes)
        if place is None:
            return None
        return math.exp(
            self.centre
            + sum(
                slope * (at - origin)
                for slope, at, origin in zip(self.slopes, place, self.origin, strict=True)
            )
        )


def drifts(views: Sequence[ScaleView], search: Search) -> Mapping[str, Drift]:
    """Fit a line for each logarithmic number through the best values of the scales so far."""
    found: dict[str, Drift] = {}
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
            found[name] = line
    return found


def _line(pairs: Sequence[tuple[Scale, float]]) -> Drift | None:
    if not pairs:
        return None
    axes = axes_of(pairs[0][0])
    places = [(_place(scale, axes), height) for scale, height in pairs]
    known = [(place, height) for place, height in places if place is not None]
    if not axes or not known:
        return None
    count = len(known)
    origin = tuple(sum(place[axis] for place, _ in known) / count for axis in range(len(axes)))
    centre = sum(height for _, height in known) / count
    rows = [[at - o for at, o in zip(place, origin, strict=True)] for place, _ in known]
    heights = [height - centre for _, height in known]
    return Drift(axes, origin, centre, _ridge(rows, heights))


def axes_of(scale: Scale) -> Axes:
    """Name what a scale sets by numbers above 0."""
    names = sorted(name for name, value in scale.parameters.items() if _is_size(value))
    names += [_DATA] if scale.samples else []
    return (*names, *([_BUDGET] if scale.budget_flops else []))


def _place(scale: Scale, axes: Axes) -> tuple[float, ...] | None:
    if axes_of(scale) != axes:
        return None
    own = {_DATA: scale.samples, _BUDGET: scale.budget_flops}
    values = [own[axis] if axis in own else scale.parameters[axis] for axis in axes]
    return tuple(math.log(float(value or 1.0)) for value in values)


def _is_size(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _ridge(rows: Sequence[Sequence[float]], heights: Sequence[float]) -> tuple[float, ...]:
    """Solve (X'X + ridge) b = X'y by elimination; the ridge keeps it well conditioned."""
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
