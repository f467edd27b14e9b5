"""The scales of an experiment: the rungs of its ladder, crossed with amounts of data or budgets."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.fields import Scalar
from scaling_operator.api.status import ScaleStatus
from scaling_trainer.config.builtin import with_parameters
from scaling_trainer.counting import count, dimensions_of


@dataclass(frozen=True, slots=True)
class Scale:
    """One rung of the ladder: the parameters it sets, and D or C where the design sets them."""

    index: int
    parameters: Mapping[str, Scalar] = field(default_factory=dict[str, Scalar])
    samples: float | None = None
    budget_flops: float | None = None


def scales_of(spec: ExperimentSpec, stored: Iterable[ScaleStatus] = ()) -> tuple[Scale, ...]:
    """List all scales, numbered in the file's order, data or budgets fastest; without a ladder one.

    `stored` are the scales of the status: scales that `refine` has added stand there alone, after
    the others.
    """
    from_file = _scales_of_file(spec)
    added = (
        Scale(scale.index, dict(scale.parameters), scale.samples, scale.budget_flops)
        for scale in sorted(stored, key=lambda scale: scale.index)
        if scale.index >= len(from_file)
    )
    return (*from_file, *added)


def _scales_of_file(spec: ExperimentSpec) -> tuple[Scale, ...]:
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
    """Order scales cheapest first: by the budget, else by size times samples."""
    return tuple(sorted(scales, key=_cost))


def _cost(scale: Scale) -> tuple[float, int]:
    if scale.budget_flops is not None:
        return scale.budget_flops, scale.index
    if scale.samples is None:
        return 0.0, scale.index
    numbers = [value for value in scale.parameters.values() if not isinstance(value, bool | str)]
    return math.prod(numbers) * scale.samples, scale.index


def samples_of(
    spec: ExperimentSpec, scale: Scale, parameters: Mapping[str, Scalar]
) -> float | None:
    """Give D of one trial: the design's data, or the budget over the counted FLOPs of a sample.

    A sample is a row, for text a token. None where the trainer's own `epochs` decide. Raises
    ValueError for a budget where the trainer's FLOPs cannot be counted; validation refuses that
    before.
    """
    if scale.budget_flops is None:
        return scale.samples
    if spec.trainer.built_in is None:
        message = "design isoflop needs the built-in trainer: its FLOPs per sample can be counted"
        raise ValueError(message)
    config = with_parameters(spec.trainer.built_in, parameters)
    dimensions = dimensions_of(config.dataset.model_dump(mode="json"))
    if dimensions is None:
        message = f"design isoflop: the shape of dataset {config.dataset.name} is not known"
        raise ValueError(message)
    flops = count(config.model.model_dump(mode="json"), dimensions).flops_per_sample
    return max(1.0, float(round(scale.budget_flops / flops)))
