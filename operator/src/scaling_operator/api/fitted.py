"""The fit in a status: the law, its intervals, what it recommends and what it predicted.

The size of all this is bounded by the number of coefficients, of scales and of targets, never by
that of trials. A number that does not exist is absent, and so is an interval's end where there is
no bound.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

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


class Interval(ApiSection):
    """From low to high; an end that is absent has no bound."""

    low: float | None = Field(default=None, description="Low end.")
    high: float | None = Field(default=None, description="High end.")


class Intervals(ApiSection):
    """The doubt about one number."""

    interval80: Interval | None = Field(default=None, description="Holds it with 80 %.")
    interval95: Interval | None = Field(default=None, description="Holds it with 95 %.")


class Resampling(ApiSection):
    """What the intervals come from."""

    count: int = Field(description="Resamples.")
    failed: int = Field(description="Those without a sound law.")
    resample: Literal["pairs", "stratified", "cluster"] = Field(description="What is drawn.")
    seed: int = Field(description="Seed of the draws.")


class HeldOut(ApiSection):
    """The cheap runs predict the dear ones: mean errors of the loss, as fractions."""

    cut: float | None = Field(default=None, description="FLOPs (else parameters) fitted up to.")
    below: int | None = Field(default=None, description="Points fitted.")
    above: int | None = Field(default=None, description="Points predicted.")
    error: float | None = Field(default=None, description="Of the law.")
    line_error: float | None = Field(
        default=None, description="Of a straight line of ln L over ln C."
    )
    nearest_error: float | None = Field(default=None, description="Of the nearest cheap run.")
    reason: Word | None = Field(default=None, description="Why there is none, in one word.")
    message: Sentence | None = Field(default=None, description="Why there is none, in a sentence.")


class BudgetOptimum(ApiSection):
    """The size of least loss at one compute budget."""

    budget_flops: float = Field(description="C, training FLOPs.")
    parameters: float | None = Field(default=None, description="N of least loss.")
    loss: float | None = Field(default=None, description="The loss there.")
    edge: Literal["smallest", "largest"] | None = Field(
        default=None, description="The end of the sizes on which it lies; it then has no N."
    )


class SecondOpinion(Intervals):
    """Another way to the exponent of the best size, N* ~ C^a."""

    a: float | None = Field(default=None, description="The exponent.")
    optima: Annotated[tuple[BudgetOptimum, ...], Field(max_length=MAX_FITTED_SCALES)] = Field(
        default=(), description="The best size of each budget."
    )


class ThirdOpinion(ApiSection):
    """The exponent of the best size by the lower envelope of learning curves, or why there is none.

    Under a constant rate, or in the stable phase of a schedule, a run cut short is the run of that
    length; elsewhere its curve says nothing of shorter runs.
    """

    a: float | None = Field(default=None, description="The exponent of the best size, N* ~ C^a.")
    optima: Annotated[tuple[BudgetOptimum, ...], Field(max_length=MAX_FITTED_SCALES)] = Field(
        default=(), description="Sizes that are lowest somewhere, in the middle of where they are."
    )
    reason: Word | None = Field(default=None, description="Why there is none, in one word.")
    message: Sentence | None = Field(default=None, description="Why there is none, in a sentence.")


class Trend(Intervals):
    """How the best value of a hyperparameter moves with size: h ~ N^exponent."""

    exponent: float | None = Field(
        default=None, description="Absent where too few sizes were tuned."
    )
    scales: int = Field(description="Scales whose best value lies within its range.")


class LeftOut(ApiSection):
    """A point that does not enter the fit."""

    scale: int = Field(description="Index of its scale.")
    reason: Literal["HyperparameterEdge", "DropWorst", "NotTheBest", "UnknownSize"] = Field(
        description="The rule that leaves it out."
    )


class FitStatus(ApiSection):
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
    objective: float | None = Field(
        default=None, description="Least sum of the Huber losses of ln L, without a factor."
    )
    huber_delta: float | None = Field(default=None, description="Where Huber's loss turns linear.")
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
    parameters: float | None = Field(default=None, description="N to train.")
    flat_range: Interval | None = Field(
        default=None, description="Sizes whose loss is within flatPercent of the best."
    )
    range: Interval | None = Field(
        default=None, description="Where the methods disagree: act on this, not on N."
    )
    size: float | None = Field(default=None, description="The ladder's parameter at this N.")
    tokens: float | None = Field(default=None, description="D, samples or tokens to see.")
    tokens_per_parameter: float | None = Field(default=None, description="D over N.")
    flops: float | None = Field(default=None, description="C, training FLOPs.")
    loss: float | None = Field(default=None, description="What to expect, in the fit's quantity.")
    intervals: Annotated[dict[Quantity, Intervals], Field(max_length=5)] = Field(
        default={}, description="Of each quantity."
    )
    shape: Word | None = Field(default=None, description="Machine, as the policy chooses it.")
    count: int | None = Field(default=None, description="Accelerators; 0 for CPUs.")
    hours: float | None = Field(default=None, description="Time to expect.")
    gpu_hours: float | None = Field(default=None, description="Accelerator time to expect.")
    cost: float | None = Field(default=None, description="Money to expect.")
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
    samples: float | None = Field(default=None, description="D it was asked for.")
    points: int = Field(description="Points that were fitted then.")
    seen: float | None = Field(default=None, description="The best value so far.")
    error: float | None = Field(default=None, description="Seen over predicted, less 1.")
    within: Literal["80", "95", "outside"] | None = Field(
        default=None, description="The narrowest interval that holds what was seen."
    )
