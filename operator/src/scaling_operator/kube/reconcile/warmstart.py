"""Points to try first: the user's own, and the best of other experiments of the namespace."""

from __future__ import annotations

from typing import Any

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.problems import InvalidSpec, Problem, below, shown
from scaling_operator.core.observed import Point
from scaling_operator.kube.client.client import Client
from scaling_operator.kube.client.errors import InvalidName, NotFound
from scaling_operator.kube.client.kinds import EXPERIMENTS, TRIALS
from scaling_operator.kube.reconcile.trials import read_trial
from scaling_operator.kube.workloads.identity import experiment_selector
from scaling_operator.search.first_points import Other, best_points
from scaling_operator.validation.load import experiment_of

PATH = "spec.search.warmStart.from"


async def warm_points(client: Client, namespace: str, spec: ExperimentSpec) -> tuple[Point, ...]:
    """Collect `warmStart.points`, then the best `topK` of each experiment in `warmStart.from`.

    Raises InvalidSpec where one of them does not exist, is not accepted itself, or optimises
    something else.
    """
    warm = spec.search.warm_start
    points: list[Point] = [dict(point) for point in warm.points]
    for index, name in enumerate(warm.from_):
        path = below(PATH, index)
        other = await _read(client, namespace, name, path)
        try:
            points += best_points(other, spec)[: warm.top_k]
        except ValueError as error:
            raise InvalidSpec((Problem(path, str(error)),)) from error
    return tuple(points)


async def _read(client: Client, namespace: str, name: str, path: str) -> Other:
    try:
        experiment: dict[str, Any] = await client.get(EXPERIMENTS, namespace, name)
    except (InvalidName, NotFound) as error:
        message = f"there is no experiment {shown(name)} in this namespace"
        raise InvalidSpec((Problem(path, message),)) from error
    try:
        spec = experiment_of(experiment).spec
    except InvalidSpec as error:
        message = f"{name} is not accepted itself: {error.problems[0]}"
        raise InvalidSpec((Problem(path, message),)) from error
    listed = await client.list(TRIALS, namespace, experiment_selector(name))
    uid = experiment["metadata"]["uid"]
    trials = [trial for trial in map(read_trial, listed) if trial.is_of(uid)]
    return Other(name, spec, tuple(trials))
