"""Best values at an end of what was tried: of a search range, or of the ladder."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from scaling_operator.api.experiment import Objective
from scaling_operator.api.fields import Scalar
from scaling_operator.api.search import CategoricalParameter, Parameter, Search
from scaling_operator.api.status import BestTrial, Range
from scaling_operator.core.observed import ScaleView
from scaling_operator.core.tally import loss_of

RANGE_EDGE = 0.02
"""Share of a range, measured as it is searched, that counts as its end."""
FEWEST_SIZES = 3
"""Of fewer sizes an end says nothing."""


@dataclass(frozen=True, slots=True)
class SizeEdge:
    """Sizes that saw the same data or compute, the best of which is the smallest or largest."""

    samples: float | None
    budget_flops: float | None
    side: Literal["smallest", "largest"]
    best: ScaleView


def parameters_at_edge(
    best: BestTrial, search: Search, ranges: Mapping[str, Range]
) -> tuple[str, ...]:
    """Name the searched numbers of a trial that lie at an end of the scale's range."""
    return tuple(
        name
        for name, parameter in search.parameters.items()
        if name in best.parameters
        and at_range_edge(parameter, best.parameters[name], ranges.get(name))
    )


def at_range_edge(parameter: Parameter, value: Scalar, narrowed: Range | None = None) -> bool:
    """Whether a number lies within 2 % of an end of its range.

    A range that begins at 0 ends there by nature: nothing better can lie below.
    """
    if isinstance(parameter, CategoricalParameter) or isinstance(value, bool | str):
        return False
    whole = narrowed or Range(low=parameter.low, high=parameter.high)
    if whole.low == whole.high:
        return False
    low, high, here = (
        math.log(end) if parameter.log else float(end) for end in (whole.low, whole.high, value)
    )
    margin = RANGE_EDGE * (high - low)
    natural = not parameter.log and whole.low == 0
    return here >= high - margin or (here <= low + margin and not natural)


def size_edges(views: tuple[ScaleView, ...], objective: Objective) -> tuple[SizeEdge, ...]:
    """Find, for each amount of data or compute, whether its best size is an end of the sizes."""
    groups: dict[tuple[float | None, float | None], list[tuple[float, float, ScaleView]]] = {}
    for view in views:
        if view.tally.best:
            best = view.tally.best[0]
            entry = (size_of(view, best), loss_of(best.values[0], objective), view)
            groups.setdefault((view.scale.samples, view.scale.budget_flops), []).append(entry)
    found: list[SizeEdge] = []
    for (samples, budget), entries in groups.items():
        if len(entries) < FEWEST_SIZES:
            continue
        ordered = sorted(entries, key=lambda entry: entry[:1])
        at = min(range(len(ordered)), key=lambda index: ordered[index][1])
        if at in (0, len(ordered) - 1):
            side = "largest" if at else "smallest"
            found.append(SizeEdge(samples, budget, side, ordered[at][2]))
    return tuple(found)


def size_of(view: ScaleView, best: BestTrial) -> float:
    """Order scales by N where it is known, else by the ladder's number, else by their index."""
    if best.model_parameters:
        return best.model_parameters
    values = [
        value for value in view.scale.parameters.values() if not isinstance(value, bool | str)
    ]
    return float(values[0]) if len(values) == 1 else float(view.scale.index)
