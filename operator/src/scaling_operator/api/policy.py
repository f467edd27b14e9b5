"""ResourcePolicy: what machines there are, and how much of them a trial may have."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from scaling_operator.api.fields import ApiSection, Quantity

Label = Annotated[str, Field(max_length=317)]


class Toleration(ApiSection):
    """A Kubernetes toleration."""

    key: Label | None = Field(default=None, description="Taint to tolerate.")
    operator: Literal["Exists", "Equal"] = Field(
        default="Equal", description="How the value is compared."
    )
    value: Label | None = Field(default=None, description="Value of the taint.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        default=None, description="Effect of the taint."
    )


class Shape(ApiSection):
    """One kind of machine or accelerator."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)] = Field(
        description="Name in plans and metrics."
    )
    resource: Label | None = Field(
        default=None, description="Extended resource, such as nvidia.com/gpu; absent: CPU only."
    )
    memory: Quantity | None = Field(default=None, description="Memory of one accelerator.")
    flops: float | None = Field(default=None, gt=0, description="Peak FLOP/s of one accelerator.")
    price_per_hour: float = Field(
        default=0.0, ge=0, description="Of one accelerator, or of the machine without one."
    )
    max_per_pod: int = Field(default=1, ge=1, le=1024, description="Most accelerators of one pod.")
    node_selector: Annotated[dict[Label, Label], Field(max_length=20)] = Field(
        default={}, description="Labels of its nodes."
    )
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=20)] = Field(
        default=(), description="Taints of its nodes."
    )


class Escalation(ApiSection):
    """What follows when memory runs out."""

    max_escalations: int = Field(
        default=4, ge=0, le=20, description="Attempts with more, per trial."
    )
    memory_factor: float = Field(
        default=1.5,
        gt=1,
        le=10,
        description="Host memory of the next attempt, relative to the last.",
    )


class Limits(ApiSection):
    """The most that one trial, or all trials of an experiment or namespace at once, may hold."""

    gpus: int | None = Field(default=None, ge=0, description="Accelerators.")
    cpu: Quantity | None = Field(default=None, description="CPU.")
    memory: Quantity | None = Field(default=None, description="Host memory.")


class PolicyLimits(ApiSection):
    """Limits by whom they bind."""

    trial: Limits = Field(default=Limits(), description="Of one trial.")
    experiment: Limits = Field(
        default=Limits(), description="Of all trials of an experiment together."
    )
    namespace: Limits = Field(
        default=Limits(), description="Of all trials of a namespace together."
    )


class PolicySpec(ApiSection):
    """What machines there are, and the rules."""

    shapes: Annotated[tuple[Shape, ...], Field(min_length=1, max_length=50)] = Field(
        description="Kinds of machines, in any order."
    )
    headroom_percent: float = Field(
        default=10.0, ge=0, lt=100, description="Share of an accelerator's memory that stays free."
    )
    escalation: Escalation = Field(
        default=Escalation(), description="What follows when memory runs out."
    )
    limits: PolicyLimits = Field(default=PolicyLimits(), description="The most anyone may hold.")
    queue: Label | None = Field(default=None, description="Kueue's LocalQueue for the job kind.")


class ResourcePolicy(ApiSection):
    """A ResourcePolicy."""

    api_version: Literal["scaling-operator.dev/v1alpha1"] = "scaling-operator.dev/v1alpha1"
    kind: Literal["ResourcePolicy"] = "ResourcePolicy"
    metadata: dict[str, Any] = Field(default={})
    spec: PolicySpec
