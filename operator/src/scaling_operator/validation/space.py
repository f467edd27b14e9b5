"""The search space: ranges as narrowed, their steps, and which parameter depends on which.

A parameter with `when` is active only while each parameter named there is active itself and has one
of the values. So parameters get their values in an order in which controlling ones come first.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from scaling_operator.api.fields import Scalar, equality_key
from scaling_operator.api.problems import shown
from scaling_operator.api.search import (
    CategoricalParameter,
    FloatParameter,
    IntParameter,
    Parameter,
    Search,
    typed_value,
)
from scaling_operator.api.status import Range


class UnsoundConditions(ValueError):
    """A `when` that names what is not searched, or a circle of them."""


Allowed = Mapping[str, frozenset[object]]
"""What a `when` allows, as keys that compare as values of a file do."""


class Conditions:
    """The conditions (`when`) of parameters, in a form that is quick to ask."""

    def __init__(self, parameters: Mapping[str, Parameter]) -> None:
        self._allowed: Mapping[str, Allowed] = {
            name: {
                controller: frozenset(map(equality_key, values))
                for controller, values in parameter.when.items()
            }
            for name, parameter in parameters.items()
        }

    def is_active(self, name: str, values: Mapping[str, Scalar]) -> bool:
        """Whether a parameter's conditions hold for the values of the others.

        A parameter that is not searched is always active.
        """
        return all(
            controller in values and equality_key(values[controller]) in allowed
            for controller, allowed in self._allowed.get(name, {}).items()
        )

    def active_only(self, values: Mapping[str, Scalar]) -> dict[str, Scalar]:
        """Leave out the values of parameters whose conditions do not hold; others stay."""
        active = dict(values)
        while True:  # A parameter that was switched off may have been the condition of another.
            left = {name: value for name, value in active.items() if self.is_active(name, active)}
            if len(left) == len(active):
                return left
            active = left


@dataclass(frozen=True, slots=True)
class Space:
    """Parameters by name, and `order`: the same names, controlling ones first."""

    parameters: Mapping[str, Parameter]
    order: tuple[str, ...]
    conditions: Conditions

    @property
    def conditional(self) -> bool:
        """Whether any parameter has a condition."""
        return any(parameter.when for parameter in self.parameters.values())

    def is_active(self, name: str, values: Mapping[str, Scalar]) -> bool:
        """Whether a parameter is searched, given the values of the active ones before it."""
        return self.conditions.is_active(name, values)

    def active_names(self, values: Mapping[str, Scalar]) -> Iterator[str]:
        """Give each active name in turn; the caller enters its value before it takes the next."""
        return (name for name in self.order if self.is_active(name, values))

    def declared(self, values: Mapping[str, Scalar]) -> dict[str, Scalar]:
        """Put values into the parameters' order."""
        return {name: values[name] for name in self.parameters if name in values}


def make_space(search: Search, ranges: Mapping[str, Range] | None = None) -> Space:
    """Make the space of a scale, numeric ranges narrowed where `ranges` names them.

    Raises ValueError for the range of a parameter that has none, and for a range that lies outside;
    UnsoundConditions for a `when` that names an unknown parameter or goes in a circle.
    """
    narrowed = dict(ranges or {})
    parameters: dict[str, Parameter] = {}
    # By name: an object comes back from an API server with its keys in another order than the
    # file's, and the parameter that is suggested first gets the first random number.
    for name, parameter in sorted(search.parameters.items()):
        if isinstance(parameter, FloatParameter | IntParameter):
            whole = Range(low=parameter.low, high=parameter.high)
            parameters[name] = _within(name, parameter, narrowed.pop(name, whole))
        else:
            parameters[name] = parameter
    if narrowed:
        message = f"range of {', '.join(narrowed)}: only a float or int parameter has a range"
        raise ValueError(message)
    return Space(parameters, _order(parameters), Conditions(parameters))


