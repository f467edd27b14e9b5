"""A grid has points that can be counted, and not too many of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from scaling_operator.api.draft import Draft
from scaling_operator.api.fields import Scalar
from scaling_operator.api.names import MAX_TRIALS_PER_SCALE
from scaling_operator.api.problems import Problem, below, same
from scaling_operator.api.search import (
    CategoricalParameter,
    FloatParameter,
    GridAlgorithm,
    IntParameter,
    Parameter,
)

_ROUNDING = 1e-8  # of a step: a range of 0.3 holds three steps of 0.1


def grid_is_finite(draft: Draft) -> Iterable[Problem]:
    """Ask a grid for points that can be counted, and not too many of them."""
    if not isinstance(draft.spec.search.algorithm, GridAlgorithm):
        return
    unbounded = [name for name, each in draft.parameters.items() if grid_values(each) is None]
    for name in unbounded:
        message = "algorithm grid cannot count the values of a float: give it a step, or choices"
        yield Problem(below("spec.search.parameters", name), message)
    if not unbounded and grid_points(draft.parameters) > MAX_TRIALS_PER_SCALE:
        message = (
            f"the grid has more than {MAX_TRIALS_PER_SCALE:,} points; "
            "widen the steps, or use another algorithm"
        )
        yield Problem("spec.search.algorithm", message)


def grid_values(parameter: Parameter) -> int | None:
    """How many values a parameter has on a grid; None where they cannot be counted."""
    match parameter:
        case CategoricalParameter():
            return len(parameter.choices)
        case IntParameter():
            return (parameter.high - parameter.low) // (parameter.step or 1) + 1
        case FloatParameter():
            if parameter.low == parameter.high:
                return 1
            if parameter.step is None:
                return None
            return math.floor((parameter.high - parameter.low) / parameter.step + _ROUNDING) + 1


def grid_points(parameters: Mapping[str, Parameter]) -> int:
    """Count the points of a grid of countable parameters, inactive ones left out.

    Counting ends above MAX_TRIALS_PER_SCALE.
    """
    controllers = {name for each in parameters.values() for name in each.when}
    order = sorted(parameters, key=lambda name: _depth(name, parameters, frozenset()))
    waiting: list[tuple[int, dict[str, Scalar], int]] = [(0, {}, 1)]
    total = 0
    while waiting and total <= MAX_TRIALS_PER_SCALE:
        at, values, points = waiting.pop()
        if at == len(order) or points > MAX_TRIALS_PER_SCALE:
            total += points
            continue
        name = order[at]
        parameter = parameters[name]
        if not is_active(parameter, values):
            waiting.append((at + 1, values, points))
        elif name in controllers:
            branches = _grid_of(parameter)[: MAX_TRIALS_PER_SCALE + 1]
            waiting.extend((at + 1, values | {name: value}, points) for value in branches)
        else:
            waiting.append((at + 1, values, points * (grid_values(parameter) or 1)))
    return total


def _depth(name: str, parameters: Mapping[str, Parameter], above: frozenset[str]) -> int:
    """How many conditions stand one behind the other before a parameter."""
    if name in above or name not in parameters:
        return 0
    depths = (_depth(each, parameters, above | {name}) + 1 for each in parameters[name].when)
    return max(depths, default=0)


def _grid_of(parameter: Parameter) -> tuple[Scalar, ...]:
    match parameter:
        case CategoricalParameter():
            return parameter.choices
        case IntParameter():
            count = min(grid_values(parameter) or 0, MAX_TRIALS_PER_SCALE + 1)
            return tuple(parameter.low + at * (parameter.step or 1) for at in range(count))
        case FloatParameter():  # never a controller: refused by conditions_name_parameters
            return (parameter.low,)


def active_only(
    parameters: Mapping[str, Parameter], values: Mapping[str, Scalar]
) -> dict[str, Scalar]:
    """Leave out the values of parameters whose conditions do not hold; others stay."""
    active = {
        name: value
        for name, value in values.items()
        if name not in parameters or is_active(parameters[name], values)
    }
    # What was switched off may have been the condition of another one.
    return active if len(active) == len(values) else active_only(parameters, active)


def is_active(parameter: Parameter, values: Mapping[str, Scalar]) -> bool:
    """Whether a parameter's conditions hold for the values of the others."""
    return all(
        controller in values and any(same(values[controller], each) for each in allowed)
        for controller, allowed in parameter.when.items()
    )
