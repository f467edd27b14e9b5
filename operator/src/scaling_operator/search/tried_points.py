"""Which points of a finite space a scale has tried, and which are left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from scaling_operator.api.fields import Scalar, equality_key
from scaling_operator.api.search import CategoricalParameter, Parameter, Search
from scaling_operator.api.status import Range
from scaling_operator.validation.grid import Grid, finite_space
from scaling_operator.validation.space import Space, lattice_index

RESAMPLES = 2
"""How often the sampler is asked again before any untried point is taken."""
Key = tuple[tuple[str, object], ...]


@dataclass(slots=True)
class TriedPoints:
    """The points that trials have tried, however the trials ended."""

    points: Grid
    space: Space
    _tried: set[Key] = field(default_factory=set[Key])

    def note(self, values: Mapping[str, Scalar]) -> None:
        """Take in a point that a trial tries or has tried."""
        self._tried.add(self._key(values))

    def is_new(self, values: Mapping[str, Scalar]) -> bool:
        """Whether no trial has tried a point."""
        return self._key(values) not in self._tried

    def untried(self, seed: int) -> dict[str, Scalar] | None:
        """Choose an untried point, by a seed; None where all were tried."""
        size = self.points.size
        if len(self._tried) >= size:
            return None
        # Of one more numbers than there are tried points, at least one is an untried point's.
        numbers = ((seed + place) % size for place in range(len(self._tried) + 1))
        candidates = (self.points.point(number) for number in numbers)
        return next((point for point in candidates if self.is_new(point)), None)

    def _key(self, values: Mapping[str, Scalar]) -> Key:
        parameters = self.space.parameters
        return tuple((name, _place(parameters[name], values[name])) for name in sorted(values))


def tried_points_of(
    search: Search, space: Space, ranges: Mapping[str, Range]
) -> TriedPoints | None:
    """Start with no point tried; None where points may repeat, or the space is infinite."""
    points = None if search.repeats == "train" else finite_space(search, ranges)
    return None if points is None else TriedPoints(points, space)


def _place(parameter: Parameter, value: Scalar) -> object:
    """Identify a value; two floats on one step are the same, however they were computed."""
    if isinstance(parameter, CategoricalParameter) or isinstance(value, str):
        return equality_key(value)
    return round(lattice_index(parameter, value))
