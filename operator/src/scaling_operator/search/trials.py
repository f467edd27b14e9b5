"""Between our records of trials and Optuna's trials."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, assert_never

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, create_trial

from scaling_operator.api.fields import Scalar
from scaling_operator.api.names import TrialState
from scaling_operator.api.search import (
    CategoricalParameter,
    FloatParameter,
    IntParameter,
    Parameter,
    typed_value,
)
from scaling_operator.core.curve import CurvePoints, kept
from scaling_operator.validation.space import Space

OptunaState = optuna.trial.TrialState


@dataclass(frozen=True, slots=True)
class Record:
    """A trial as it is stored: all that a study needs to know of it.

    `parameters` are the searched ones alone, `attributes` those of its proposal, `values` in the
    objectives' order (of a succeeded trial), `curve` holds (step, value) of the objective.
    """

    number: int
    parameters: Mapping[str, Scalar]
    attributes: Mapping[str, Any]
    state: TrialState
    diverged: bool
    values: tuple[float, ...]
    curve: CurvePoints


@dataclass(frozen=True, slots=True)
class Told:
    """What Optuna gets to know of a trial: its state, its values, and as much curve as it uses."""

    state: OptunaState
    values: tuple[float, ...] | None
    curve: CurvePoints


def told(record: Record, *, objectives: int, whole_curve: bool) -> Told:
    """Translate a record.

    A diverged trial counts as pruned before its first step, which ranks it last: told as failed it
    would be forgotten, and TPE would propose its neighbours again. Of a pruned one the last point
    is what TPE ranks it by. Raises ValueError for values that are not finite, or too few or many.
    """
    check_finite(record)
    curve = bounded_curve(record.curve) if objectives == 1 else ()
    match record.state:
        case TrialState.RUNNING | TrialState.QUEUED:
            return Told(OptunaState.RUNNING, None, ())
        case TrialState.SUCCEEDED:
            if len(record.values) != objectives:
                counted = f"{len(record.values)} values for {objectives} objectives"
                message = f"trial {record.number}: {counted}"
                raise ValueError(message)
            values = tuple(bounded(value) for value in record.values)
            return Told(OptunaState.COMPLETE, values, curve if whole_curve else ())
        case TrialState.PRUNED:
            return Told(OptunaState.PRUNED, None, curve[-1:])
        case TrialState.FAILED if record.diverged:
            return Told(OptunaState.PRUNED, None, ())
        case TrialState.FAILED | TrialState.STOPPED:
            return Told(OptunaState.FAIL, None, ())
    assert_never(record.state)


LARGEST = 1e100
"""Larger values are told as this: samplers square them, and an overflow would end every ask."""


def bounded(value: float) -> float:
    """Bring a value within what samplers can reckon with; the order of sane values stays."""
    return min(max(value, -LARGEST), LARGEST)


def bounded_curve(points: CurvePoints) -> CurvePoints:
    """Take the points of a curve that count, their values bounded."""
    return tuple((step, bounded(value)) for step, value in kept(points))


def check_finite(record: Record) -> None:
    """Raise ValueError for an infinity or NaN: Optuna would store the first as a result."""
    for value in (*record.values, *(value for _, value in record.curve)):
        if not math.isfinite(value):
            message = f"trial {record.number}: {value!r} is not a finite number"
            raise ValueError(message)


def typed(space: Space, record: Record) -> dict[str, Scalar]:
    """Give a record's parameters their types: JSON turns 1.0 into 1.

    Raises ValueError for one that is not searched, or lies outside its range.
    """
    values: dict[str, Scalar] = {}
    for name, value in record.parameters.items():
        if name not in space.parameters:
            message = f"trial {record.number}: {name} is not a searched parameter"
            raise ValueError(message)
        try:
            values[name] = typed_value(space.parameters[name], value)
        except ValueError as error:
            message = f"trial {record.number}: {name}: {error}"
            raise ValueError(message) from error
    return values


def frozen_trial(
    space: Space, record: Record, end: Told, attributes: Mapping[str, Any]
) -> FrozenTrial:
    """Make the trial that asking, reporting and telling would have left behind."""
    parameters = typed(space, record)
    last = [value for _, value in end.curve[-1:]] or None
    return create_trial(
        state=end.state,
        values=last if end.state is OptunaState.PRUNED else end.values,
        params=parameters,
        distributions={name: distribution(space.parameters[name]) for name in parameters},
        system_attrs=dict(attributes),
        intermediate_values=dict(end.curve),
    )


def distribution(parameter: Parameter) -> BaseDistribution:
    """Give the range that `suggest` uses."""
    match parameter:
        case FloatParameter(low=low, high=high, log=log, step=step):
            return FloatDistribution(low, high, log=log, step=step)
        case IntParameter(low=low, high=high, log=log, step=step):
            return IntDistribution(low, high, log=log, step=step or 1)
        case CategoricalParameter(choices=choices):
            return CategoricalDistribution(choices)
    assert_never(parameter)


def suggest(trial: optuna.Trial, name: str, parameter: Parameter) -> Scalar:
    """Let the sampler choose a value, of the parameter's Python type."""
    match parameter:
        case FloatParameter(low=low, high=high, log=log, step=step):
            value: Any = trial.suggest_float(name, low, high, log=log, step=step)
        case IntParameter(low=low, high=high, log=log, step=step):
            value = trial.suggest_int(name, low, high, log=log, step=step or 1)
        case CategoricalParameter(choices=choices):
            value = trial.suggest_categorical(name, choices)
        case _:
            assert_never(parameter)
    return typed_value(parameter, value)
