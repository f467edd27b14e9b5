"""ResourcePolicy: what machines there are, and how much of them a trial may have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from pydantic.alias_generators import to_camel

from scaling_operator.api.fields import ApiSection, CheckedSection, Quantity, ResourceName
from scaling_operator.api.names import DNS_LABEL_LENGTH, DNS_LABEL_PATTERN
from scaling_operator.api.problems import Problem
from scaling_operator.api.quantities import parse_quantity
from scaling_operator.api.rules import Rule, is_unique
from scaling_operator.api.selector import LabelSelector
from scaling_operator.api.status import Condition

Label = Annotated[str, Field(max_length=317)]


_EXISTS = "(has(self.operator) && self.operator == 'Exists')"


class Toleration(CheckedSection):
    """A Kubernetes toleration."""

    RULES: ClassVar[tuple[Rule[Toleration], ...]] = (
        Rule(
            holds=lambda toleration: toleration.operator != "Exists" or not toleration.value,
            cel=f"!{_EXISTS} || !has(self.value) || self.value == ''",
            message="operator Exists takes no value",
            field="value",
        ),
        Rule(
            holds=lambda toleration: toleration.operator == "Exists" or bool(toleration.key),
            cel=f"{_EXISTS} || (has(self.key) && self.key != '')",
            message="without a key, operator must be Exists",
            field="key",
        ),
    )

    key: Label | None = Field(default=None, description="Taint to tolerate.")
    operator: Literal["Exists", "Equal"] = Field(
        default="Equal", description="How the value is compared."
    )
    value: Label | None = Field(default=None, description="Value of the taint.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        default=None, description="Effect of the taint."
    )


def _is_above_zero(attribute: str) -> Rule[Shape]:
    """Ask an optional quantity for more than nothing."""

    def holds(shape: Shape) -> bool:
        amount: str | None = getattr(shape, attribute)
        return amount is None or parse_quantity(amount) > 0

    value = f"self.{to_camel(attribute)}"
    sentence = "must be above 0"
    return Rule(
        holds=holds,
        sentence=sentence,
        cel=f"!has({value}) || (type({value}) == int ? {value} > 0 : "
        f"isQuantity({value}) && quantity({value}).isGreaterThan(quantity('0')))",
        message=f"{to_camel(attribute)} {sentence}",
        field=to_camel(attribute),
    )


_MEMORY_IS_REQUIRED = "is required with resource: an accelerator has memory"
_GOES_WITH_RESOURCE = "goes with resource only"


class Shape(CheckedSection):
    """One kind of machine or accelerator."""

    RULES: ClassVar[tuple[Rule[Shape], ...]] = (
        Rule(
            holds=lambda shape: shape.resource is None or shape.memory is not None,
            sentence=_MEMORY_IS_REQUIRED,
            cel="!has(self.resource) || has(self.memory)",
            message=f"memory {_MEMORY_IS_REQUIRED}",
            field="memory",
            reason="FieldValueRequired",
        ),
        Rule(
            holds=lambda shape: shape.resource is not None or shape.max_per_pod == 1,
            sentence=_GOES_WITH_RESOURCE,
            cel="has(self.resource) || !has(self.maxPerPod) || self.maxPerPod == 1",
            message=f"maxPerPod {_GOES_WITH_RESOURCE}",
            field="maxPerPod",
        ),
        _is_above_zero("memory"),
        _is_above_zero("host_memory"),
    )

    name: Annotated[str, Field(pattern=DNS_LABEL_PATTERN, max_length=DNS_LABEL_LENGTH)] = Field(
        description="Name in plans and metrics."
    )
    resource: ResourceName | None = Field(
        default=None,
        description="Extended resource, such as nvidia.com/gpu, amd.com/gpu or "
        "nvidia.com/mig-1g.10gb; absent: CPU only.",
    )
    memory: Quantity | None = Field(
        default=None, description="Memory of one accelerator; required with resource."
    )
    host_memory: Quantity | None = Field(
        default=None, description="Most host memory that a pod may ask of such a node."
    )
    flops: float | None = Field(
        default=None,
        gt=0,
        description="Peak FLOP/s of one accelerator; without one, of one CPU core. "
        "Without it hours and cost are unknown.",
    )
    utilization: float = Field(
        default=0.4,
        gt=0,
        le=1,
        description="Share of the peak that training reaches, until measured.",
    )
    bandwidth: float | None = Field(
        default=None,
        gt=0,
        description="Bytes per second between the accelerators of a node; absent: no loss is "
        "reckoned with.",
    )
    price_per_hour: float = Field(
        default=0.0, ge=0, description="Of one accelerator, or of one CPU core without one."
    )
    interruption_percent: float = Field(
        default=0.0,
        ge=0,
        le=1000,
        description="Time that interruptions cost, such as those of spot machines.",
    )
    max_per_pod: int = Field(default=1, ge=1, le=1024, description="Most accelerators of one pod.")
    shared: bool = Field(
        default=False, description="Time slicing or MPS: memory or faults are not isolated."
    )
    device_class: Annotated[str, Field(max_length=253)] | None = Field(
        default=None, description="DeviceClass for the backend dra."
    )
    device_selector: Annotated[str, Field(max_length=2048)] | None = Field(
        default=None, description="CEL expression that a device must meet, for the backend dra."
    )
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
        description="Host memory of the next attempt, relative to the last; at least 1Gi more.",
    )
    memory_cap: Quantity | None = Field(
        default=None, description="Most host memory of an attempt; absent: what limits and the "
        "shape allow."
    )  # fmt: skip
    micro_batch: bool = Field(
        default=True, description="Halve the micro-batch and double the accumulation."
    )
    recompute: bool = Field(default=True, description="Compute activations again.")
    shapes: bool = Field(default=True, description="Go on to the next shape or count.")


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


class UnknownNeeds(ApiSection):
    """What a trainer of one's own gets where `estimate` says nothing."""

    cpu: Quantity = Field(default="1", description="CPU.")
    memory: Quantity = Field(default="2Gi", description="Host memory.")


