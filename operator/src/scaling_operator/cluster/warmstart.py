"""Points to try first: the user's own, and the best of other experiments of the namespace."""

from __future__ import annotations

from typing import Any

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.load import experiment_of
from scaling_operator.api.names import LABEL_EXPERIMENT
from scaling_operator.api.problems import InvalidSpec, Problem
from scaling_operator.cluster.client import Client
from scaling_operator.cluster.errors import NotFound
from scaling_operator.cluster.kinds import EXPERIMENTS, TRIALS
from scaling_operator.cluster.trials import read_trial
from scaling_operator.core.observed import Point
from scaling_operator.search.warmstart import Other, best_points

PATH = "spec.search.warmStart.from"


async def warm_points(client: Client, namespace: str, spec: ExperimentSpec) -> tuple[Point, ...]:
    """Collect `warmStart.points`, then the best `topK` of each experiment in `warmStart.from`.

    Raises InvalidSpec where one of them does not exist or optimises something else.
    """
    warm = spec.search.warm_start
    points: list[Point] = [dict(point) for point in warm.points]
    for name in warm.from_:
        other = await _read(client, namespace, name)
        try:
            points += best_points(other, spec)[: warm.top_k]
        except ValueError as error:
            raise InvalidSpec((Problem(PATH, str(error)),)) from error
    return tuple(points)


async def _read(client: Client, namespace: str, name: str) -> Other:
    try:
        thing: dict[str, Any] = await client.get(EXPERIMENTS, namespace, name)
    except NotFound as error:
        message = f"there is no experiment {name} in this namespace"
        raise InvalidSpec((Problem(PATH, message),)) from error
    listed = await client.list(TRIALS, namespace, f"{LABEL_EXPERIMENT}={name}")
    return Other(name, experiment_of(thing).spec, tuple(read_trial(trial) for trial in listed))
