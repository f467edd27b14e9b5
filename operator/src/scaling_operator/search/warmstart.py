"""What another experiment's best trials are to this one: points to try first."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.fields import Scalar
from scaling_operator.api.names import TrialState
from scaling_operator.api.search import Search, typed_value
from scaling_operator.api.trial import ScalingTrial
from scaling_operator.core.observed import Point
from scaling_operator.core.tally import Tally, add, spread
from scaling_operator.search.points import point_problems
from scaling_operator.validation.space import make_space

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Other:
    """Another experiment: its name or place, what it asked, and its trials."""

    name: str
    spec: ExperimentSpec
    trials: tuple[ScalingTrial, ...]


def best_points(other: Other, spec: ExperimentSpec) -> list[Point]:
    """Take the best trials' parameters of another experiment, as far as this one knows them.

    Raises ValueError where it optimises something else.
    """
    ours, theirs = (
        ", ".join(f"{goal.direction} {goal.metric}" for goal in each.all_objectives)
        for each in (spec, other.spec)
    )
    if ours != theirs:
        message = f"{other.name} optimises {theirs}, not {ours}: its best are not known here"
        raise ValueError(message)
    tally = Tally()
    for trial in other.trials:
        if trial.status.state is TrialState.SUCCEEDED:
            tally = add(tally, trial, spec.all_objectives)
    front = spread(tally.front, spec.search.warm_start.top_k)
    points = [_known(trial.parameters, spec.search) for trial in (*tally.best, *front)]
    return _usable(points, spec.search)


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


def _known(parameters: dict[str, Scalar], search: Search) -> Point:
    """Keep what this search has too, and whose value it allows."""
    point: dict[str, Scalar] = {}
    for name, value in parameters.items():
        if name not in search.parameters:
            continue
        try:
            point[name] = typed_value(search.parameters[name], value)
        except ValueError as error:
            log.warning("warm start: %s is left out of a point: %s", name, error)
    return point
