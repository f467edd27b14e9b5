"""Points that are tried first.

They are checked here, because Optuna passes a value outside its range on with a mere warning.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from scaling_operator.api.fields import Scalar
from scaling_operator.api.search import Search, typed_value
from scaling_operator.api.status import Range
from scaling_operator.validation.space import Space, make_space, on_lattice


def check_point(
    search: Search, point: Mapping[str, Scalar], ranges: Mapping[str, Range] | None = None
) -> None:
    """Raise ValueError that names everything wrong with a point; it may be partial."""
    typed_point(make_space(search, ranges), point)


def point_problems(space: Space, point: Mapping[str, Scalar]) -> tuple[str, ...]:
    """Say what is wrong with a point, one text each: `name: what, and what is allowed`.

    A point may leave parameters to the sampler. But one that sets a conditional parameter must also
    set what activates it, for else the value might be dropped in silence.
    """
    return tuple(
        problem for name, value in point.items() for problem in _problems(space, point, name, value)
    )


def typed_point(space: Space, point: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Give a point its parameters' types, by name. Raises ValueError as check_point."""
    problems = point_problems(space, point)
    if problems:
        message = "; ".join(problems)
        raise ValueError(message)
    return space.declared(
        {name: typed_value(space.parameters[name], value) for name, value in point.items()}
    )


def _problems(space: Space, point: Mapping[str, Scalar], name: str, value: Scalar) -> Iterator[str]:
    parameter = space.parameters.get(name)
    if parameter is None:
        searched = ", ".join(space.parameters) or "none"
        yield f"{name}: is not a searched parameter; those are {searched}"
        return
    try:
        typed_value(parameter, value)
    except ValueError as error:
        yield f"{name}: {error}"
        return
    if not on_lattice(parameter, value):
        yield f"{name}: {value!r} is not reached from its low by whole steps"
    if not space.is_active(name, point):
        conditions = " and ".join(
            f"{controller} is one of {list(allowed)}"
            for controller, allowed in parameter.when.items()
        )
        yield f"{name}: is active only while {conditions}; set that in the point too"
