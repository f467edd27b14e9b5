"""The fit in a status: the law, its intervals, what it recommends and what it predicted.

Sizes are bounded: by the number of coefficients, of scales and of targets, never of trials. A
number that does not exist is absent, and so is an interval's end where there is no bound.

The models read what `law` computes as it is: attributes of a result, a pair of numbers as an
interval, percentiles by their level as intervals.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from scaling_operator.api.fields import ApiSection, ParameterName
from scaling_operator.api.names import MAX_SCALES
from scaling_operator.api.scaling import Target
from scaling_trainer.foreign_text import MAX_MESSAGE

MAX_FITTED_SCALES = MAX_SCALES + 10
MAX_POINTS_OF_A_SCALE = 9
"""A run that decays early several times gives several points."""

Word = Annotated[str, Field(max_length=63)]
Sentence = Annotated[str, Field(max_length=MAX_MESSAGE)]
Quantity = Literal["parameters", "tokens", "tokensPerParameter", "loss", "flops"]
Coefficient = Literal["E", "A", "B", "alpha", "beta", "a"]


def finite(value: Any) -> Any:
    """Leave out a number that does not exist: an infinite number, or NaN."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


Number = Annotated[float | None, BeforeValidator(finite)]


class _Result(ApiSection):
    """Base of what a fit says: a model that also reads the attributes of a result of `law`."""

    model_config = ConfigDict(from_attributes=True)


class Interval(_Result):
    """From low to high; an end that is absent has no bound."""

    low: Number = Field(default=None, description="Low end.")
    high: Number = Field(default=None, description="High end.")

    @model_validator(mode="before")
    @classmethod
    def _of_pair(cls, ends: Any) -> Any:
        """Read a pair of numbers."""
        if not isinstance(ends, tuple):
            return ends
        low, high = cast("tuple[float, float]", ends)
        return {"low": low, "high": high}


class Intervals(_Result):
    """The doubt about one number."""

    interval80: Interval | None = Field(default=None, description="Holds it with 80 %.")
    interval95: Interval | None = Field(default=None, description="Holds it with 95 %.")

    @model_validator(mode="before")
    @classmethod
    def _of_levels(cls, levels: Any) -> Any:
        """Read intervals by their level in per cent; a status shows two of the levels."""
        if not isinstance(levels, dict):
            return levels
        by_level = cast("Mapping[int | str, object]", levels)
        if not all(isinstance(level, int) for level in by_level):
            return by_level
        return {"interval80": by_level.get(80), "interval95": by_level.get(95)}


class Resampling(_Result):
    """What the intervals come from."""

    count: int = Field(description="Resamples.")
    failed: int = Field(description="Those without a sound law.")
    resample: Literal["pairs", "stratified", "cluster"] = Field(description="What is drawn.")
    seed: int = Field(description="Seed of the draws.")


class HeldOut(_Result):
    """The cheap runs predict the dear ones: mean errors of the loss, as fractions."""

    cut: Number = Field(default=None, description="FLOPs (else parameters) fitted up to.")
    below: int | None = Field(default=None, description="Points fitted.")
    above: int | None = Field(default=None, description="Points predicted.")
    error: Number = Field(default=None, description="Of the law.")
    line_error: Number = Field(default=None, description="Of a straight line of ln L over ln C.")
    nearest_error: Number = Field(default=None, description="Of the nearest cheap run.")
    reason: Word | None = Field(default=None, description="Why there is none, in one word.")
    message: Sentence | None = Field(default=None, description="Why there is none, in a sentence.")


class BudgetOptimum(_Result):
    """The size of least loss at one compute budget."""

    budget_flops: float = Field(description="C, training FLOPs.")
    parameters: Number = Field(default=None, description="N of least loss.")
    loss: Number = Field(default=None, description="The loss there.")
    edge: Literal["smallest", "largest"] | None = Field(
        default=None, description="The end of the sizes on which it lies; it then has no N."
    )


class SecondOpinion(Intervals):
    """Another way to the exponent of the best size, N* ~ C^a."""

    a: Number = Field(default=None, description="The exponent.")
    optima: Annotated[tuple[BudgetOptimum, ...], Field(max_length=MAX_FITTED_SCALES)] = Field(
        default=(), description="The best size of each budget."
    )


class ThirdOpinion(_Result):
    """The exponent of the best size by the lower envelope of learning curves, or why there is none.

    Under a constant rate, or in the stable phase of a schedule, a run cut short is the run of that
    length; elsewhere its curve says nothing of shorter runs.
    """

    a: Number = Field(default=None, description="The exponent of the best size, N* ~ C^a.")
    optima: Annotated[tuple[BudgetOptimum, ...], Field(max_length=MAX_FITTED_SCALES)] = Field(
        default=(), description="Sizes that are lowest somewhere, in the middle of where they are."
    )
    reason: Word | None = Field(default=None, description="Why there is none, in one word.")
    message: Sentence | None = Field(default=None, description="Why there is none, in a sentence.")


