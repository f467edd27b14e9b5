"""How many trials a scale gets, and how many of them are random."""

from __future__ import annotations

from scaling_operator.api.algorithms import GpAlgorithm, GridAlgorithm, TpeAlgorithm
from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.names import DEFAULT_STARTUP_TRIALS, DEFAULT_TRIALS
from scaling_operator.api.search import Search
from scaling_operator.validation.grid import grid_size, points_without_repeats


def trials_per_scale(spec: ExperimentSpec) -> int:
    """How many trials a scale gets: `trials.max`, else every point of a grid, else 40.

    Never more than there are points, where points are not tried again.
    """
    if isinstance(spec.search.algorithm, GridAlgorithm):
        points = grid_size(spec.search)
        return points if spec.trials.max is None else min(spec.trials.max, points)
    wanted = spec.trials.max or DEFAULT_TRIALS
    return min(wanted, points_without_repeats(spec.search) or wanted)


def search_of(spec: ExperimentSpec) -> Search:
    """Give the search with what the number of trials decides: how many random ones come first."""
    algorithm = spec.search.algorithm
    if not isinstance(algorithm, TpeAlgorithm | GpAlgorithm) or algorithm.startup_trials:
        return spec.search
    random = max(1, min(DEFAULT_STARTUP_TRIALS, (spec.trials.max or DEFAULT_TRIALS) // 2))
    filled = algorithm.model_copy(update={"startup_trials": random})
    return spec.search.model_copy(update={"algorithm": filled})
