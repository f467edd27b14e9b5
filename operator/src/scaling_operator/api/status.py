"""The status of an experiment and of a trial.

The status of an experiment has a constant size, however many trials there are. `result.json` has
the keys of ExperimentStatus; `trials.csv` has those of TrialStatus.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from scaling_operator.api.fields import ApiSection, MetricName, ParameterName
from scaling_operator.api.names import (
    MAX_ATTEMPTS,
    MAX_SCALES,
    Phase,
    Reason,
    StopReason,
    TrialState,
)
from scaling_operator.api.search import BoundedScalar, Point
from scaling_operator.api.status_fit import FitStatus, Recommendation, ScalePrediction
from scaling_operator.api.status_sizing import AttemptResources, Ledger, ScaleSizing
from scaling_trainer.foreign_text import MAX_MESSAGE
from scaling_trainer.results import MAX_STEPS

Parameters = Annotated[dict[ParameterName, BoundedScalar], Field(max_length=120)]
Metrics = Annotated[dict[MetricName, float], Field(max_length=500)]
Message = Annotated[str, Field(max_length=MAX_MESSAGE)]
MAX_CURVE_POINTS = 64
MAX_EARLY_POINTS = 8
MAX_FRONT = 50
MAX_DATA_NOTES = 20
MAX_DATA_NOTE = 500


class Condition(ApiSection):
    """A Kubernetes condition."""

    type: Annotated[str, Field(max_length=63)] = Field(description="What it speaks of.")
    status: Annotated[str, Field(pattern="^(True|False|Unknown)$", max_length=7)] = Field(
        description="True, False or Unknown."
    )
    reason: Annotated[str, Field(max_length=63)] = Field(description="Why, in one word.")
    message: Message = Field(default="", description="Why, in a sentence.")
    last_transition_time: datetime | None = Field(
        default=None, description="When its status last changed."
    )
    observed_generation: int | None = Field(
        default=None, description="Generation of the spec that it speaks of."
    )


class Counts(ApiSection):
    """Trials by state."""

    running: int = Field(default=0, description="An attempt is under way.")
    queued: int = Field(default=0, description="Waiting for a machine.")
    succeeded: int = Field(default=0, description="Ended with a value.")
    pruned: int = Field(default=0, description="Stopped early: not promising.")
    failed: int = Field(default=0, description="Ended without a value.")
    stopped: int = Field(default=0, description="Stopped because the experiment ended.")
    max: int = Field(default=0, description="How many there will be at most, all scales together.")


class BestTrial(ApiSection):
    """A trial that nothing beats (so far)."""

    trial: Annotated[str, Field(max_length=63)] = Field(description="<scale>-<number>")
    scale: int = Field(description="Index of its scale.")
    number: int = Field(description="Its number within the scale.")
    parameters: Parameters = Field(default={}, description="Its parameters, those of the rung too.")
    values: Annotated[tuple[float, ...], Field(max_length=8)] = Field(
        description="In the objectives' order."
    )
    metrics: Metrics = Field(default={}, description="What it reported.")
    test_metrics: Metrics | None = Field(
        default=None, description="Computed once, for the best trial alone."
    )
    model_parameters: float | None = Field(default=None, description="N, parameters of the model.")
    samples: float | None = Field(default=None, description="D, samples or tokens seen.")
    flops: float | None = Field(default=None, description="C, training FLOPs spent.")


class Range(ApiSection):
    """The range of a parameter at one scale."""

    low: float = Field(description="Smallest value.")
    high: float = Field(description="Largest value.")


class ScaleStatus(ApiSection):
    """One rung: what it is, how far it is, what it found."""

    index: int = Field(description="Its place in the ladder, from 0.")
    parameters: Parameters = Field(default={}, description="What the rung sets.")
    samples: float | None = Field(default=None, description="D, where the design sets it.")
    budget_flops: float | None = Field(default=None, description="C, where the design sets it.")
    open: bool = Field(default=False, description="Whether trials of this scale may start.")
    ranges: Annotated[dict[ParameterName, Range], Field(max_length=100)] = Field(
        default={}, description="Ranges that the scale before has narrowed."
    )
    points: Annotated[tuple[Point, ...], Field(max_length=700)] = Field(
        default=(), description="Points to try first."
    )
    counts: Counts = Field(default=Counts(), description="Its trials by state.")
    best: BestTrial | None = Field(default=None, description="Its best trial so far.")
    sizing: ScaleSizing | None = Field(
        default=None, description="What its trials need and get, where a policy says so."
    )
    predicted: ScalePrediction | None = Field(
        default=None, description="What the law said of it before its first trial."
    )


class Export(ApiSection):
    """What became of the best trial's model on the claim."""

    trial: Annotated[str, Field(max_length=63)] = Field(description="Which trial: <scale>-<number>")
    saved: bool = Field(description="Whether model and report lie on the claim.")
    message: Message = Field(default="", description="Where, or why not.")


DataNote = Annotated[str, Field(max_length=MAX_DATA_NOTE)]


