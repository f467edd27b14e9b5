"""How an experiment's spec sets up the study of each scale, and how many trials a scale gets."""

from __future__ import annotations

from collections.abc import Mapping

from scaling_operator.api.algorithms import GpAlgorithm, GridAlgorithm, TpeAlgorithm
from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.names import DEFAULT_STARTUP_TRIALS, DEFAULT_TRIALS
from scaling_operator.api.search import Search
from scaling_operator.api.status import Range
from scaling_operator.search.study import StudySettings
from scaling_operator.validation.grid import grid_size, points_without_repeats


def trials_per_scale(spec: ExperimentSpec) -> int:
    """Give the trials of a scale: `trials.max`, else every point of a grid, else 40.

    Where points are not tried again, a scale has at most as many trials as points.
    """
    if isinstance(spec.search.algorithm, GridAlgorithm):
        points = grid_size(spec.search)
        return points if spec.trials.max is None else min(spec.trials.max, points)
    wanted = spec.trials.max or DEFAULT_TRIALS
    return min(wanted, points_without_repeats(spec.search) or wanted)


def search_of(spec: ExperimentSpec) -> Search:
    """Give the search, with the number of its first, random trials set by the number of trials."""
    algorithm = spec.search.algorithm
    if not isinstance(algorithm, TpeAlgorithm | GpAlgorithm) or algorithm.startup_trials:
        return spec.search
    random = max(1, min(DEFAULT_STARTUP_TRIALS, (spec.trials.max or DEFAULT_TRIALS) // 2))
    filled = algorithm.model_copy(update={"startup_trials": random})
    return spec.search.model_copy(update={"algorithm": filled})


def base_seed(spec: ExperimentSpec, uid: str) -> int | str:
    """Give the seed that all others derive from: the algorithm's, else the experiment's uid."""
    seed = spec.search.algorithm.seed
    return uid if seed is None else seed


def settings_of(
    name: str, uid: str, spec: ExperimentSpec, scale: int, ranges: Mapping[str, Range]
) -> StudySettings:
    """Set up the study of a scale of experiment `name`; `ranges` are those that transfer narrowed.

    A study that is rebuilt later with these settings is the same.
    """
    return StudySettings(
        name=f"{name}-{scale}",
        search=search_of(spec),
        directions=tuple(objective.direction for objective in spec.all_objectives),
        base_seed=base_seed(spec, uid),
        scale=scale,
        ranges=ranges,
    )
