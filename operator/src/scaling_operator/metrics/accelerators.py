"""Accelerators that an experiment's pods ask for and have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from scaling_operator.api.names import LABEL_SCALE
from scaling_operator.metrics import families
from scaling_operator.metrics.stored_state import Sample, View

UNSHAPED = "none"
"""Where the experiment fixes its resources: no shape of a policy."""


def machines(view: View, pods: Iterable[Mapping[str, Any]]) -> Iterator[Sample]:
    """Sum up accelerators by shape, over pods that are not over."""
    shapes = {str(scale.index): scale.sizing for scale in view.status.scales}
    requested: dict[str, float] = {}
    in_use: dict[str, float] = {}
    for pod in pods:
        count = accelerators(pod)
        phase = pod.get("status", {}).get("phase")
        if not count or phase in ("Succeeded", "Failed"):
            continue
        sizing = shapes.get(pod["metadata"].get("labels", {}).get(LABEL_SCALE, ""))
        shape = (None if sizing is None else sizing.shape) or UNSHAPED
        requested[shape] = requested.get(shape, 0) + count
        in_use[shape] = in_use.get(shape, 0) + (count if phase == "Running" else 0)
    for shape, count in requested.items():
        yield Sample(families.GPUS_REQUESTED, (*view.owner, shape), count)
        yield Sample(families.GPUS_IN_USE, (*view.owner, shape), in_use[shape])


def accelerators(pod: Mapping[str, Any]) -> int:
    """Count the extended resources that a pod's containers ask for: those with a domain."""
    total = 0
    for container in pod.get("spec", {}).get("containers", ()):
        limits: Mapping[str, Any] = container.get("resources", {}).get("limits", {})
        total += sum(int(count) for name, count in limits.items() if "/" in name)
    return total