class ExperimentStatus(ApiSection):
    """Where an experiment stands."""

    observed_generation: int | None = Field(
        default=None, description="Generation of the spec that this status follows."
    )
    phase: Phase = Field(
        default=Phase.PENDING, description="The conditions at a glance, for people."
    )
    conditions: Annotated[tuple[Condition, ...], Field(max_length=30)] = Field(
        default=(), description="What is so, and why, for programs."
    )
    start_time: datetime | None = Field(default=None, description="When the first trial began.")
    completion_time: datetime | None = Field(default=None, description="When the last one ended.")
    counts: Counts = Field(default=Counts(), description="All trials by state.")
    best: BestTrial | None = Field(
        default=None, description="Of the only scale, or of the one with the best value."
    )
    front: Annotated[tuple[BestTrial, ...], Field(max_length=MAX_FRONT)] = Field(
        default=(),
        description="Of several objectives: trials that no other one dominates, by their values "
        "in the objectives' order. Of more than 50 these are 50, evenly from end to end.",
    )
    scales: Annotated[tuple[ScaleStatus, ...], Field(max_length=MAX_SCALES + 10)] = Field(
        default=(), description="The rungs of the ladder, one where there is none."
    )
    data_notes: Annotated[tuple[DataNote, ...], Field(max_length=MAX_DATA_NOTES)] = Field(
        default=(),
        description="How the data were read, where that may surprise; of a local run.",
    )
    export: Export | None = Field(
        default=None, description="The best trial's model, where there is a claim for artifacts."
    )
    ledger: Ledger | None = Field(default=None, description="GPU hours and cost.")
    fit: FitStatus | None = Field(
        default=None, description="How the value depends on size; for a ladder."
    )
    recommendations: Annotated[tuple[Recommendation, ...], Field(max_length=20)] = Field(
        default=(), description="Which size to train, for each of spec.scaling.targets."
    )


class CurvePoint(ApiSection):
    """The objective after a step."""

    step: int = Field(ge=1, le=MAX_STEPS, description="Evaluations so far.")
    value: float = Field(description="The objective.")
    phase: Annotated[str, Field(max_length=32)] | None = Field(
        default=None, description="Of the learning rate's schedule; only stable ones are compared."
    )


class EarlyPoint(ApiSection):
    """What a shorter training would have come to: the rate had decayed once before the end."""

    samples: float = Field(ge=0, description="D until then.")
    flops: float | None = Field(default=None, ge=0, description="C until then.")
    value: float = Field(description="The objective.")


class Attempt(ApiSection):
    """One run of a trial."""

    number: int = Field(ge=0, lt=MAX_ATTEMPTS, description="Counts from 0.")
    reason: Reason | None = Field(default=None, description="Why it ended without a value.")
    message: Message = Field(default="", description="The reason in a sentence.")
    exit_code: int | None = Field(default=None, description="Of the trainer's process.")
    resources: AttemptResources | None = Field(default=None, description="The machine it had.")
    start_time: datetime | None = Field(default=None, description="When it began.")
    completion_time: datetime | None = Field(default=None, description="When it ended.")


class TrialStatus(ApiSection):
    """Where a trial stands. The first end that is written stays."""

    state: TrialState = Field(
        default=TrialState.RUNNING, description="Running, Queued, or how it ended."
    )
    reason: Reason | StopReason | None = Field(
        default=None, description="Why it waits, or ended without a value."
    )
    message: Message = Field(default="", description="The reason in a sentence.")
    queued_time: datetime | None = Field(
        default=None, description="Since when it waits for a machine, where it does."
    )
    attempts: Annotated[tuple[Attempt, ...], Field(max_length=MAX_ATTEMPTS)] = Field(
        default=(), description="Its runs; the last one is the current one."
    )
    completion_time: datetime | None = Field(default=None, description="When it ended.")
    values: Annotated[tuple[float, ...], Field(max_length=8)] = Field(
        default=(), description="In the objectives' order."
    )
    metrics: Metrics = Field(default={}, description="What the trainer reported last.")
    model_parameters: float | None = Field(
        default=None, ge=0, description="N, parameters of the model."
    )
    samples: float | None = Field(default=None, ge=0, description="D, samples or tokens seen.")
    flops: float | None = Field(default=None, ge=0, description="C, training FLOPs spent.")
    steps: int | None = Field(default=None, ge=0, le=MAX_STEPS, description="Optimizer steps.")
    seconds: float | None = Field(default=None, ge=0, description="Training time.")
    step_seconds: float | None = Field(default=None, ge=0, description="Time of one step.")
    peak_host_bytes: float | None = Field(
        default=None, ge=0, description="Most host memory in use at once."
    )
    peak_device_bytes: float | None = Field(
        default=None, ge=0, description="Most accelerator memory in use at once."
    )
    gpu_hours: float | None = Field(default=None, ge=0, description="Of all its attempts.")
    cost: float | None = Field(default=None, ge=0, description="Of all its attempts.")
    curve: Annotated[tuple[CurvePoint, ...], Field(max_length=MAX_CURVE_POINTS)] = Field(
        default=(), description="The objective over the steps, thinned out."
    )
    points: Annotated[tuple[EarlyPoint, ...], Field(max_length=MAX_EARLY_POINTS)] = Field(
        default=(), description="Further points (N, D) of the same run."
    )
