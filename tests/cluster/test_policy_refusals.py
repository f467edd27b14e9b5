"""A policy that a file check refuses the API server refuses too, by the name of the field."""

from __future__ import annotations

from typing import Any

import pytest
from testbed.cluster import Cluster, Refused

from scaling_operator.validation.checks import check_policy

Json = dict[str, Any]
GPU: Json = {"name": "gpu", "resource": "nvidia.com/gpu", "memory": "80Gi"}


def policy(*shapes: Json, **rest: Any) -> Json:
    return {
        "apiVersion": "scaling-operator.dev/v1alpha1",
        "kind": "ResourcePolicy",
        "metadata": {"name": "refusals"},
        "spec": {"shapes": list(shapes), **rest},
    }


ROWS = [
    pytest.param(policy(), "spec.shapes", id="no shapes"),
    pytest.param(policy({**GPU, "pricePerHour": -1}), "pricePerHour", id="a negative price"),
    pytest.param(policy({**GPU, "memory": "0Gi"}), "memory must be above 0", id="no memory"),
    pytest.param(policy({**GPU, "memory": 0}), "memory must be above 0", id="memory 0"),
    pytest.param(policy({**GPU, "hostMemory": "0"}), "hostMemory must be", id="no host memory"),
    pytest.param(
        policy({"name": "gpu", "resource": "nvidia.com/gpu"}), "memory is required", id="unknown"
    ),
    pytest.param(policy({**GPU, "resource": "gpu"}), "resource", id="no vendor"),
    pytest.param(policy(GPU, GPU), "a name of its own", id="two of a name"),
    pytest.param(policy({"name": "cpu", "maxPerPod": 2}), "goes with resource", id="many CPUs"),
    pytest.param(policy(GPU, backend="dra"), "deviceClass", id="claims of no class"),
    pytest.param(policy(GPU, headroomPercent=100), "headroomPercent", id="no room"),
]


@pytest.mark.usefixtures("crds")
@pytest.mark.parametrize(("document", "words"), ROWS)
def test_a_bad_policy_is_refused_by_both(cluster: Cluster, document: Json, words: str) -> None:
    with pytest.raises(Refused, match=words):
        cluster.kubectl("create", "--dry-run=server", "-f", "-", stdin=document)
    assert check_policy(document)


@pytest.mark.usefixtures("crds")
def test_a_good_policy_is_taken_by_both(cluster: Cluster) -> None:
    good = policy(
        {"name": "cpu", "hostMemory": 1024},
        {**GPU, "deviceClass": "gpu.nvidia.com", "maxPerPod": 8},
        backend="dra",
    )
    cluster.kubectl("create", "--dry-run=server", "-f", "-", stdin=good)
    assert check_policy(good) == ()
