"""How many trials a scale gets."""

from __future__ import annotations

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.grid import grid_size
from scaling_operator.api.names import DEFAULT_TRIALS
from scaling_operator.api.search import GridAlgorithm


def trials_per_scale(spec: ExperimentSpec) -> int:
    """How many trials a scale gets: `trials.max`, else every point of a grid, else 40."""
    points = grid_size(spec.search) if isinstance(spec.search.algorithm, GridAlgorithm) else None
    if spec.trials.max is None:
        return points or DEFAULT_TRIALS
    return min(spec.trials.max, points or spec.trials.max)
