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
"""How often the sampler is asked again before any point that is left is taken."""
Key = tuple[tuple[str, object], ...]


@dataclass(slots=True)
class Repeats:
    """The points that were tried, whatever became of them."""

    points: Grid
    space: Space
    _tried: set[Key] = field(default_factory=set[Key])

    def note(self, values: Mapping[str, Scalar]) -> None:
        """Take in a point that is or was tried."""
        self._tried.add(self._key(values))

    def is_new(self, values: Mapping[str, Scalar]) -> bool:
        """Whether nobody has tried a point."""
        return self._key(values) not in self._tried

    def left(self, seed: int) -> dict[str, Scalar] | None:
        """Take a point that is left, by a seed; None where all were tried."""
        size = self.points.size
        if len(self._tried) >= size:
            return None
        # Of one more numbers than there are points tried, one at least is of none of them.
        numbers = ((seed + place) % size for place in range(len(self._tried) + 1))
        candidates = (self.points.point(number) for number in numbers)
        return next((point for point in candidates if self.is_new(point)), None)

    def _key(self, values: Mapping[str, Scalar]) -> Key:
        parameters = self.space.parameters
        return tuple((name, _place(parameters[name], values[name])) for name in sorted(values))


def repeats_of(search: Search, space: Space, ranges: Mapping[str, Range]) -> Repeats | None:
    """Watch for repeats; None where points may be tried again, or the space has no end of them."""
    points = None if search.repeats == "train" else finite_space(search, ranges)
    return None if points is None else Repeats(points, space)


def _place(parameter: Parameter, value: Scalar) -> object:
    """Tell values apart; two floats on one step are one, however they were reckoned."""
    if isinstance(parameter, CategoricalParameter) or isinstance(value, str):
        return equality_key(value)
    return round(lattice_index(parameter, value))
