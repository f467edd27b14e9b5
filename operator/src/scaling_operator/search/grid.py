"""The grid, enumerated by us: number -> point, by mixed radix, with no product in memory.

Numbers count like `itertools.product`: the last parameter moves fastest. With conditional
parameters the grid is the set of *distinct active assignments*: where a parameter is inactive it
has one state, "absent", instead of one for each of its values, so no combination comes twice.
"""

from __future__ import annotations

from collections.abc import Iterator

from scaling_operator.api.fields import Scalar
from scaling_operator.api.search import (
    CategoricalParameter,
    FloatParameter,
    Parameter,
    Search,
)
from scaling_operator.search.space import (
    controlled_by,
    lattice_index,
    lattice_size,
    lattice_value,
    make_space,
    same,
)

MOST_CASES = 20_000
"""Bound on the different sets of inactive parameters that counting may meet."""

Inactive = frozenset[str]


def grid_size(search: Search) -> int:
    """How many points the grid has.

    Raises ValueError that names a float without a step, or where conditions are too entangled.
    """
    return Grid(search).size


def grid_point(search: Search, number: int) -> dict[str, Scalar]:
    """Give a point of the grid, active parameters only. Raises ValueError beyond the last."""
    return Grid(search).point(number)


class Grid:
    """The points of a search, by number.

    Parameters are settled one by one, the controlling before the controlled. All that later ones
    need to know about earlier ones is which of them have become inactive; so points are counted
    per (position, set of inactive names), and values that act alike are counted in one go.
    """

    def __init__(self, search: Search) -> None:
        self._space = make_space(search)
        self._counts: dict[tuple[int, Inactive], int] = {}
        for name, parameter in self._space.parameters.items():
            _check_finite(name, parameter)

    @property
    def size(self) -> int:
        """How many points there are."""
        return self._count(0, frozenset())

    def point(self, number: int) -> dict[str, Scalar]:
        """Give a point, its parameters by name. Raises ValueError beyond the last."""
        if not 0 <= number < self.size:
            message = f"the grid has {self.size} points, numbered from 0; there is no {number}"
            raise ValueError(message)
        values: dict[str, Scalar] = {}
        inactive: Inactive = frozenset()
        for position, name in enumerate(self._space.order):
            was_inactive = name in inactive
            index, number, inactive = self._find(position, inactive, number)
            if not was_inactive:
                values[name] = _value(self._space.parameters[name], index)
        return self._space.declared(values)

    def _find(self, position: int, inactive: Inactive, number: int) -> tuple[int, int, Inactive]:
        """Find which value a number falls on: its index, the number within it, what is inactive."""
        for first, length, after in self._runs(self._space.order[position], inactive):
            each = self._count(position + 1, after)
            if number < length * each:
                return first + number // each, number % each, after
            number -= length * each
        message = f"number {number} lies beyond the grid"
        raise IndexError(message)

    def _count(self, position: int, inactive: Inactive) -> int:
        if position == len(self._space.order):
            return 1
        key = (position, inactive)
        if key not in self._counts:
            if len(self._counts) >= MOST_CASES:
                message = "algorithm grid: the conditions (`when`) are too entangled to enumerate"
                raise ValueError(message)
            self._counts[key] = sum(
                length * self._count(position + 1, after)
                for _, length, after in self._runs(self._space.order[position], inactive)
            )
        return self._counts[key]

    def _runs(self, name: str, inactive: Inactive) -> Iterator[tuple[int, int, Inactive]]:
        """Split values into runs that act alike: first index, length, what is inactive after.

        Only values that some `when` names can act differently from their neighbours.
        """
        rest = inactive - {name}
        below = controlled_by(self._space.parameters, name)
        if name in inactive:
            yield 0, 1, rest.union(below)
            return
        parameter = self._space.parameters[name]
        allowed = {child: self._space.parameters[child].when[name] for child in below}
        named = {_index(parameter, wanted) for values in allowed.values() for wanted in values}
        start = 0
        for at in (*sorted(index for index in named if index is not None), _size(parameter)):
            if start < at:
                yield start, at - start, rest.union(below)
            if at < _size(parameter):
                value = _value(parameter, at)
                yield at, 1, rest.union(child for child in below if not _in(value, allowed[child]))
            start = at + 1


def _check_finite(name: str, parameter: Parameter) -> None:
    if not isinstance(parameter, FloatParameter) or parameter.step is not None:
        return
    if parameter.low < parameter.high:
        message = f"parameters.{name}: a grid needs a step for a float; set step, or use tpe"
        raise ValueError(message)


def _size(parameter: Parameter) -> int:
    if isinstance(parameter, CategoricalParameter):
        return len(parameter.choices)
    return lattice_size(parameter)


def _value(parameter: Parameter, index: int) -> Scalar:
    if isinstance(parameter, CategoricalParameter):
        return parameter.choices[index]
    return lattice_value(parameter, index)


def _index(parameter: Parameter, wanted: Scalar) -> int | None:
    """Where a parameter has a value; None where it never has."""
    if isinstance(parameter, CategoricalParameter):
        return next(
            (at for at, choice in enumerate(parameter.choices) if same(choice, wanted)), None
        )
    if isinstance(wanted, bool | str):
        return None
    at = round(lattice_index(parameter, wanted))
    reachable = 0 <= at < lattice_size(parameter) and same(lattice_value(parameter, at), wanted)
    return at if reachable else None


def _in(value: Scalar, allowed: tuple[Scalar, ...]) -> bool:
    return any(same(value, wanted) for wanted in allowed)
