"""ScalingTrial: one set of parameters at one scale. The object is the record; there is no other."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from scaling_operator.api.fields import ApiSection, ParameterName
from scaling_operator.api.names import MAX_TRIALS_PER_SCALE, TrialKey, trial_id
from scaling_operator.api.status import Parameters, TrialStatus


class ExperimentReference(ApiSection):
    """The experiment a trial belongs to; the uid tells a re-created one apart."""

    name: Annotated[str, Field(max_length=63)] = Field(description="Its name.")
    uid: Annotated[str, Field(max_length=63)] = Field(description="Its uid.")


class TrialSpec(ApiSection):
    """What Optuna proposed, immutable."""

    experiment: ExperimentReference = Field(description="Whose trial it is.")
    scale: int = Field(ge=0, description="Index of the rung.")
    number: int = Field(
        ge=0, lt=MAX_TRIALS_PER_SCALE, description="Counts from 0 within the scale."
    )
    parameters: Parameters = Field(
        default={},
        description="Searched parameters and those of the rung; inactive ones are absent.",
    )
    searched: Annotated[tuple[ParameterName, ...], Field(max_length=100)] = Field(
        default=(), description="Which of them the sampler proposed."
    )
    sampler_attributes: Annotated[dict[str, Any], Field(max_length=20)] = Field(
        default={}, description="JSON that a sampler needs after a restart."
    )
    seed: int = Field(
        ge=0, lt=2**32, description="Of the sampler for this slot, and of the trainer."
    )
    samples: float | None = Field(
        default=None, gt=0, description="D to train for, where the design sets it."
    )

    @property
    def key(self) -> TrialKey:
        """Scale and number: the key of the trial within its experiment."""
        return self.scale, self.number

    @property
    def trial_id(self) -> str:
        """Name of the trial within its experiment."""
        return trial_id(self.scale, self.number)


class ScalingTrial(ApiSection):
    """A trial with its end, once it has one."""

    api_version: Literal["scaling-operator.dev/v1alpha1"] = "scaling-operator.dev/v1alpha1"
    kind: Literal["ScalingTrial"] = "ScalingTrial"
    metadata: dict[str, Any] = Field(default={})
    spec: TrialSpec
    status: TrialStatus = TrialStatus()

    def is_of(self, experiment_uid: str) -> bool:
        """Whether the trial belongs to this experiment, not to a deleted one of the same name."""
        return self.spec.experiment.uid == experiment_uid

    @property
    def created_seconds(self) -> float | None:
        """When the stored object was created, in seconds since the epoch; None where it is not."""
        created = self.metadata.get("creationTimestamp")
        return None if created is None else datetime.fromisoformat(str(created)).timestamp()
