"""A policy file: what is wrong with it is said at once, each mistake by its path."""

from __future__ import annotations

import json
from typing import Any

import pytest

from scaling_operator.api.problems import InvalidSpec
from scaling_operator.validation.load import parse_policy

GPU = {"name": "gpu", "resource": "nvidia.com/gpu", "memory": "80Gi"}


def policy(*shapes: dict[str, Any], **rest: Any) -> str:
    document = {
        "apiVersion": "scaling-operator.dev/v1alpha1",
        "kind": "ResourcePolicy",
        "metadata": {"name": "default"},
        "spec": {"shapes": list(shapes), **rest},
    }
    return json.dumps(document)


SHAPES: list[dict[str, Any]] = [
    {"name": "cpu"},
    GPU,
    GPU | {"name": "slice", "resource": "nvidia.com/mig-1g.10gb", "memory": "9856Mi"},
    GPU | {"name": "mi300", "resource": "amd.com/gpu", "memory": "192Gi", "maxPerPod": 8},
    GPU | {"name": "gaudi", "resource": "habana.ai/gaudi", "memory": "128G"},
    GPU | {"name": "intel", "resource": "gpu.intel.com/i915", "memory": "16Gi"},
]


def test_shapes_of_any_vendor_and_of_none_are_read() -> None:
    read = parse_policy(policy(*SHAPES), "p.yaml")

    assert [shape.name for shape in read.spec.shapes] == [shape["name"] for shape in SHAPES]
    assert read.name == "default"


PROBLEMS: list[Any] = [
    pytest.param(policy(), "spec.shapes: has 0 entries; at least 1 must be given", id="no shapes"),
    pytest.param(
        policy({**GPU, "pricePerHour": -1}),
        "spec.shapes[0].pricePerHour: must be at least 0",
        id="a negative price",
    ),
    pytest.param(
        policy({**GPU, "memory": "0Gi"}), "spec.shapes[0].memory: must be above 0", id="no memory"
    ),
    pytest.param(
        policy({**GPU, "memory": 0}), "spec.shapes[0].memory: must be above 0", id="memory 0"
    ),
    pytest.param(
        policy({"name": "cpu", "hostMemory": "0"}),
        "spec.shapes[0].hostMemory: must be above 0",
        id="no host memory",
    ),
    pytest.param(
        policy({"name": "gpu", "resource": "nvidia.com/gpu"}),
        "spec.shapes[0].memory: is required with resource",
        id="an accelerator without memory",
    ),
    pytest.param(
        policy({**GPU, "resource": "gpu"}),
        "spec.shapes[0].resource: must be text like",
        id="a resource without a vendor",
    ),
    pytest.param(
        policy(GPU, GPU), "spec.shapes[1]: name gpu stands twice", id="two shapes of one name"
    ),
    pytest.param(
        policy({"name": "cpu", "maxPerPod": 2}),
        "spec.shapes[0].maxPerPod: goes with resource only",
        id="several machines for a pod",
    ),
    pytest.param(
        policy(GPU, backend="dra"),
        "spec.backend: backend dra needs deviceClass of shape gpu",
        id="claims without a class",
    ),
    pytest.param(
        policy(GPU, headroomPercent=100), "spec.headroomPercent: must be below 100", id="no room"
    ),
    pytest.param(
        policy(GPU, headroom=5), "spec.headroom: unknown field; did you mean", id="a misspelt field"
    ),
    pytest.param("kind: ResourcePolicy", "apiVersion: is required", id="half a document"),
    pytest.param("[]", "p.yaml: holds a list, not a mapping", id="a list"),
]


@pytest.mark.parametrize(("text", "expected"), PROBLEMS)
def test_a_bad_policy_is_refused_by_the_path_of_its_fault(text: str, expected: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        parse_policy(text, "p.yaml")

    problems = [str(problem) for problem in refused.value.problems]
    assert problems[0].startswith(expected), problems


def test_a_policy_is_found_among_other_documents() -> None:
    text = f"kind: Namespace\n---\n{policy(GPU)}\n"

    assert parse_policy(text, "p.yaml").spec.shapes[0].name == "gpu"
