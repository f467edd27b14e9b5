"""Points to try first: the user's own, and the best of earlier result folders."""

from __future__ import annotations

import logging
from pathlib import Path

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.fields import Scalar
from scaling_operator.api.names import TrialState
from scaling_operator.api.search import Search, cast
from scaling_operator.core.observed import Point
from scaling_operator.core.tally import Tally, add
from scaling_operator.local.store import Store, StoreError
from scaling_operator.search.points import point_problems
from scaling_operator.search.space import make_space

log = logging.getLogger(__name__)


def warm_points(spec: ExperimentSpec, beside: Path, data_folder: Path) -> tuple[Point, ...]:
    """Collect `warmStart.points`, then the best `topK` of each folder in `warmStart.from`.

    A name is a folder beside the result folder, or a path from the experiment file. Raises
    StoreError where it is neither.
    """
    warm = spec.search.warm_start
    points: list[Point] = [dict(point) for point in warm.points]
    for name in warm.from_:
        folder = next((path for path in (beside / name, data_folder / name) if path.is_dir()), None)
        if folder is None:
            message = (
                f"spec.search.warmStart.from: {name} is neither a result folder beside --out"
                f" ({beside}) nor a path from the experiment file"
            )
            raise StoreError(message)
        points += best_of(Store(folder), spec)[: warm.top_k]
    return tuple(points)


def best_of(store: Store, spec: ExperimentSpec) -> list[Point]:
    """Take the best trials' parameters of another experiment, as far as this one knows them."""
    other = store.identity().spec
    if other.all_objectives != spec.all_objectives:
        ours, theirs = (
            ", ".join(f"{goal.direction} {goal.metric}" for goal in each.all_objectives)
            for each in (spec, other)
        )
        if ours != theirs:
            message = f"{store.root} optimises {theirs}, not {ours}: its best are not known here"
            raise StoreError(message)
    tally = Tally()
    for trial in store.trials():
        if trial.status.state is TrialState.SUCCEEDED:
            tally = add(tally, trial, spec.all_objectives)
    points = [_known(trial.parameters, spec.search) for trial in (*tally.best, *tally.front)]
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
            point[name] = cast(search.parameters[name], value)
        except ValueError as error:
            log.warning("warm start: %s is left out of a point: %s", name, error)
    return point
