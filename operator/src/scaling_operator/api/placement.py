"""Where a trainer's pods run, and as whom: fields of a Kubernetes pod beside its container.

None of these fields can change what is measured, so all may change while an experiment runs. None
gives more power than creating a pod of the restricted profile does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from scaling_operator.api.fields import (
    ApiSection,
    CheckedSection,
    LabelKey,
    LabelValue,
    ObjectName,
)
from scaling_operator.api.policy import Toleration
from scaling_operator.api.rules import Rule, is_given
from scaling_operator.api.selector import VALUES_SUIT_OPERATOR, Requirement

_NODE = "a trial shares nothing with its node and keeps the restricted profile"
_ONE_CONTAINER = "a trial is one container; prepare the rest in the image"

# Fields of a pod or container that nobody may set, and why.
OUT_OF_BOUNDS: Mapping[str, str] = {
    **dict.fromkeys(("hostNetwork", "hostPID", "hostIPC", "hostUsers", "hostAliases"), _NODE),
    **dict.fromkeys(("privileged", "capabilities", "allowPrivilegeEscalation", "procMount"), _NODE),
    **dict.fromkeys(("sysctls", "seLinuxOptions", "volumeDevices", "windowsOptions"), _NODE),
    **dict.fromkeys(("initContainers", "containers", "ephemeralContainers"), _ONE_CONTAINER),
    "nodeName": "it would pass by the scheduler; use nodeSelector or affinity",
    "schedulerName": "the platform sets it, not an experiment",
    "runtimeClassName": "the platform sets it, not an experiment",
    "priorityClassName": "the platform sets it, in a ResourcePolicy",
    "priority": "the platform sets it, in a ResourcePolicy",
    "automountServiceAccountToken": "a trial's pod holds no token of the API server",
    "serviceAccount": "Kubernetes has replaced it; write serviceAccountName",
    "restartPolicy": "it is Never: the operator repeats attempts, see trials",
    "activeDeadlineSeconds": "the running time is bounded by trials.timeout",
}
_PROFILE = "the restricted profile sets it; allowed here: runAsUser, runAsGroup, fsGroup"
LARGEST_ID = 2**31 - 1


class SecurityContext(ApiSection):
    """Which user and groups the program runs as; the rest is the restricted profile's."""

    REFUSED: ClassVar = {
        **OUT_OF_BOUNDS,
        **dict.fromkeys(
            ("runAsNonRoot", "seccompProfile", "readOnlyRootFilesystem", "appArmorProfile"),
            _PROFILE,
        ),
        "supplementalGroups": "use fsGroup for a claim that belongs to a group",
    }

    run_as_user: int | None = Field(
        default=None,
        ge=1,
        le=LARGEST_ID,
        description="User, never 0. Absent: the platform's, 65532.",
    )
    run_as_group: int | None = Field(
        default=None, ge=0, le=LARGEST_ID, description="Its group. Absent: the user's number."
    )
    fs_group: int | None = Field(
        default=None, ge=0, le=LARGEST_ID, description="Group of volumes. Absent: that of the user."
    )


class PullSecret(ApiSection):
    """A Secret of the same namespace that opens a registry."""

    name: ObjectName = Field(description="Its name.")


def _is_one_number(values: tuple[str, ...]) -> bool:
    return len(values) == 1 and values[0].isdecimal()


_ONE_NUMBER: Rule[Requirement] = Rule(
    holds=lambda requirement: (
        requirement.operator not in ("Gt", "Lt") or _is_one_number(requirement.values)
    ),
    sentence=lambda requirement: f"operator {requirement.operator} needs one whole number",
    cel=f"!(self.operator in ['Gt', 'Lt']) || ({is_given('values')} && size(self.values) == 1 && "
    "self.values[0].matches('^[0-9]+$'))",
    message="operators Gt and Lt need one whole number",
    field="values",
)


class NodeRequirement(CheckedSection):
    """What is asked of one label of a node."""

    RULES: ClassVar[tuple[Rule[Requirement], ...]] = (*VALUES_SUIT_OPERATOR, _ONE_NUMBER)

    key: LabelKey = Field(description="Name of the label.")
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"] = Field(
        description="How it is compared with values."
    )
    values: Annotated[tuple[LabelValue, ...], Field(max_length=50)] = Field(
        default=(),
        description="Some for In and NotIn, one whole number for Gt and Lt, else none.",
    )


class NodeTerm(ApiSection):
    """Nodes that meet every requirement."""

    REFUSED: ClassVar = {"matchFields": "it names a node by itself; use labels"}

    match_expressions: Annotated[
        tuple[NodeRequirement, ...], Field(min_length=1, max_length=10)
    ] = Field(description="What is asked of the node's labels, all of it.")


class NodeTerms(ApiSection):
    """Nodes that meet one of the terms."""

    node_selector_terms: Annotated[tuple[NodeTerm, ...], Field(min_length=1, max_length=10)] = (
        Field(description="One of them has to be met.")
    )


class PreferredNodes(ApiSection):
    """Nodes that are better than others."""

    weight: int = Field(ge=1, le=100, description="How much better.")
    preference: NodeTerm = Field(description="Which nodes.")


class NodeAffinity(ApiSection):
    """Which nodes a pod needs, and which it prefers."""

    required_during_scheduling_ignored_during_execution: NodeTerms | None = Field(
        default=None, description="It runs nowhere else."
    )
    preferred_during_scheduling_ignored_during_execution: Annotated[
        tuple[PreferredNodes, ...], Field(max_length=10)
    ] = Field(default=(), description="Tried first.")


class Affinity(ApiSection):
    """Which nodes a pod is drawn to."""

    REFUSED: ClassVar = dict.fromkeys(
        ("podAffinity", "podAntiAffinity"),
        "it would let a trial keep other people's pods off a node; use nodeAffinity",
    )

    node_affinity: NodeAffinity | None = Field(default=None, description="By labels of nodes.")


class TrainerPod(ApiSection):
    """Where, and as whom, the pods of a trainer run."""

    REFUSED: ClassVar = {
        **OUT_OF_BOUNDS,
        "volumes": "they are part of what is trained: write spec.trainer.container.volumes",
        "topologySpreadConstraints": "trials do not depend on each other; use affinity",
        "resourceClaims": "the machine of a trial stands in spec.resources",
    }

    node_selector: Annotated[dict[LabelKey, LabelValue], Field(max_length=20)] = Field(
        default={}, description="Labels that a node must have, beside those of the policy."
    )
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=20)] = Field(
        default=(), description="Taints to tolerate, beside those of the policy."
    )
    affinity: Affinity = Field(default=Affinity(), description="Nodes it needs or prefers.")
    image_pull_secrets: Annotated[tuple[PullSecret, ...], Field(max_length=10)] = Field(
        default=(), description="Secrets that open registries."
    )
    service_account_name: ObjectName | None = Field(
        default=None, description="One that the operator allows. Absent: default."
    )
    security_context: SecurityContext = Field(
        default=SecurityContext(), description="User and groups."
    )
