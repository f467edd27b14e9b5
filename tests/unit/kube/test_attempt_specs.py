"""From a trial and its machine to an order: the policy comes before the operator's flags."""

from __future__ import annotations

from typing import Any

import pytest
from testbed.attempt_specs import attempt_spec

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.policy import PolicySpec
from scaling_operator.kube.client.index import Key
from scaling_operator.kube.reconcile.attempt_specs import AttemptSpecs
from scaling_operator.kube.workloads import job, pod
from scaling_operator.kube.workloads.attempt_spec import AttemptSpec, WorkloadSettings
from scaling_operator.runtime.sizer import Sizer
from scaling_operator.sizing.allocation import Allocation

FLAGS = WorkloadSettings(trainer_image="trainer", queue="flags", priority_class="usual")
SHAPE = {
    "name": "gpu",
    "resource": "nvidia.com/gpu",
    "memory": "80Gi",
    "nodeSelector": {"gpu": "h100"},
    "tolerations": [{"key": "gpu", "operator": "Exists"}],
}


def sized(**rest: Any) -> AttemptSpec:
    policy = PolicySpec.model_validate({"shapes": [SHAPE], **rest})
    spec = ExperimentSpec.model_validate(
        {
            "objective": {"metric": "loss", "direction": "minimize"},
            "trainer": {"container": {"image": "mine"}},
            "resources": {"estimate": {"deviceMemory": "1Gi", "hostMemory": "2Gi"}},
        }
    )
    sizer, trial = Sizer(spec, policy, 1), attempt_spec().trial
    allocation = sizer.allocation(trial)
    assert isinstance(allocation, Allocation)
    return AttemptSpecs(Key("team", "digits"), spec, FLAGS).sized(trial, 0, allocation, sizer)


@pytest.mark.parametrize(
    ("rest", "queue", "priority"),
    [
        pytest.param({}, "flags", "usual", id="a policy that names none: the operator's"),
        pytest.param({"queue": "team"}, "team", "usual", id="the policy's queue"),
        pytest.param({"priorityClass": "low"}, "flags", "low", id="the policy's priority class"),
    ],
)
def test_queue_and_priority_class_of_a_policy_come_first(
    rest: dict[str, Any], queue: str, priority: str
) -> None:
    attempt = sized(**rest)

    assert job.manifest(attempt)["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == queue
    assert pod.manifest(attempt)["spec"]["priorityClassName"] == priority


def test_a_pod_goes_where_its_shape_is() -> None:
    spec = pod.manifest(sized())["spec"]

    assert spec["nodeSelector"] == {"gpu": "h100"}
    assert {"key": "gpu", "operator": "Exists"} in spec["tolerations"]
    assert spec["containers"][0]["resources"]["limits"] == {
        "memory": "2560Mi",
        "nvidia.com/gpu": "1",
    }


def test_a_job_never_lets_its_queue_change_how_much_it_gets() -> None:
    metadata = job.manifest(sized())["metadata"]

    assert not [name for name in metadata.get("annotations", {}) if "kueue" in name]
