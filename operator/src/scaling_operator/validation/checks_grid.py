"""What is listed value by value can be counted, and is not too much: grids, and steps for gp."""

from __future__ import annotations

from collections.abc import Iterable

from scaling_operator.api.names import MAX_TRIALS_PER_SCALE
from scaling_operator.api.problems import Problem, below
from scaling_operator.api.search import FloatParameter, GpAlgorithm, GridAlgorithm, IntParameter
from scaling_operator.validation.draft import Draft
from scaling_operator.validation.grid import TooEntangled, grid_size, is_countable
from scaling_operator.validation.space import UnsoundConditions, lattice_size

MOST_LISTED = 100_000


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


def values_can_be_listed(draft: Draft) -> Iterable[Problem]:
    """Ask for few enough values of ranges with steps where the algorithm looks at each of them."""
    if not isinstance(draft.spec.search.algorithm, GpAlgorithm):
        return
    sizes = {
        name: lattice_size(each)
        for name, each in draft.parameters.items()
        if isinstance(each, IntParameter | FloatParameter)
        and not (isinstance(each, FloatParameter) and each.step is None)
    }
    if sum(sizes.values()) > MOST_LISTED:
        path = below("spec.search.parameters", max(sizes, key=lambda name: sizes[name]))
        message = (
            f"algorithm gp looks at every value of ints and steps, at most {MOST_LISTED:,} in all; "
            "widen the steps, use type float, or another algorithm"
        )
        yield Problem(path, message)


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
