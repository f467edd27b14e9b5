"""Accelerators by Dynamic Resource Allocation: the claim template of an attempt.

`resource.k8s.io/v1` is in Kubernetes from 1.34 on. Several shapes become a prioritised list,
`firstAvailable`; one is asked for `exactly`. The template belongs to the trial, the claim that
Kubernetes makes of it to the pod: both go with their owners.
"""

from __future__ import annotations

from typing import Any

from scaling_operator.core.resources import DeviceRequest
from scaling_operator.kube.workloads.attempt_spec import AttemptSpec

CLAIM = "accelerators"
UID_CHARACTERS = 13
"""Of a uid, whose first 8 and next 4 are by chance."""
Json = dict[str, Any]


def template_name(attempt_spec: AttemptSpec) -> str:
    """Name the template after the attempt and its trial's uid.

    So one that is there already is this trial's, and not an earlier one's of the same name.
    """
    uid = str(attempt_spec.trial.metadata["uid"])
    return f"{attempt_spec.name}-{uid[:UID_CHARACTERS]}"


def claim_template(attempt_spec: AttemptSpec, described: Json) -> Json | None:
    """Write the ResourceClaimTemplate with the metadata of the attempt; None without devices."""
    devices = attempt_spec.resources.devices
    if not devices:
        return None
    wanted = [_request(each) for each in devices]
    request: Json = {"name": CLAIM}
    if len(wanted) == 1:
        request["exactly"] = wanted[0]
    else:
        names = (each.name for each in devices)
        request["firstAvailable"] = [
            {"name": name, **each} for name, each in zip(names, wanted, strict=True)
        ]
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaimTemplate",
        "metadata": {**described, "name": template_name(attempt_spec)},
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
    return [{"name": CLAIM, "resourceClaimTemplateName": template_name(attempt_spec)}]


def container_claims(attempt_spec: AttemptSpec) -> list[Json]:
    """Write which of the pod's claims the trainer uses."""
    return [{"name": CLAIM}] if attempt_spec.resources.devices else []
