"""The resources of one attempt: plain values, from `spec.resources` or from a policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from scaling_operator.api.experiment import FixedResources
from scaling_operator.api.policy import Toleration
from scaling_operator.api.status_sizing import AttemptResources


@dataclass(frozen=True, slots=True)
class DeviceRequest:
    """Accelerators of one shape, as a claim asks for them."""

    name: str
    device_class: str
    count: int
    selector: str | None = None


@dataclass(frozen=True, slots=True)
class PodResources:
    """Requests and limits of the trainer's container, and where its pod may run.

    `requests` and `limits` map resource names to Kubernetes quantities. `shape` is the name of the
    policy's shape that was chosen. `shared_memory_bytes` is the size of /dev/shm. `recorded` is
    written on the workload: whoever observes its end reads there what the attempt had. A claim asks
    for `devices`, instead of an extended resource; the first device that is free is taken.
    """

    requests: Mapping[str, str] = field(default_factory=dict[str, str])
    limits: Mapping[str, str] = field(default_factory=dict[str, str])
    node_selector: Mapping[str, str] = field(default_factory=dict[str, str])
    tolerations: tuple[Toleration, ...] = ()
    shared_memory_bytes: int | None = None
    shape: str | None = None
    recorded: AttemptResources | None = None
    devices: tuple[DeviceRequest, ...] = ()


def fixed_resources(fixed: FixedResources) -> PodResources:
    """Turn `spec.resources.fixed` into requests, which are limits too."""
    amounts: dict[str, str] = {}
    if fixed.cpu is not None:
        amounts["cpu"] = str(fixed.cpu)
    if fixed.memory is not None:
        amounts["memory"] = str(fixed.memory)
    if fixed.gpus:
        amounts[fixed.resource] = str(fixed.gpus)
    return PodResources(requests=amounts, limits=amounts)
