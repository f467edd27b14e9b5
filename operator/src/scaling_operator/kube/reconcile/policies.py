"""ResourcePolicies of the cluster: which one an experiment uses, and whether it can be used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.names import ConditionReason, ConditionType
from scaling_operator.api.policy import PolicyStatus, ResourcePolicy
from scaling_operator.api.problems import InvalidSpec, listing
from scaling_operator.api.status import Condition
from scaling_operator.core.conditions import Finding, as_condition
from scaling_operator.kube.client.client import Client, Object
from scaling_operator.kube.client.errors import ClusterBusy, ClusterForbidden, NotFound
from scaling_operator.kube.client.index import Index, Key
from scaling_operator.kube.client.kinds import NODES, POLICIES
from scaling_operator.runtime.sizer import UnusablePolicy
from scaling_operator.sizing.machines import NodeView, not_offered
from scaling_operator.validation.load import policy_of
from scaling_trainer.foreign_text import as_message

SizingInputs = tuple[tuple[str, int] | None, Object | None, Object | None]
"""A policy's uid and generation, if it exists; `spec.resources`; the namespace's labels, if the
policy selects by them."""
NOT_SEEN_PAUSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Policies:
    """The policies of the index."""

    index: Index

    def sizing_inputs(self, experiment: Object) -> SizingInputs:
        """Give what the sizes of an experiment's trials depend on: a change means new sizes."""
        policy = self.index.policies.get(_policy_name(experiment))
        resources = experiment["spec"].get("resources")
        if policy is None:
            return None, resources, None
        metadata: Object = policy["metadata"]
        version = str(metadata["uid"]), int(metadata.get("generation", 0))
        is_selective = "namespaceSelector" in policy["spec"]
        namespace = self.index.namespaces.get(experiment["metadata"]["namespace"])
        return version, resources, _labels(namespace) if is_selective and namespace else None

    def find(self, spec: ExperimentSpec, namespace: str) -> ResourcePolicy | UnusablePolicy | None:
        """Find an experiment's policy; None where it names none and no default exists.

        Raises ClusterBusy where the policy selects namespaces, and no watch has shown this one yet.
        """
        name = spec.resources.policy
        stored = self.index.policies.get(name)
        if stored is None and "policy" not in spec.resources.model_fields_set:
            return None
        if stored is None:
            names = listing(sorted(self.index.policies)) or "none"
            message = f"spec.resources.policy {name}: there is no such ResourcePolicy; there are "
            return UnusablePolicy(ConditionReason.POLICY_NOT_FOUND, message + names)
        policy = read_policy(stored)
        if isinstance(policy, str):
            message = f"ResourcePolicy {name}: {policy}"
            return UnusablePolicy(ConditionReason.POLICY_INVALID, as_message(message))
        if not self._is_for(policy, namespace):
            selector = policy.spec.namespace_selector
            message = (
                f"spec.resources.policy {name}: it is not for namespace {namespace}; "
                f"its namespaceSelector allows those labelled {selector}"
            )
            return UnusablePolicy(ConditionReason.POLICY_NOT_ALLOWED, as_message(message))
        return policy

    def _is_for(self, policy: ResourcePolicy, namespace: str) -> bool:
        selector = policy.spec.namespace_selector
        if selector is None:
            return True
        object_ = self.index.namespaces.get(namespace)
        if object_ is None:
            message = f"namespace {namespace} has not been seen yet"
            raise ClusterBusy(message, NOT_SEEN_PAUSE_SECONDS)
        return selector.selects(_labels(object_))

    def names_used(self, experiments: Mapping[Key, Object]) -> Iterator[tuple[Key, str]]:
        """Give each experiment with the name of its policy."""
        for key, experiment in experiments.items():
            yield key, _policy_name(experiment)


def _labels(namespace: Object) -> dict[str, str]:
    return namespace["metadata"].get("labels") or {}


def _policy_name(experiment: Object) -> str:
    spec: Object = experiment.get("spec") or {}
    resources: Object = spec.get("resources") or {}
    return str(resources.get("policy", "default"))


def read_policy(stored: Object) -> ResourcePolicy | str:
    """Read a stored policy, or list its problems: an older CRD may have accepted them."""
    document = {key: stored[key] for key in ("apiVersion", "kind", "spec") if key in stored}
    document["metadata"] = {"name": stored["metadata"]["name"]}
    try:
        return policy_of(document)
    except InvalidSpec as error:
        return "; ".join(str(problem) for problem in error.problems)


ConditionChange = tuple[tuple[Condition, ...], tuple[Condition, ...]]
"""The conditions of a policy before and after."""


async def publish_policy(
    client: Client, index: Index, name: str, clock: Callable[[], float]
) -> ConditionChange | None:
    """Write into a policy's status whether it can be used; None where nothing has changed.

    Raises Conflict where the policy has changed meanwhile: the watch will show that change.
    """
    stored = index.policies.get(name)
    if stored is None:
        return None
    before = PolicyStatus.model_validate(stored.get("status") or {})
    policy, generation = read_policy(stored), int(stored["metadata"].get("generation", 0))
    findings = [_readiness(policy)]
    if isinstance(policy, ResourcePolicy):
        offered = await _offered(client, policy)
        findings += [] if offered is None else [offered]
    conditions = tuple(
        as_condition(finding, before.conditions, generation, clock()) for finding in findings
    )
    status = PolicyStatus(observed_generation=generation, conditions=conditions)
    if status == before:
        return None
    body = {
        "metadata": {"resourceVersion": stored["metadata"]["resourceVersion"]},
        "status": status.model_dump(mode="json", exclude_none=True),
    }
    try:
        index.put(POLICIES, await client.apply_status(POLICIES, None, name, body))
    except NotFound:
        return None
    return before.conditions, conditions


def _readiness(policy: ResourcePolicy | str) -> Finding:
    if isinstance(policy, ResourcePolicy):
        return Finding(ConditionType.READY, is_true=True, reason=ConditionReason.VALID_POLICY)
    reason = ConditionReason.POLICY_INVALID
    return Finding(ConditionType.READY, is_true=False, reason=reason, message=policy)


async def _offered(client: Client, policy: ResourcePolicy) -> Finding | None:
    """Compare a policy's shapes with the nodes; None where the operator may not list nodes."""
    try:
        nodes = await client.list(NODES, None)
    except ClusterForbidden:
        return None
    views = [_node_view(node) for node in nodes]
    missing = not_offered(policy.spec, views)
    kind = ConditionType.OFFERED
    if not missing:
        return Finding(kind, is_true=True, reason=ConditionReason.SHAPES_OFFERED)
    message = f"no node offers {', '.join(missing)} now; trials that get it wait"
    reason = ConditionReason.SHAPE_NOT_OFFERED
    return Finding(kind, is_true=False, reason=reason, message=message)


def _node_view(node: Object) -> NodeView:
    status: Object = node.get("status") or {}
    labels: dict[str, str] = node["metadata"].get("labels") or {}
    allocatable: dict[str, str] = status.get("allocatable") or {}
    return NodeView(labels, allocatable)
