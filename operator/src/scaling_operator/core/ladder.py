"""The scales of an experiment: the rungs of its ladder, crossed with data or budgets."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.fields import Scalar
from scaling_operator.api.status import ScaleStatus


@dataclass(frozen=True, slots=True)
class Scale:
    """One rung: the parameters it sets, and D or C where the design sets them."""

    index: int
    parameters: Mapping[str, Scalar] = field(default_factory=dict[str, Scalar])
    samples: float | None = None
    budget_flops: float | None = None


def scales_of(spec: ExperimentSpec, known: Iterable[ScaleStatus] = ()) -> tuple[Scale, ...]:
    """All scales, numbered in the file's order, data or budgets fastest; without a ladder one.

    `known` are those of the status: what `refine` has added stands there alone, after the others.
    """
    given = _given(spec)
    added = (
        Scale(each.index, dict(each.parameters), each.samples, each.budget_flops)
        for each in sorted(known, key=lambda each: each.index)
        if each.index >= len(given)
    )
    return (*given, *added)


def _given(spec: ExperimentSpec) -> tuple[Scale, ...]:
    scaling = spec.scaling
    if scaling is None:
        return (Scale(0),)
    cells = [
        (rung, samples, budget)
        for rung in scaling.all_rungs
        for samples in scaling.data or (None,)
        for budget in scaling.budgets or (None,)
    ]
    return tuple(
        Scale(index, rung, None if samples is None else float(samples), budget)
        for index, (rung, samples, budget) in enumerate(cells)
    )


def running_order(scales: tuple[Scale, ...]) -> tuple[Scale, ...]:
    """Cheapest first: a budget is a cost; size times samples is proportional to one."""
    return tuple(sorted(scales, key=_cost))


def _cost(scale: Scale) -> tuple[float, int]:
    if scale.budget_flops is not None:
        return scale.budget_flops, scale.index
    if scale.samples is None:
        return 0.0, scale.index
    numbers = [value for value in scale.parameters.values() if not isinstance(value, bool | str)]
    return math.prod(numbers) * scale.samples, scale.index
