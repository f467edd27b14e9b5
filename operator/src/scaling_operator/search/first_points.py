"""Points that a search tries first: whether it can try them, and the best of another experiment.

They are checked here, because Optuna passes a value outside its range on with a mere warning.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.fields import Scalar
from scaling_operator.api.names import TrialState
from scaling_operator.api.search import Search, typed_value
from scaling_operator.api.trial import ScalingTrial
from scaling_operator.core.observed import Point
from scaling_operator.core.tally import Tally, add, spread
from scaling_operator.validation.space import Space, make_space, why_impossible


def point_problems(space: Space, point: Mapping[str, Scalar]) -> tuple[str, ...]:
    """Say what is wrong with a point, one text for each fault: `name: what, and what is allowed`.

    A point may leave parameters to the sampler. But a point that sets a conditional parameter must
    also set what activates it: else the value might be dropped in silence.
    """
    return tuple(
        problem for name, value in point.items() for problem in _problems(space, point, name, value)
    )


def typed_point(space: Space, point: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Give a point its parameters' types. Raises ValueError that names everything wrong with it."""
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
    reason = why_impossible(parameter, value)
    if reason is not None:
        yield f"{name}: {reason}"
        return
    if not space.is_active(name, point):
        conditions = " and ".join(
            f"{controller} is one of {list(allowed)}"
            for controller, allowed in parameter.when.items()
        )
        yield f"{name}: is active only while {conditions}; set that in the point too"


log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Other:
    """Another experiment: its name or folder, its spec, and its trials."""

    name: str
    spec: ExperimentSpec
    trials: tuple[ScalingTrial, ...]


def best_points(other: Other, spec: ExperimentSpec) -> list[Point]:
    """Take the best trials' parameters of another experiment, as far as this search has them.

    Raises ValueError where the other experiment optimises something else.
    """
    ours, theirs = _objectives(spec), _objectives(other.spec)
    if ours != theirs:
        message = f"{other.name} optimises {theirs}, not {ours}: its best are not known here"
        raise ValueError(message)
    tally = Tally()
    for trial in other.trials:
        if trial.status.state is TrialState.SUCCEEDED:
            tally = add(tally, trial, spec.all_objectives)
    front = spread(tally.front, spec.search.warm_start.top_k)
    points = [_searched(trial.parameters, spec.search) for trial in (*tally.best, *front)]
    return _usable(points, spec.search)


def _objectives(spec: ExperimentSpec) -> str:
    return ", ".join(f"{goal.direction} {goal.metric}" for goal in spec.all_objectives)


def _usable(points: list[Point], search: Search) -> list[Point]:
    """Leave out points that this search cannot try, and say why."""
    space = make_space(search)
    usable: list[Point] = []
    for point in points:
        problems = point_problems(space, point)
        if problems:
            log.warning("warm start: %s is left out: %s", dict(point), "; ".join(problems))
        elif point and point not in usable:
            usable.append(point)
    return usable


def _searched(parameters: dict[str, Scalar], search: Search) -> Point:
    """Keep the parameters that this search has too, and whose values it allows."""
    point: dict[str, Scalar] = {}
    for name, value in parameters.items():
        if name not in search.parameters:
            continue
        try:
            point[name] = typed_value(search.parameters[name], value)
        except ValueError as error:
            log.warning("warm start: %s is left out of a point: %s", name, error)
    return point
