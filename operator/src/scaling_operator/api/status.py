"""What the status of an experiment and of a trial says.

An experiment's has constant size however many trials.

`result.json` has the keys of ExperimentStatus; `trials.csv` those of TrialStatus.
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

Parameters = Annotated[dict[ParameterName, BoundedScalar], Field(max_length=120)]
Metrics = Annotated[dict[MetricName, float], Field(max_length=500)]
Message = Annotated[str, Field(max_length=1024)]
MAX_CURVE_POINTS = 64


class Condition(ApiSection):
    """A Kubernetes condition."""

    type: Annotated[str, Field(max_length=63)]
    status: Annotated[str, Field(pattern="^(True|False|Unknown)$")]
    reason: Annotated[str, Field(max_length=63)]
    message: Message = ""
    last_transition_time: datetime | None = None
    observed_generation: int | None = None


class Counts(ApiSection):
    """Trials by state."""

    running: int = 0
    queued: int = 0
    succeeded: int = 0
    pruned: int = 0
    failed: int = 0
    stopped: int = 0
    max: int = Field(default=0, description="How many there will be at most, all scales together.")


class BestTrial(ApiSection):
    """A trial that nothing beats (so far)."""

    trial: Annotated[str, Field(max_length=63)] = Field(description="<scale>-<number>")
    scale: int
    number: int
    parameters: Parameters = Field(default={})
    values: Annotated[tuple[float, ...], Field(max_length=8)] = Field(
        description="In the objectives' order."
    )
    metrics: Metrics = Field(default={})
    test_metrics: Metrics | None = Field(
        default=None, description="Computed once, for the best trial alone."
    )
    model_parameters: float | None = Field(default=None, description="N")
    samples: float | None = Field(default=None, description="D")
    flops: float | None = Field(default=None, description="C")


class Range(ApiSection):
    """The range of a parameter at one scale."""

    low: float
    high: float


class ScaleStatus(ApiSection):
    """One rung: what it is, how far it is, what it found."""

    index: int
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
    counts: Counts = Counts()
    best: BestTrial | None = None


class ExperimentStatus(ApiSection):
    """Where an experiment stands."""

    observed_generation: int | None = None
    phase: Phase = Phase.PENDING
    conditions: Annotated[tuple[Condition, ...], Field(max_length=30)] = ()
    start_time: datetime | None = None
    completion_time: datetime | None = None
    counts: Counts = Counts()
    best: BestTrial | None = Field(
        default=None, description="Of the only scale, or of the one with the best value."
    )
    front: Annotated[tuple[BestTrial, ...], Field(max_length=50)] = Field(
        default=(), description="The Pareto front of several objectives."
    )
    scales: Annotated[tuple[ScaleStatus, ...], Field(max_length=MAX_SCALES + 10)] = ()


class CurvePoint(ApiSection):
    """The objective after a step."""

    step: int = Field(ge=1)
    value: float


class Attempt(ApiSection):
    """One run of a trial."""

    number: int = Field(ge=0, lt=MAX_ATTEMPTS)
    reason: Reason | None = Field(default=None, description="Why it ended without a value.")
    message: Message = ""
    exit_code: int | None = None
    start_time: datetime | None = None
    completion_time: datetime | None = None


class TrialStatus(ApiSection):
    """Where a trial stands. The first end that is written stays."""

    state: TrialState = TrialState.RUNNING
    reason: Reason | StopReason | None = None
    message: Message = ""
    attempts: Annotated[tuple[Attempt, ...], Field(max_length=MAX_ATTEMPTS)] = ()
    completion_time: datetime | None = None
    values: Annotated[tuple[float, ...], Field(max_length=8)] = Field(
        default=(), description="In the objectives' order."
    )
    metrics: Metrics = Field(default={})
    model_parameters: float | None = Field(default=None, ge=0, description="N")
    samples: float | None = Field(default=None, ge=0, description="D")
    flops: float | None = Field(default=None, ge=0, description="C")
    steps: int | None = Field(default=None, ge=0)
    seconds: float | None = Field(default=None, ge=0, description="Training time.")
    step_seconds: float | None = Field(default=None, ge=0)
    peak_host_bytes: float | None = Field(default=None, ge=0)
    peak_device_bytes: float | None = Field(default=None, ge=0)
    curve: Annotated[tuple[CurvePoint, ...], Field(max_length=MAX_CURVE_POINTS)] = ()
