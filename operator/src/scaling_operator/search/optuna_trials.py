"""Conversion of our trials to records, and of records to Optuna's trials."""

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
    Search,
    typed_value,
)
from scaling_operator.api.trial import ScalingTrial
from scaling_operator.core.curve import CurvePoints, kept
from scaling_operator.core.reasons import ranks_last
from scaling_operator.core.reports import is_comparable
from scaling_operator.validation.space import Space

OptunaState = optuna.trial.TrialState


@dataclass(frozen=True, slots=True)
class Record:
    """What a study needs to know of a stored trial.

    `parameters` are the searched ones alone. `attributes` are those of the proposal. `values` are
    those of a succeeded trial, in the objectives' order. `curve` holds (step, value) of the
    objective.
    """

    number: int
    parameters: Mapping[str, Scalar]
    attributes: Mapping[str, Any]
    state: TrialState
    diverged: bool
    values: tuple[float, ...]
    curve: CurvePoints


def record_of(trial: ScalingTrial, search: Search) -> Record:
    """Reduce a trial to what its study needs; values get their parameters' types again."""
    spec, status = trial.spec, trial.status
    return Record(
        number=spec.number,
        parameters={
            name: typed_value(search.parameters[name], spec.parameters[name])
            for name in spec.searched
        },
        attributes=spec.sampler_attributes,
        state=status.state,
        diverged=ranks_last(status.reason),
        values=status.values,
        curve=tuple(
            (point.step, point.value) for point in status.curve if is_comparable(point.phase)
        ),
    )


@dataclass(frozen=True, slots=True)
class StudyEntry:
    """What Optuna is told of a trial: its state, its values, and the part of the curve it uses."""

    state: OptunaState
    values: tuple[float, ...] | None
    curve: CurvePoints


def study_entry(record: Record, *, objectives: int, whole_curve: bool) -> StudyEntry:
    """Translate a record.

    A diverged trial is told as pruned before its first step, which ranks it last: told as failed,
    it would be ignored, and TPE would propose its neighbours again. TPE ranks a pruned trial by its
    last point. Raises ValueError for values that are not finite, or too few or too many.
    """
    check_finite(record)
    curve = bounded_curve(record.curve) if objectives == 1 else ()
    match record.state:
        case TrialState.RUNNING | TrialState.QUEUED:
            return StudyEntry(OptunaState.RUNNING, None, ())
        case TrialState.SUCCEEDED:
            if len(record.values) != objectives:
                counted = f"{len(record.values)} values for {objectives} objectives"
                message = f"trial {record.number}: {counted}"
                raise ValueError(message)
            values = tuple(bounded(value) for value in record.values)
            return StudyEntry(OptunaState.COMPLETE, values, curve if whole_curve else ())
        case TrialState.PRUNED:
            return StudyEntry(OptunaState.PRUNED, None, curve[-1:])
        case TrialState.FAILED if record.diverged:
            return StudyEntry(OptunaState.PRUNED, None, ())
        case TrialState.FAILED | TrialState.STOPPED:
            return StudyEntry(OptunaState.FAIL, None, ())
    assert_never(record.state)


LARGEST = 1e100
"""Larger values are told as this one: samplers square values, and every ask would overflow."""


def bounded(value: float) -> float:
    """Bring a value within the range that samplers can compute with; the order stays."""
    return min(max(value, -LARGEST), LARGEST)


def bounded_curve(points: CurvePoints) -> CurvePoints:
    """Take the points of a curve that are kept, and bound their values."""
    return tuple((step, bounded(value)) for step, value in kept(points))


def check_finite(record: Record) -> None:
    """Raise ValueError for an infinity or NaN: Optuna would store an infinity as a result."""
    for value in (*record.values, *(value for _, value in record.curve)):
        if not math.isfinite(value):
            message = f"trial {record.number}: {value!r} is not a finite number"
            raise ValueError(message)


def typed(space: Space, record: Record) -> dict[str, Scalar]:
    """Give a record's parameters their types: JSON turns 1.0 into 1.

    Raises ValueError for a parameter that is not searched, or a value outside its range.
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
    space: Space, record: Record, end: StudyEntry, attributes: Mapping[str, Any]
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
    """Give the distribution that `suggest` draws from."""
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
