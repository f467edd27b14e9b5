"""The grid, enumerated by us: number -> point, by mixed radix, with no product in memory.

Numbers count like `itertools.product`: the last parameter moves fastest. With conditional
parameters the grid is the set of *distinct active assignments*: where a parameter is inactive it
has one state, "absent", instead of one for each of its values, so no combination comes twice.

A grid is counted here before it is accepted, and enumerated here when it runs: both have one bound.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from scaling_operator.api.algorithms import GridAlgorithm
from scaling_operator.api.fields import Scalar, equality_key
from scaling_operator.api.search import CategoricalParameter, FloatParameter, Parameter, Search
from scaling_operator.api.status import Range
from scaling_operator.validation.space import (
    Space,
    lattice_index,
    lattice_size,
    lattice_value,
    make_space,
)

MOST_STEPS = 100_000
"""Bound on the work of counting: on ways to go on, over the cases that must be told apart."""
FEW_STEPS = 5_000
"""The bound where nobody asked for a grid: a space that takes longer counts as infinite."""
MOST_POINTS = 10**300
"""Counting ends here: a larger number is given as this one."""


class TooEntangled(ValueError):
    """So many conditions hang together that the points cannot be counted in bounded time."""


def grid_size(search: Search) -> int:
    """How many points the grid has, at most MOST_POINTS.

    Raises ValueError that names a float without a step, and where a `when` cannot be followed;
    TooEntangled.
    """
    return Grid(search).size


def finite_space(search: Search, ranges: Mapping[str, Range] | None = None) -> Grid | None:
    """Count the points of a scale's space, whatever the algorithm; None where they have no end.

    A space counts as infinite too where counting takes long, and where nothing is searched: trials
    differ by their seeds then, as was asked for.
    """
    if not search.parameters or not all(map(is_countable, search.parameters.values())):
        return None
    grid = Grid(search, ranges, FEW_STEPS)
    try:
        _ = grid.size
    except TooEntangled:
        return None
    return grid


def points_without_repeats(search: Search, ranges: Mapping[str, Range] | None = None) -> int | None:
    """How many trials a scale can have that all differ; None where there is no such bound.

    A grid has a bound of its own: ranges do not narrow it.
    """
    if search.repeats == "train" or isinstance(search.algorithm, GridAlgorithm):
        return None
    space = finite_space(search, ranges)
    return None if space is None else space.size


def is_countable(parameter: Parameter) -> bool:
    """Whether a parameter has values that a grid can count."""
    if not isinstance(parameter, FloatParameter) or parameter.step is not None:
        return True
    return parameter.low == parameter.high


@dataclass(frozen=True, slots=True)
class _Run:
    """Neighbouring values that act alike; which parameters they switch off, as bits."""

    first: int
    length: int
    off: int


class Grid:
    """The points of a search, by number.

    Parameters get their values one by one, the controlling before the controlled. Later parameters
    need to know of earlier ones only which have become inactive. So points are counted per
    (position, set of inactive names), and values that act alike are counted in one go. A set of
    names is an integer with one bit for each.
    """

    def __init__(
        self,
        search: Search,
        ranges: Mapping[str, Range] | None = None,
        most_steps: int = MOST_STEPS,
    ) -> None:
        self._space = make_space(search, ranges)
        self._most_steps = most_steps
        for name, parameter in self._space.parameters.items():
            if not is_countable(parameter):
                message = f"parameters.{name}: a grid needs a step for a float; set step or use tpe"
                raise ValueError(message)
        self._runs = tuple(_runs(self._space, name) for name in self._space.order)
        self._children = tuple(_below(self._space, name) for name in self._space.order)
        self._alike = tuple(_lengths(runs) for runs in self._runs)
        self._counts: dict[tuple[int, int], int] = {}
        self.steps = 0  # that counting has taken so far; never above MOST_STEPS

    @property
    def size(self) -> int:
        """How many points there are, at most MOST_POINTS. Raises TooEntangled."""
        return self._count(0, 0)

    def point(self, number: int) -> dict[str, Scalar]:
        """Give a point, its parameters by name. Raises ValueError beyond the last."""
        if not 0 <= number < self.size:
            message = f"the grid has {self.size} points, numbered from 0; there is no {number}"
            raise ValueError(message)
        values: dict[str, Scalar] = {}
        inactive = 0
        for position, name in enumerate(self._space.order):
            was_inactive = inactive >> position & 1
            index, number, inactive = self._find(position, inactive, number)
            if not was_inactive:
                values[name] = _value(self._space.parameters[name], index)
        return self._space.declared(values)

    def _find(self, position: int, inactive: int, number: int) -> tuple[int, int, int]:
        """Find which value a number falls on: its index, the number within it, what is inactive."""
        if inactive >> position & 1:
            return 0, number, inactive | self._children[position]
        for run in self._runs[position]:
            points = self._count(position + 1, inactive | run.off)
            if number < run.length * points:
                return run.first + number // points, number % points, inactive | run.off
            number -= run.length * points
        message = f"number {number} lies beyond the grid"
        raise IndexError(message)

    def _count(self, position: int, inactive: int) -> int:
        """Count the points of the parameters from a position on."""
        if position == len(self._space.order):
            return 1
        key = (position, inactive >> position)
        if key not in self._counts:
            self._counts[key] = min(self._counted(position, inactive), MOST_POINTS)
        return self._counts[key]

    def _counted(self, position: int, inactive: int) -> int:
        if inactive >> position & 1:
            return self._count(position + 1, inactive | self._children[position])
        ways = self._alike[position]
        if self.steps + len(ways) > self._most_steps:
            message = "algorithm grid: the conditions are too entangled to count its points"
            raise TooEntangled(message)
        self.steps += len(ways)
        return sum(
            length * self._count(position + 1, inactive | off) for off, length in ways.items()
        )


def _below(space: Space, name: str) -> int:
    """Give the parameters that depend on this one, as bits."""
    return sum(
        1 << place
        for place, other in enumerate(space.order)
        if name in space.parameters[other].when
    )


def _runs(space: Space, name: str) -> tuple[_Run, ...]:
    """Split the values of a parameter, in their order, into runs that act alike.

    Only values that some `when` names can act differently from their neighbours.
    """
    parameter, below = space.parameters[name], _below(space, name)
    places = _places(parameter)
    on: dict[int, int] = {}
    for place, child in enumerate(space.order):
        for wanted in space.parameters[child].when.get(name, ()):
            index = _index(parameter, wanted, places)
            if index is not None:
                on[index] = on.get(index, 0) | 1 << place
    return tuple(_stretches(_size(parameter), on, below))


def _stretches(size: int, on: Mapping[int, int], below: int) -> Iterator[_Run]:
    start = 0
    for index in sorted(on):
        if start < index:
            yield _Run(start, index - start, below)
        yield _Run(index, 1, below & ~on[index])
        start = index + 1
    if start < size:
        yield _Run(start, size - start, below)


def _lengths(runs: tuple[_Run, ...]) -> Mapping[int, int]:
    """How many values switch the same parameters off."""
    lengths: dict[int, int] = {}
    for run in runs:
        lengths[run.off] = lengths.get(run.off, 0) + run.length
    return lengths


def _places(parameter: Parameter) -> Mapping[object, int]:
    """Where each choice stands; of equal ones the first."""
    if not isinstance(parameter, CategoricalParameter):
        return {}
    choices = reversed([*enumerate(parameter.choices)])
    return {equality_key(choice): index for index, choice in choices}


def _index(parameter: Parameter, wanted: Scalar, places: Mapping[object, int]) -> int | None:
    """Where a parameter has a value; None where it never has."""
    if isinstance(parameter, CategoricalParameter):
        return places.get(equality_key(wanted))
    if isinstance(wanted, bool | str):
        return None
    index = round(lattice_index(parameter, wanted))
    reachable = 0 <= index < lattice_size(parameter) and lattice_value(parameter, index) == wanted
    return index if reachable else None


def _size(parameter: Parameter) -> int:
    if isinstance(parameter, CategoricalParameter):
        return len(parameter.choices)
    return lattice_size(parameter)


def _value(parameter: Parameter, index: int) -> Scalar:
    if isinstance(parameter, CategoricalParameter):
        return parameter.choices[index]
    return lattice_value(parameter, index)
