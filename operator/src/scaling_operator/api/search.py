"""`spec.search`.

The parameters to tune, the algorithm that proposes them and the pruner that stops early.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Literal

from pydantic import Field, model_validator

from scaling_operator.api.fields import ApiSection, ParameterName, Scalar, equality_key
from scaling_operator.api.problems import listing, shown
from scaling_trainer.config.base import SectionError

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


class Conditional(ApiSection):
    """What every parameter shares."""

    when: When = Field(
        default={},
        description="The parameter is active only while each parameter named here has one of "
        "these values.",
    )


class FloatParameter(Conditional):
    """A real number in a range, both ends included."""

    type: Literal["float"]
    low: float = Field(ge=-LARGEST_FLOAT, le=LARGEST_FLOAT, description="Smallest value.")
    high: float = Field(ge=-LARGEST_FLOAT, le=LARGEST_FLOAT, description="Largest value.")
    step: float | None = Field(
        default=None, gt=0, description="Distance between values; not with log."
    )
    log: bool = Field(
        default=False, description="Search on a logarithmic scale; low must be above 0."
    )

    @model_validator(mode="after")
    def _range_is_sound(self) -> FloatParameter:
        found = _range_problems(self.low, self.high, log=self.log, step=self.step)
        found += [] if found else _fineness_problems(self.low, self.high, self.step, log=self.log)
        if found:
            raise SectionError(*found)
        return self


class IntParameter(Conditional):
    """A whole number in a range, both ends included."""

    type: Literal["int"]
    low: int = Field(ge=-LARGEST_INT, le=LARGEST_INT, description="Smallest value.")
    high: int = Field(ge=-LARGEST_INT, le=LARGEST_INT, description="Largest value.")
    step: int | None = Field(
        default=None, ge=1, description="Distance between values; not with log."
    )
    log: bool = Field(
        default=False, description="Search on a logarithmic scale; low must be at least 1."
    )

    @model_validator(mode="after")
    def _range_is_sound(self) -> IntParameter:
        found = _range_problems(self.low, self.high, log=self.log, step=self.step)
        if not found and self.log:
            found = _fineness_problems(self.low, self.high, None, log=True)
        if found:
            raise SectionError(*found)
        return self


class CategoricalParameter(Conditional):
    """One of a list of values."""

    type: Literal["categorical"]
    choices: tuple[BoundedScalar, ...] = Field(
        min_length=1, max_length=1000, description="The values, no two equal."
    )

    @model_validator(mode="after")
    def _choices_differ(self) -> CategoricalParameter:
        if len(self.by_value) < len(self.choices):
            raise SectionError(("choices", "choices repeat a value; each may stand once"))
        return self

    @cached_property
    def by_value(self) -> Mapping[tuple[bool, Scalar], Scalar]:
        """Each choice by what equal values share."""
        return {equality_key(choice): choice for choice in self.choices}


Parameter = Annotated[
    FloatParameter | IntParameter | CategoricalParameter, Field(discriminator="type")
]


def _range_problems(
    low: float, high: float, *, log: bool, step: float | None
) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    if low > high:
        found.append(("low", f"low {low:g} is above high {high:g}; low must be at most high"))
    if log and low <= 0:
        found.append(("low", f"log needs low above 0, not {low:g}"))
    if log and step is not None:
        found.append(("step", "step does not go with log; leave one of them out"))
    if step is not None and low < high and step > (high - low) * (1 + 1e-9):  # 0.3 - 0.2 < 0.1
        found.append(("step", f"step {step:g} exceeds the range of {high - low:g}"))
    return found


def _fineness_problems(
    low: float, high: float, step: float | None, *, log: bool
) -> list[tuple[str, str]]:
    """Refuse what is finer than numbers are: samplers would divide by nothing, or never end."""
    largest = max(abs(low), abs(high))
    least = max(largest * _FINEST_WIDTH, 1 / LARGEST_FLOAT)
    if low < high and high - low < least:
        sentence = f"high is less than {least:g} above low, which numbers hardly tell apart"
        return [("high", f"{sentence}; widen the range")]
    if log and low < 1 / LARGEST_FLOAT:
        return [("low", f"low {low:g} is too small; with log at least {1 / LARGEST_FLOAT:g}")]
    finest = max(largest * _FINEST_STEP, _LEAST_STEP)
    if step is not None and step < finest:
        return [("step", f"step {step:g} is too fine; it must be at least {finest:g}")]
    return []


class Seeded(ApiSection):
    """What every algorithm shares."""

    seed: int | None = Field(
        default=None,
        ge=0,
        le=2**32 - 1,
        description="The same seed proposes the same; absent: the experiment's uid.",
    )


class RandomAlgorithm(Seeded):
    """Independent random points."""

    name: Literal["random"]


class GridAlgorithm(Seeded):
    """Every combination: categorical and int parameters, and floats that have a step."""

    name: Literal["grid"]


class TpeAlgorithm(Seeded):
    """Tree-structured Parzen estimator."""

    name: Literal["tpe"]
    startup_trials: int | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="Random trials before the first estimate. Absent: 10, or half of trials.max "
        "where that is less.",
    )


class GpAlgorithm(Seeded):
    """Gaussian process; needs the extra `gp`."""

    name: Literal["gp"]
    startup_trials: int | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="Random trials before the first estimate. Absent: 10, or half of trials.max "
        "where that is less.",
    )


class GeneticAlgorithm(Seeded):
    """NSGA-II, also for several objectives. The first generation is random."""

    name: Literal["genetic"]
    population_size: int = Field(default=20, ge=2, le=10_000, description="Trials of a generation.")


Algorithm = Annotated[
    RandomAlgorithm | GridAlgorithm | TpeAlgorithm | GpAlgorithm | GeneticAlgorithm,
    Field(discriminator="name"),
]


class NoPruner(ApiSection):
    """Every trial runs to its end."""

    name: Literal["none"]


class MedianPruner(ApiSection):
    """Stop a trial whose best value so far is worse than the others' median at the same step."""

    name: Literal["median"]
    startup_trials: int = Field(
        default=5, ge=0, le=10_000, description="Finished trials before the first decision."
    )
    warmup_steps: int = Field(
        default=0, ge=0, le=10_000_000, description="Steps of a trial without a decision."
    )


