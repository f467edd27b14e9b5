"""A grid has points that can be counted, and not too many of them."""

from __future__ import annotations

from collections.abc import Iterable

from scaling_operator.api.draft import Draft
from scaling_operator.api.grid import TooEntangled, grid_size, is_countable
from scaling_operator.api.names import MAX_TRIALS_PER_SCALE
from scaling_operator.api.problems import Problem, below
from scaling_operator.api.search import GridAlgorithm
from scaling_operator.api.space import UnsoundConditions


def grid_is_finite(draft: Draft) -> Iterable[Problem]:
    """Ask a grid for points that can be counted, and not too many of them."""
    if not isinstance(draft.spec.search.algorithm, GridAlgorithm):
        return
    unbounded = [name for name, each in draft.parameters.items() if not is_countable(each)]
    for name in unbounded:
        message = "algorithm grid cannot count the values of a float: give it a step, or choices"
        yield Problem(below("spec.search.parameters", name), message)
    if not unbounded:
        yield from _too_many(draft)


def _too_many(draft: Draft) -> Iterable[Problem]:
    try:
        points = grid_size(draft.spec.search)
    except UnsoundConditions:
        return  # they have problems of their own, and no number of points
    except TooEntangled as error:
        yield Problem("spec.search.algorithm", f"{error}; use fewer, or another algorithm")
        return
    if points > MAX_TRIALS_PER_SCALE:
        message = (
            f"the grid has more than {MAX_TRIALS_PER_SCALE:,} points; "
            "widen the steps, or use another algorithm"
        )
        yield Problem("spec.search.algorithm", message)