class Trend(Intervals):
    """How the best value of a hyperparameter moves with size: h ~ N^exponent."""

    exponent: Number = Field(default=None, description="Absent where too few sizes were tuned.")
    scales: int = Field(description="Scales whose best value lies within its range.")


class LeftOut(ApiSection):
    """A point that does not enter the fit."""

    scale: int = Field(description="Index of its scale.")
    reason: Literal["HyperparameterEdge", "DropWorst", "NotTheBest", "UnknownSize"] = Field(
        description="The rule that leaves it out."
    )


class FitStatus(_Result):
    """How the value depends on size, and how sure that is."""

    form: Literal["chinchilla", "tied", "power"] | None = Field(
        default=None, description="The law; absent where there is no fit."
    )
    quantity: Literal["loss", "error"] = Field(
        default="loss", description="What is fitted: the value, or 1 - value of a score."
    )
    size: ParameterName = Field(
        default="modelParameters", description="What N is: counted, or the ladder's parameter."
    )
    parameters: Annotated[dict[Coefficient, float], Field(max_length=6)] = Field(
        default={}, description="Of the law. A and B mean nothing without their exponents."
    )
    intervals: Annotated[dict[Coefficient, Intervals], Field(max_length=6)] = Field(
        default={}, description="Of the parameters."
    )
    objective: Number = Field(
        default=None, description="Least sum of the Huber losses of ln L, without a factor."
    )
    huber_delta: Number = Field(default=None, description="Where Huber's loss turns linear.")
    points: int = Field(default=0, description="Points fitted: the best trial of each (N, D).")
    drop_worst: int = Field(default=0, description="The rule for outliers that was declared.")
    left_out: Annotated[
        tuple[LeftOut, ...], Field(max_length=MAX_FITTED_SCALES * MAX_POINTS_OF_A_SCALE)
    ] = Field(default=(), description="Points that do not enter, and why.")
    bootstrap: Resampling | None = Field(default=None, description="What the intervals come from.")
    isoflop: SecondOpinion | None = Field(
        default=None, description="The minimum of each compute budget, where there are budgets."
    )
    envelope: ThirdOpinion | None = Field(
        default=None, description="The lower envelope of learning curves."
    )
    hold_out: HeldOut | None = Field(default=None, description="How well it extrapolates.")
    hyperparameters: Annotated[dict[ParameterName, Trend], Field(max_length=100)] = Field(
        default={}, description="How each searched number moves with size."
    )


class Recommendation(Intervals):
    """Which size to train for a target. The intervals are of the size."""

    target: Target = Field(description="What was asked.")
    method: Literal["parametric", "isoflop"] | None = Field(
        default=None, description="Where the answer comes from."
    )
    parameters: Number = Field(default=None, description="N to train.")
    flat_range: Interval | None = Field(
        default=None, description="Sizes whose loss is within flatPercent of the best."
    )
    range: Interval | None = Field(
        default=None, description="Where the methods disagree: act on this, not on N."
    )
    size: Number = Field(default=None, description="The ladder's parameter at this N.")
    tokens: Number = Field(default=None, description="D, samples or tokens to see.")
    tokens_per_parameter: Number = Field(default=None, description="D over N.")
    flops: Number = Field(default=None, description="C, training FLOPs.")
    loss: Number = Field(default=None, description="What to expect, in the fit's quantity.")
    intervals: Annotated[dict[Quantity, Intervals], Field(max_length=5)] = Field(
        default={}, description="Of each quantity."
    )
    shape: Word | None = Field(default=None, description="Machine, as the policy chooses it.")
    count: int | None = Field(default=None, description="Accelerators; 0 for CPUs.")
    hours: Number = Field(default=None, description="Time to expect.")
    gpu_hours: Number = Field(default=None, description="Accelerator time to expect.")
    cost: Number = Field(default=None, description="Money to expect.")
    machine_reason: Word | None = Field(
        default=None, description="Why a machine, its time or its cost is unknown, in one word."
    )
    machine_message: Sentence | None = Field(default=None, description="The same in a sentence.")
    reason: Word | None = Field(default=None, description="Why there is no answer, in one word.")
    message: Sentence | None = Field(
        default=None, description="Why there is no answer, in a sentence."
    )


class ScalePrediction(Intervals):
    """What the law said of a scale before its first trial, in the objective's own units."""

    value: float = Field(description="The best value to expect.")
    model_parameters: float = Field(description="N it was asked for.")
    samples: Number = Field(default=None, description="D it was asked for.")
    points: int = Field(description="Points that were fitted then.")
    seen: Number = Field(default=None, description="The best value so far.")
    error: Number = Field(default=None, description="Seen over predicted, less 1.")
    within: Literal["80", "95", "outside"] | None = Field(
        default=None, description="The narrowest interval that holds what was seen."
    )
