"""ScalingExperiment: the question a person writes."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from scaling_operator.api.container import Container
from scaling_operator.api.estimate import Estimate
from scaling_operator.api.fields import (
    ApiSection,
    CheckedSection,
    Duration,
    MetricName,
    Quantity,
    ResourceName,
)
from scaling_operator.api.names import (
    EXPERIMENT_NAME_LENGTH,
    EXPERIMENT_NAME_PATTERN,
    MAX_TRIALS_PER_SCALE,
)
from scaling_operator.api.placement import TrainerPod
from scaling_operator.api.rules import Rule, at_most_one_of
from scaling_operator.api.scaling import Scaling
from scaling_operator.api.search import Search
from scaling_operator.api.status import ExperimentStatus
from scaling_trainer.config.builtin import BuiltIn


class Objective(ApiSection):
    """A metric to make small or large."""

    metric: MetricName = Field(description="Name of the metric, such as val_loss.")
    direction: Literal["minimize", "maximize"] = Field(description="Which way is better.")
    goal: float | None = Field(
        default=None, description="A value that is good enough: it ends the search of its scale."
    )


class Trials(ApiSection):
    """How many trials, how many at once, and how much may go wrong."""

    max: int | None = Field(
        default=None,
        ge=1,
        le=MAX_TRIALS_PER_SCALE,
        description="Trials of a scale, however they end. Absent: every point of a grid, else 40.",
    )
    parallel: int = Field(
        default=1, ge=1, le=1000, description="Trials at once, in the whole experiment."
    )
    max_failed: int = Field(
        default=5,
        ge=0,
        le=MAX_TRIALS_PER_SCALE,
        description="More failed trials than this fail the experiment.",
    )
    timeout: Duration = Field(
        default="24h", validate_default=True, description="Longest running time of one attempt."
    )
    pending_timeout: Duration = Field(
        default="1h", validate_default=True, description="Longest wait of a trial for its machine."
    )
    max_interruptions: int = Field(
        default=10, ge=0, le=90, description="Evictions, preemptions and lost nodes in a row."
    )


class Budget(ApiSection):
    """What the experiment may use in all."""

    duration: Duration | None = Field(default=None, description="Time from the first trial on.")
    gpu_hours: float | None = Field(default=None, gt=0, description="GPU hours.")
    cost: float | None = Field(default=None, gt=0, description="Money, in the policy's currency.")
    on_exceeded: Literal["stop", "suspend"] = Field(default="stop", description="What follows.")


class FixedResources(ApiSection):
    """The same machine for every trial."""

    gpus: int = Field(default=0, ge=0, le=1024, description="Accelerators.")
    resource: ResourceName = Field(
        default="nvidia.com/gpu", description="Extended resource that gpus counts."
    )
    cpu: Quantity | None = Field(default=None, description="CPU, such as 2 or 500m.")
    memory: Quantity | None = Field(default=None, description="Memory, such as 4Gi.")


class Resources(CheckedSection):
    """The machine of a trial: computed by a policy, or fixed."""

    RULES: ClassVar[tuple[Rule[Resources], ...]] = (at_most_one_of("estimate", "fixed"),)

    policy: Annotated[str, Field(max_length=253)] = Field(
        default="default", description="Name of a ResourcePolicy."
    )
    estimate: Estimate | None = Field(
        default=None, description="What a container of your own needs; the built-in is known."
    )
    fixed: FixedResources | None = Field(
        default=None, description="Instead of what the policy computes, within its limits."
    )


class Trainer(CheckedSection):
    """What runs a trial: exactly one of builtIn, container."""

    RULES: ClassVar[tuple[Rule[Trainer], ...]] = (
        Rule(
            holds=lambda trainer: (trainer.built_in is None) != (trainer.container is None),
            cel="has(self.builtIn) != has(self.container)",
            message="set exactly one of builtIn, container",
        ),
    )

    built_in: BuiltIn | None = Field(
        default=None, description="The trainer of this project; its fields are snake_case."
    )
    container: Container | None = Field(
        default=None, description="An image or command of your own."
    )
    pod: TrainerPod = Field(
        default=TrainerPod(), description="Where, and as whom, its pods run; for either trainer."
    )


class ClaimReference(ApiSection):
    """A PersistentVolumeClaim of the same namespace."""

    claim_name: Annotated[str, Field(min_length=1, max_length=253)] = Field(description="Its name.")


class EmptyDirectory(ApiSection):
    """A folder that lives as long as the pod."""


class Artifacts(CheckedSection):
    """Where data are read from and models are kept; at most one of the two."""

    RULES: ClassVar[tuple[Rule[Artifacts], ...]] = (
        at_most_one_of("persistent_volume_claim", "empty_dir"),
    )

    persistent_volume_claim: ClaimReference | None = Field(
        default=None, description="Kept: checkpoints, the best model, the report."
    )
    empty_dir: EmptyDirectory | None = Field(default=None, description="Not kept.")


class ExperimentSpec(ApiSection):
    """What is asked."""

    # The rules between its sections stand in `validation`, by topic.

    objective: Objective | None = Field(
        default=None, description="The metric to optimise; or objectives."
    )
    objectives: tuple[Objective, ...] = Field(
        default=(), max_length=8, description="Two or more metrics, for a Pareto front."
    )
    search: Search = Field(default=Search(), description="What is tuned, and how.")
    scaling: Scaling | None = Field(
        default=None, description="The ladder of sizes; absent: plain search."
    )
    trials: Trials = Field(
        default=Trials(), description="How many trials, and how much may go wrong."
    )
    budget: Budget = Field(default=Budget(), description="What the experiment may use in all.")
    resources: Resources = Field(default=Resources(), description="The machine of a trial.")
    trainer: Trainer = Field(description="What runs a trial.")
    artifacts: Artifacts = Field(default=Artifacts(), description="Where data and models lie.")
    suspend: bool = Field(
        default=False, description="Start nothing and stop what runs, until it is false again."
    )

    @property
    def all_objectives(self) -> tuple[Objective, ...]:
        """The objectives in order, one or several."""
        return self.objectives if self.objective is None else (self.objective,)


class Metadata(ApiSection):
    """Name and labels. In a file only the name matters; unknown keys are Kubernetes' own."""

    model_config = ConfigDict(extra="ignore")

    name: Annotated[str, Field(pattern=EXPERIMENT_NAME_PATTERN, max_length=EXPERIMENT_NAME_LENGTH)]
    namespace: str | None = None
    uid: str | None = None
    generation: int | None = None


class ScalingExperiment(ApiSection):
    """A ScalingExperiment, as a file holds it."""

    api_version: Literal["scaling-operator.dev/v1alpha1"] = "scaling-operator.dev/v1alpha1"
    kind: Literal["ScalingExperiment"] = "ScalingExperiment"
    metadata: Metadata
    spec: ExperimentSpec
    status: ExperimentStatus | None = None
