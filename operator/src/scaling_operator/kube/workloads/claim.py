"""Accelerators by Dynamic Resource Allocation: the claim template of an attempt.

`resource.k8s.io/v1` is in Kubernetes from 1.34 on. Several shapes become a prioritised list,
`firstAvailable`; a single shape is requested `exactly`. The trial owns the template, and the pod
owns the claim that Kubernetes makes from it: both are deleted with their owners.
"""

from __future__ import annotations

from typing import Any

from scaling_operator.core.resources import DeviceRequest
from scaling_operator.kube.workloads.attempt_spec import AttemptSpec

CLAIM_NAME = "accelerators"
UID_CHARACTERS = 13
"""Of a uid, whose first 8 and next 4 characters are random."""
Json = dict[str, Any]


def template_name(attempt_spec: AttemptSpec) -> str:
    """Name the template after the attempt and its trial's uid.

    So an existing template is this trial's, and not that of an earlier trial of the same name.
    """
    uid = str(attempt_spec.trial.metadata["uid"])
    return f"{attempt_spec.name}-{uid[:UID_CHARACTERS]}"


def claim_template(attempt_spec: AttemptSpec, metadata: Json) -> Json | None:
    """Write the ResourceClaimTemplate with the metadata of the attempt; None without devices."""
    devices = attempt_spec.resources.devices
    if not devices:
        return None
    requests = [_request(device) for device in devices]
    request: Json = {"name": CLAIM_NAME}
    if len(requests) == 1:
        request["exactly"] = requests[0]
    else:
        names = (device.name for device in devices)
        request["firstAvailable"] = [
            {"name": name, **device} for name, device in zip(names, requests, strict=True)
        ]
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaimTemplate",
        "metadata": {**metadata, "name": template_name(attempt_spec)},
        "spec": {"spec": {"devices": {"requests": [request]}}},
    }


def _request(device: DeviceRequest) -> Json:
    request: Json = {
        "deviceClassName": device.device_class,
        "allocationMode": "ExactCount",
        "count": device.count,
    }
    if device.selector is not None:
        request["selectors"] = [{"cel": {"expression": device.selector}}]
    return request


def pod_claims(attempt_spec: AttemptSpec) -> list[Json]:
    """Write the pod's claims, made from the attempt's template."""
    if not attempt_spec.resources.devices:
        return []
    return [{"name": CLAIM_NAME, "resourceClaimTemplateName": template_name(attempt_spec)}]


def container_claims(attempt_spec: AttemptSpec) -> list[Json]:
    """Write which of the pod's claims the trainer's container uses."""
    return [{"name": CLAIM_NAME}] if attempt_spec.resources.devices else []