def _within(
    name: str, parameter: FloatParameter | IntParameter, bounds: Range
) -> FloatParameter | IntParameter:
    """Narrow a parameter to bounds, both its ends on its steps."""
    low, high = max(bounds.low, parameter.low), min(bounds.high, parameter.high)
    if low > high:
        message = (
            f"range of {name}: {bounds.low:g} to {bounds.high:g} lies outside "
            f"{parameter.low:g} to {parameter.high:g}"
        )
        raise ValueError(message)
    if isinstance(parameter, FloatParameter) and parameter.step is None:
        return parameter.model_copy(update={"low": float(low), "high": float(high)})
    first, last = lattice_index(parameter, low), lattice_index(parameter, high)
    lowest, highest = math.ceil(first - _SLACK), math.floor(last + _SLACK)
    if lowest > highest:
        # No value lies within: the nearest one is all that is left.
        lowest = highest = min(round((first + last) / 2), lattice_size(parameter) - 1)
    # model_copy does not validate: rounding may leave a width that is a hair below the step.
    return parameter.model_copy(
        update={
            "low": lattice_value(parameter, lowest),
            "high": lattice_value(parameter, highest),
        }
    )


_SLACK = Decimal("1e-8")  # Optuna's own tolerance for a float on its steps.


def lattice_index(parameter: FloatParameter | IntParameter, value: float) -> Decimal:
    """How many steps a value lies above `low`; whole where the value is one of the lattice."""
    distance = Decimal(str(value)) - Decimal(str(parameter.low))
    return distance / Decimal(str(parameter.step or 1))


def lattice_value(parameter: FloatParameter | IntParameter, index: int) -> int | float:
    """Give the value `index` steps above `low`: in decimals, so that 0.1 x 3 is 0.3."""
    if isinstance(parameter, IntParameter):
        return parameter.low + index * (parameter.step or 1)
    return float(Decimal(str(parameter.low)) + index * Decimal(str(parameter.step or 0)))


def lattice_size(parameter: FloatParameter | IntParameter) -> int:
    """How many values a stepped range has."""
    return math.floor(lattice_index(parameter, parameter.high) + _SLACK) + 1


def on_lattice(parameter: Parameter, value: Scalar) -> bool:
    """Whether a value of the right type and range is one that the steps reach."""
    if isinstance(parameter, CategoricalParameter) or isinstance(value, str):
        return True
    if isinstance(parameter, FloatParameter) and parameter.step is None:
        return True
    index = lattice_index(parameter, value)
    return abs(index - round(index)) < _SLACK


def why_impossible(parameter: Parameter, value: Scalar) -> str | None:
    """Say why a parameter never takes a value; None where it may."""
    try:
        typed = typed_value(parameter, value)
    except ValueError as error:
        return str(error)
    if isinstance(parameter, CategoricalParameter) or on_lattice(parameter, typed):
        return None
    return f"{shown(value)} is not low {parameter.low:g} plus steps of {parameter.step:g}"


def _order(parameters: Mapping[str, Parameter]) -> tuple[str, ...]:
    """Order names so that each follows the parameters that control it, as early as possible.

    A controlled parameter stands right behind its last controller: that keeps counting a grid
    cheap, since few conditions are open at a time.
    """
    controlled: dict[str, list[str]] = {name: [] for name in parameters}
    for name, parameter in parameters.items():
        unknown = sorted(parameter.when.keys() - parameters.keys())
        if unknown:
            message = f"parameters.{name}.when names {unknown[0]}, which is not searched"
            raise UnsoundConditions(message)
        for controller in parameter.when:
            controlled[controller].append(name)
    placed: dict[str, None] = {}
    for first in parameters:
        waiting = [first]
        while waiting:
            name = waiting.pop()
            if name not in placed and placed.keys() >= parameters[name].when.keys():
                placed[name] = None
                waiting.extend(reversed(controlled[name]))
    if len(placed) < len(parameters):
        circle = ", ".join(name for name in parameters if name not in placed)
        message = f"parameters.{circle}: their `when` go in a circle; none could ever be active"
        raise UnsoundConditions(message)
    return tuple(placed)
