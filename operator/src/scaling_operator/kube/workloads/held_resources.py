"""The machine that a workload was given, as its annotation, and what the workload holds by now.

Nothing here raises: anybody who may edit a workload may have written what is read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from pydantic import ValidationError

from scaling_operator.api.names import ANNOTATION_RESOURCES, LABEL_TRIAL
from scaling_operator.api.quantities import parse_quantity
from scaling_operator.api.status_sizing import AttemptResources
from scaling_operator.core.observed import AttemptPhase, AttemptView
from scaling_operator.kube.workloads.attempt_spec import GracePeriods
from scaling_operator.kube.workloads.untrusted import (
    Json,
    condition,
    mapping,
    mappings,
    text,
    timestamp,
    value,
)
from scaling_operator.sizing.admission import NOTHING, Demand, demand_of_record


def machine_annotation(resources: AttemptResources) -> str:
    """Write the value of the annotation."""
    return resources.model_dump_json(by_alias=True, exclude_none=True)


def with_machine(view: AttemptView, workload: Json) -> AttemptView:
    """Add the workload's machine to a view, with the time since when it has it. Never raises.

    The time counts from when a node takes the pod, not from the start of the program.
    """
    if view.phase is AttemptPhase.ABSENT:
        return view
    started = timestamp(workload, "status", "startTime")
    return replace(view, resources=recorded_machine(workload), started_seconds=started)


def recorded_machine(workload: Json) -> AttemptResources | None:
    """Read the workload's machine; None where no policy gave it one. Never raises."""
    annotation = text(workload, "metadata", "annotations", ANNOTATION_RESOURCES)
    if not annotation:
        return None
    try:
        return AttemptResources.model_validate_json(annotation)
    except ValidationError:  # somebody has edited it
        return None


_ENDED = ("Succeeded", "Failed", "Unknown")


@dataclass(frozen=True, slots=True)
class HeldResources:
    """What a workload holds, and until when at most (seconds since the epoch; None: no end)."""

    demand: Demand
    until_seconds: float | None = None


NONE_HELD = HeldResources(NOTHING)


def held_resources(workload: Json, grace: GracePeriods) -> HeldResources:
    """Give what a Pod or Job of a trial holds: nothing once it has ended.

    A pod whose deletion is long overdue holds nothing either: its node is gone, and a ResourceQuota
    counts alike (https://kubernetes.io/docs/concepts/policy/resource-quotas/).
    """
    if not text(workload, "metadata", "labels", LABEL_TRIAL) or _has_ended(workload):
        return NONE_HELD
    due = timestamp(workload, "metadata", "deletionTimestamp")
    until = None if due is None else due + grace.deletion_grace_seconds
    machine = recorded_machine(workload)
    return HeldResources(
        _requested(workload) if machine is None else demand_of_record(machine), until
    )


def _has_ended(workload: Json) -> bool:
    finished = (condition(workload, kind).get("status") for kind in ("Complete", "Failed"))
    return text(workload, "status", "phase") in _ENDED or "True" in finished


def _requested(workload: Json) -> Demand:
    """Read the requests of a workload that no policy has sized."""
    template = value(workload, "spec", "template", "spec")
    pod = mapping(workload, "spec") if template is None else mapping(template)
    gpus, cores, memory_bytes = 0, 0.0, 0.0
    for container in mappings(pod, "containers"):
        requested = {**mapping(container, "resources", "limits")}
        requested |= mapping(container, "resources", "requests")
        cores += _amount(requested, "cpu")
        memory_bytes += _amount(requested, "memory")
        # Accelerators are extended resources: only those have a domain in their name.
        gpus += sum(int(_amount(requested, name)) for name in requested if "/" in name)
    return Demand(gpus, cores, memory_bytes)


def _amount(requested: Json, name: str) -> float:
    try:
        return parse_quantity(str(requested.get(name, "0")))
    except ValueError:  # a form that the operator never writes
        return 0.0
