"""From a trainer's result to the values of the objectives, in their order."""

from __future__ import annotations

from scaling_operator.api.experiment import Objective
from scaling_operator.api.status import EarlyPoint
from scaling_trainer.results import Result


def values_of(result: Result, objectives: tuple[Objective, ...]) -> tuple[float, ...] | str:
    """Take the objectives' values, from `metrics` by name or `values` in order; else the fault."""
    names = [objective.metric for objective in objectives]
    if result.values is not None:
        if len(result.values) != len(names):
            return f"the result has {len(result.values)} values for {len(names)} objectives"
        return result.values
    missing = [name for name in names if name not in result.metrics]
    if missing:
        given = ", ".join(sorted(result.metrics)) or "no metrics"
        return f"the result lacks {', '.join(missing)}; it has {given}"
    return tuple(result.metrics[name] for name in names)


def early_points(result: Result, objectives: tuple[Objective, ...]) -> tuple[EarlyPoint, ...]:
    """Take the objective at each early point of a run; those without it are left out."""
    first, *others = objectives
    if others:
        return ()
    name = first.metric
    return tuple(
        EarlyPoint(samples=point.samples, flops=point.flops, value=point.metrics[name])
        for point in result.points
        if name in point.metrics and point.samples >= 0 and (point.flops or 0.0) >= 0
    )
