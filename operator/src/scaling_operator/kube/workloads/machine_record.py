"""What machine a workload was given, written on it and read back: its end may come much later."""

from __future__ import annotations

from dataclasses import replace

from pydantic import ValidationError

from scaling_operator.api.names import ANNOTATION_RESOURCES
from scaling_operator.api.status_sizing import AttemptResources
from scaling_operator.core.observed import AttemptPhase, AttemptView
from scaling_operator.kube.workloads.untrusted import Json, moment, text


def written_record(resources: AttemptResources) -> str:
    """Write the machine as the annotation has it."""
    return resources.model_dump_json(by_alias=True, exclude_none=True)


def with_record(view: AttemptView, workload: Json) -> AttemptView:
    """Add to a view what machine the workload was given, and since when it has it. Never raises.

    A machine is taken when a node takes the pod, not when the program starts.
    """
    if view.phase is AttemptPhase.ABSENT:
        return view
    started = moment(workload, "status", "startTime")
    return replace(view, resources=recorded(workload), started_seconds=started)


def recorded(workload: Json) -> AttemptResources | None:
    """Read what machine a workload was given; None where no policy gave it one. Never raises."""
    written = text(workload, "metadata", "annotations", ANNOTATION_RESOURCES)
    if not written:
        return None
    try:
        return AttemptResources.model_validate_json(written)
    except ValidationError:  # somebody has edited it
        return None