def _shapes_differ(policy: PolicySpec) -> Iterator[Problem]:
    names: set[str] = set()
    for index, shape in enumerate(policy.shapes):
        if shape.name in names:
            sentence = f"name {shape.name} stands twice; each shape has its own"
            yield Problem(f"shapes[{index}]", sentence)
        names.add(shape.name)


def _without_class(policy: PolicySpec) -> tuple[str, ...]:
    """Shapes of accelerators that the backend dra could not claim."""
    return tuple(
        shape.name for shape in policy.shapes if shape.resource and shape.device_class is None
    )


class PolicySpec(CheckedSection):
    """What machines there are, and the rules."""

    RULES: ClassVar[tuple[Rule[PolicySpec], ...]] = (
        Rule(
            check=_shapes_differ,
            cel=is_unique("shapes", "name"),
            message="each shape has a name of its own",
            field="shapes",
        ),
        Rule(
            holds=lambda policy: policy.backend != "dra" or not _without_class(policy),
            sentence=lambda policy: (
                f"backend dra needs deviceClass of shape {', '.join(_without_class(policy))}"
            ),
            cel="!has(self.backend) || self.backend != 'dra' || "
            "self.shapes.all(each, !has(each.resource) || has(each.deviceClass))",
            message="backend dra needs deviceClass of every shape with a resource",
            field="backend",
        ),
    )

    shapes: Annotated[tuple[Shape, ...], Field(min_length=1, max_length=50)] = Field(
        description="Kinds of machines, in any order; the first of equals is taken."
    )
    headroom_percent: float = Field(
        default=10.0, ge=0, lt=100, description="Share of an accelerator's memory that stays free."
    )
    first_margin_percent: float = Field(
        default=25.0,
        ge=0,
        le=400,
        description="Added to an estimate that nothing was measured for.",
    )
    margin_percent: float = Field(
        default=10.0, ge=0, le=400, description="Most that is added once something was measured."
    )
    min_efficiency: float = Field(
        default=0.7,
        ge=0,
        le=1,
        description="No more accelerators where each would do less than this share of its work "
        "alone.",
    )
    escalation: Escalation = Field(
        default=Escalation(), description="What follows when memory runs out."
    )
    limits: PolicyLimits = Field(default=PolicyLimits(), description="The most anyone may hold.")
    unknown: UnknownNeeds = Field(
        default=UnknownNeeds(), description="For a trainer that nothing is known of."
    )
    sharing: Literal["never", "hpoOnly"] = Field(
        default="never",
        description="Whether shared shapes serve plain search; a ladder never gets one.",
    )
    backend: Literal["extended", "dra"] = Field(
        default="extended",
        description="Extended resources, or ResourceClaimTemplates of resource.k8s.io/v1.",
    )
    queue: Label | None = Field(default=None, description="Kueue's LocalQueue for the job kind.")
    priority_class: Annotated[str, Field(max_length=253)] | None = Field(
        default=None, description="PriorityClass of the pods."
    )
    namespace_selector: LabelSelector | None = Field(
        default=None, description="Namespaces whose experiments may follow it; absent: all."
    )


class PolicyStatus(ApiSection):
    """Whether a policy can be used."""

    observed_generation: int | None = Field(
        default=None, description="Generation of the spec that this status follows."
    )
    conditions: Annotated[tuple[Condition, ...], Field(max_length=10)] = Field(
        default=(), description="Ready, with the reason where it is not."
    )


class ResourcePolicy(ApiSection):
    """A ResourcePolicy."""

    api_version: Literal["scaling-operator.dev/v1alpha1"] = "scaling-operator.dev/v1alpha1"
    kind: Literal["ResourcePolicy"] = "ResourcePolicy"
    metadata: dict[str, Any] = Field(default={})
    spec: PolicySpec
    status: PolicyStatus | None = None

    @property
    def name(self) -> str:
        """Its name; `default` where a file has none."""
        return str(self.metadata.get("name", "default"))