class PercentilePruner(ApiSection):
    """Like median, with the percentile that is kept."""

    name: Literal["percentile"]
    percentile: float = Field(
        default=25.0, ge=0, le=100, description="Share of the best that goes on, in per cent."
    )
    startup_trials: int = Field(
        default=5, ge=0, le=10_000, description="Finished trials before the first decision."
    )
    warmup_steps: int = Field(
        default=0, ge=0, le=10_000_000, description="Steps of a trial without a decision."
    )


class PatientPruner(ApiSection):
    """Stop a trial that has not improved for a number of steps; a pruned one is never the best."""

    name: Literal["patient"]
    patience: int = Field(
        default=5, ge=0, le=10_000, description="Steps without improvement before the stop."
    )
    min_delta: float = Field(default=0.0, ge=0, description="Smallest improvement that counts.")


class AshaPruner(ApiSection):
    """Asynchronous successive halving: at each rung the best 1/reductionFactor go on."""

    name: Literal["asha"]
    min_steps: int = Field(default=1, ge=1, le=10_000_000, description="Step of the first rung.")
    reduction_factor: int = Field(
        default=3, ge=2, le=100, description="Steps grow, and trials shrink, by this per rung."
    )


class HyperbandPruner(ApiSection):
    """Successive halving with several first rungs at once."""

    name: Literal["hyperband"]
    min_steps: int = Field(default=1, ge=1, le=10_000_000, description="Step of the earliest rung.")
    max_steps: int = Field(ge=1, le=10_000_000, description="Steps of a full trial.")
    reduction_factor: int = Field(
        default=3, ge=2, le=100, description="Steps grow, and trials shrink, by this per rung."
    )

    @model_validator(mode="after")
    def _rungs_exist(self) -> HyperbandPruner:
        if self.max_steps < self.min_steps * self.reduction_factor:
            sentence = (
                f"maxSteps {self.max_steps} leaves no rung; it must be at least minSteps "
                f"x reductionFactor, {self.min_steps * self.reduction_factor}"
            )
            raise SectionError(("maxSteps", sentence))
        return self


Pruner = Annotated[
    NoPruner | MedianPruner | PercentilePruner | PatientPruner | AshaPruner | HyperbandPruner,
    Field(discriminator="name"),
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


def cast(parameter: Parameter, value: Scalar) -> Scalar:
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
