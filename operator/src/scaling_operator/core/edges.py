"""Best values at an edge of what was tried: at an end of a search range, or of the ladder."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from scaling_operator.api.experiment import Objective
from scaling_operator.api.fields import Scalar
from scaling_operator.api.search import CategoricalParameter, Parameter, Search
from scaling_operator.api.status import BestTrial, Range
from scaling_operator.core.ladder import Scale
from scaling_operator.core.observed import ScaleView
from scaling_operator.core.tally import loss_of

RANGE_EDGE = 0.02
"""The share of a range that counts as its end; of a logarithmic range, in logarithms."""
FEWEST_SIZES = 3
"""With fewer sizes an end says nothing."""


@dataclass(frozen=True, slots=True)
class SizedLoss:
    """The best loss of a scale (smaller is better); `size` orders scales, whatever its unit."""

    scale: Scale
    size: float
    loss: float


@dataclass(frozen=True, slots=True)
class SizeEdge:
    """Sizes with the same data or compute, whose best is the smallest or largest of them."""

    side: Literal["smallest", "largest"]
    best: SizedLoss

    @property
    def samples(self) -> float | None:
        """D of these sizes, where the design sets it."""
        return self.best.scale.samples

    @property
    def budget_flops(self) -> float | None:
        """C of these sizes, where the design sets it."""
        return self.best.scale.budget_flops


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

    0 is no end of a range that begins there: nothing better can lie below.
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


def size_edges(sizes: Iterable[SizedLoss]) -> tuple[SizeEdge, ...]:
    """Find, for each amount of data or compute, whether its best size is an end of the sizes."""
    groups: dict[tuple[float | None, float | None], list[SizedLoss]] = {}
    for sized in sizes:
        groups.setdefault((sized.scale.samples, sized.scale.budget_flops), []).append(sized)
    edges: list[SizeEdge] = []
    for members in groups.values():
        if len(members) < FEWEST_SIZES:
            continue
        ordered = sorted(members, key=lambda sized: sized.size)
        best = min(ordered, key=lambda sized: sized.loss)
        if best in (ordered[0], ordered[-1]):
            edges.append(SizeEdge("smallest" if best == ordered[0] else "largest", best))
    return tuple(edges)


def sized_loss(view: ScaleView, objective: Objective) -> SizedLoss | None:
    """Take the best loss of a scale; None where no trial has succeeded."""
    if not view.tally.best:
        return None
    best = view.tally.best[0]
    size = best.model_parameters or number_of(view.scale)
    return SizedLoss(view.scale, size, loss_of(best.values[0], objective))


def number_of(scale: Scale) -> float:
    """Give the number that orders scales where N is not known: the size, else the index."""
    values = [value for value in scale.parameters.values() if not isinstance(value, bool | str)]
    return float(values[0]) if len(values) == 1 else float(scale.index)
