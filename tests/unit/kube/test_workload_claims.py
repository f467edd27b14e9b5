"""Accelerators by claim: the template that an attempt gets, and whose it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from testbed.attempt_specs import A100, attempt_spec

from scaling_operator.api.trial import ScalingTrial
from scaling_operator.core.resources import DeviceRequest
from scaling_operator.kube.workloads import pod
from scaling_operator.kube.workloads.attempt_spec import AttemptSpec
from scaling_operator.kube.workloads.claim import claim_template
from scaling_operator.kube.workloads.pod_template import metadata

SMALL = DeviceRequest("small", "gpu.example.com", 1)
LARGE = DeviceRequest("large", "gpu.example.com", 2, "device.attributes['memory'] > 40")


def claiming(*devices: DeviceRequest) -> AttemptSpec:
    return attempt_spec(resources=replace(A100, devices=devices))


def test_without_devices_nothing_is_claimed() -> None:
    attempt = attempt_spec(resources=A100)
    assert claim_template(attempt, metadata(attempt)) is None
    assert "resourceClaims" not in pod.manifest(attempt)["spec"]


def test_one_shape_is_asked_for_exactly_and_several_in_the_order_of_the_choice() -> None:
    (exact,) = _requests(claiming(LARGE))
    (several,) = _requests(claiming(SMALL, LARGE))
    assert exact["exactly"] == {
        "deviceClassName": "gpu.example.com",
        "allocationMode": "ExactCount",
        "count": 2,
        "selectors": [{"cel": {"expression": LARGE.selector}}],
    }
    assert [subrequest["name"] for subrequest in several["firstAvailable"]] == ["small", "large"]


def _requests(attempt: AttemptSpec) -> list[dict[str, Any]]:
    written = claim_template(attempt, metadata(attempt))
    assert written is not None
    requests: list[dict[str, Any]] = written["spec"]["spec"]["devices"]["requests"]
    return requests


def test_a_template_is_of_one_trial_and_never_taken_for_an_earlier_one_s() -> None:
    attempt = claiming(SMALL)
    again = replace(attempt, trial=_reborn(attempt))
    first, second = (claim_template(spec, metadata(spec)) for spec in (attempt, again))
    assert first is not None
    assert second is not None
    assert attempt.name == again.name
    assert first["metadata"]["name"] != second["metadata"]["name"]
    for spec, written in ((attempt, first), (again, second)):
        (claim,) = pod.manifest(spec)["spec"]["resourceClaims"]
        assert claim["resourceClaimTemplateName"] == written["metadata"]["name"]


def _reborn(attempt: AttemptSpec) -> ScalingTrial:
    uid = "00000000-0000-4000-8000-000000000000"
    return attempt.trial.model_copy(update={"metadata": {**attempt.trial.metadata, "uid": uid}})
