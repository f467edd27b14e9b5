"""`spec.search`: the parameters to tune, in what ranges, and the points to try first."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from scaling_operator.api.algorithms import Algorithm, NoPruner, Pruner, TpeAlgorithm
from scaling_operator.api.fields import (
    ApiSection,
    CheckedSection,
    ParameterName,
    Scalar,
    equality_key,
)
from scaling_operator.api.problems import Problem, listing, shown
from scaling_operator.api.rules import Rule

BoundedScalar = Annotated[str, Field(max_length=256)] | bool | int | float
When = Annotated[
    dict[ParameterName, Annotated[tuple[BoundedScalar, ...], Field(min_length=1, max_length=100)]],
    Field(max_length=10),
]


LARGEST_INT = 2**50
"""Samplers reckon with halves of whole numbers as floats: beyond this those do not differ."""
LARGEST_FLOAT = 1e100
"""Samplers square what they are given; the reciprocal is the smallest width."""
_FINEST_WIDTH = 1e-9  # of the largest value of a range: narrower ones hold few numbers
_FINEST_STEP = 1e-7  # of the largest: genetic tries for ever to meet finer ones exactly
_LEAST_STEP = 1e-9  # TPE reckons with widths of 1e-12 and rounds to values beyond finer ones


def _width(parameter: FloatParameter | IntParameter) -> float:
    return parameter.high - parameter.low


def _step_fits(parameter: FloatParameter | IntParameter) -> bool:
    if parameter.step is None or parameter.low >= parameter.high:
        return True
    return parameter.step <= _width(parameter) * (1 + 1e-9)  # 0.3 - 0.2 < 0.1


# Numbers, also for int: in a CRD float and int share one object, whose low and high are numbers.
_RANGE: tuple[Rule[FloatParameter | IntParameter], ...] = (
    Rule(
        holds=lambda parameter: parameter.low <= parameter.high,
        sentence=lambda parameter: (
            f"low {parameter.low:g} is above high {parameter.high:g}; low must be at most high"
        ),
        cel="self.low <= self.high",
        message="low must be at most high",
        field="low",
    ),
    Rule(
        holds=lambda parameter: not parameter.log or parameter.low > 0,
        sentence=lambda parameter: f"log needs low above 0, not {parameter.low:g}",
        cel="!has(self.log) || !self.log || self.low > 0.0",
        message="log needs low above 0",
        field="low",
    ),
    Rule(
        holds=lambda parameter: not parameter.log or parameter.step is None,
        cel="!has(self.log) || !self.log || !has(self.step)",
        message="step does not go with log; leave one of them out",
        field="step",
        reason="FieldValueForbidden",
    ),
    Rule(
        holds=_step_fits,
        sentence=lambda parameter: (
            f"step {parameter.step:g} exceeds the range of {_width(parameter):g}"
        ),
        cel="!has(self.step) || self.low == self.high || self.step <= self.high - self.low",
        message="step exceeds the range from low to high",
        field="step",
    ),
)


def _is_coarse_enough(parameter: FloatParameter | IntParameter) -> Iterator[Problem]:
    """Refuse what is finer than numbers are: samplers would divide by nothing, or never end."""
    is_any_width_sound = isinstance(parameter, IntParameter) and not parameter.log
    if is_any_width_sound or any(any(rule.problems(parameter)) for rule in _RANGE):
        return
    low, high = parameter.low, parameter.high
    largest = max(abs(low), abs(high))
    least = max(largest * _FINEST_WIDTH, 1 / LARGEST_FLOAT)
    finest = max(largest * _FINEST_STEP, _LEAST_STEP)
    if low < high and high - low < least:
        sentence = f"high is less than {least:g} above low, which numbers hardly tell apart"
        yield Problem("high", f"{sentence}; widen the range")
    elif parameter.log and low < 1 / LARGEST_FLOAT:
        sentence = f"low {low:g} is too small; with log at least {1 / LARGEST_FLOAT:g}"
        yield Problem("low", sentence)
    elif parameter.step is not None and parameter.step < finest:
        sentence = f"step {parameter.step:g} is too fine; it must be at least {finest:g}"
        yield Problem("step", sentence)


_NUMBER = (*_RANGE, Rule(check=_is_coarse_enough))


class Conditional(CheckedSection):
    """What every parameter shares."""

    when: When = Field(
        default={},
        description="The parameter is active only while each parameter named here has one of "
        "these values.",
    )


class FloatParameter(Conditional):
    """A real number in a range, both ends included."""

    RULES: ClassVar[tuple[Rule[FloatParameter | IntParameter], ...]] = _NUMBER

    type: Literal["float"]
    low: float = Field(ge=-LARGEST_FLOAT, le=LARGEST_FLOAT, description="Smallest value.")
    high: float = Field(ge=-LARGEST_FLOAT, le=LARGEST_FLOAT, description="Largest value.")
    step: float | None = Field(
        default=None, gt=0, description="Distance between values; not with log."
    )
    log: bool = Field(
        default=False, description="Search on a logarithmic scale; low must be above 0."
    )


class IntParameter(Conditional):
    """A whole number in a range, both ends included."""

    RULES: ClassVar[tuple[Rule[FloatParameter | IntParameter], ...]] = _NUMBER

    type: Literal["int"]
    low: int = Field(ge=-LARGEST_INT, le=LARGEST_INT, description="Smallest value.")
    high: int = Field(ge=-LARGEST_INT, le=LARGEST_INT, description="Largest value.")
    step: int | None = Field(
        default=None, ge=1, description="Distance between values; not with log."
    )
    log: bool = Field(
        default=False, description="Search on a logarithmic scale; low must be at least 1."
    )


class CategoricalParameter(Conditional):
    """One of a list of values."""

    RULES: ClassVar[tuple[Rule[CategoricalParameter], ...]] = (
        Rule(  # CEL does not see values that have no one type
            holds=lambda parameter: len(parameter.by_value) == len(parameter.choices),
            message="choices repeat a value; each may stand once",
            field="choices",
        ),
    )

    type: Literal["categorical"]
    choices: tuple[BoundedScalar, ...] = Field(
        min_length=1, max_length=1000, description="The values, no two equal."
    )

    @cached_property
    def by_value(self) -> Mapping[tuple[bool, Scalar], Scalar]:
        """Each choice by the key that equal values share."""
        return {equality_key(choice): choice for choice in self.choices}


Parameter = Annotated[
    FloatParameter | IntParameter | CategoricalParameter, Field(discriminator="type")
]


Point = Annotated[dict[ParameterName, BoundedScalar], Field(min_length=1, max_length=100)]


class WarmStart(ApiSection):
    """Points to try first. They are trained here.

    Values of another experiment are never taken over.
    """

    from_: tuple[Annotated[str, Field(min_length=1, max_length=1024)], ...] = Field(
        default=(),
        max_length=10,
        alias="from",
        description="Experiments, or result folders of local runs.",
    )
    top_k: int = Field(default=5, ge=1, le=50, description="How many of each one's best points.")
    points: tuple[Point, ...] = Field(
        default=(), max_length=100, description="Points of your own; may be partial."
    )


class Search(ApiSection):
    """What is tuned, and how."""

    parameters: dict[ParameterName, Parameter] = Field(
        default={},
        max_length=100,
        description="By name: a path below trainer.builtIn, or any name for an own container.",
    )
    algorithm: Algorithm = Field(
        default=TpeAlgorithm(name="tpe"), description="Who proposes the points."
    )
    pruner: Pruner = Field(default=NoPruner(name="none"), description="Who stops hopeless trials.")
    warm_start: WarmStart = Field(default=WarmStart(), description="Points that are tried first.")
    repeats: Literal["skip", "train"] = Field(
        default="skip",
        description="Points that a trial of the scale has tried, where the space has finitely "
        "many: skip takes another one, and ends the scale once none is left; train tries them "
        "again.",
    )


def typed_value(parameter: Parameter, value: Scalar) -> Scalar:
    """Give a value its parameter's type again: through an API server 1.0 comes back as 1.

    Raises ValueError where the value lies outside the parameter's range or choices.
    """
    if isinstance(parameter, CategoricalParameter):
        return _cast_choice(parameter, value)
    if isinstance(value, bool | str) or not math.isfinite(value):
        message = f"{shown(value)} is not a number"
        raise ValueError(message)
    if not parameter.low <= value <= parameter.high:
        message = f"{value!r} lies outside {parameter.low:g} to {parameter.high:g}"
        raise ValueError(message)
    if isinstance(parameter, FloatParameter):
        return float(value)
    if value != int(value):
        message = f"{shown(value)} is not a whole number"
        raise ValueError(message)
    return int(value)


def _cast_choice(parameter: CategoricalParameter, value: Scalar) -> Scalar:
    choice = parameter.by_value.get(equality_key(value))
    if choice is None:
        message = f"{shown(value)} is none of the choices {listing(parameter.choices)}"
        raise ValueError(message)
    return choice
