"""A CRD and the models say the same of required fields, choices and bounds.

Rules between fields are CEL, which runs in an API server only: tests of that ring look at them.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, cast

import pytest
from crd_validator import validator

from scaling_operator.validation.crd import KINDS, Definition
from scaling_operator.validation.sections import examine

EXPERIMENT: dict[str, Any] = {
    "apiVersion": "scaling-operator.dev/v1alpha1",
    "kind": "ScalingExperiment",
    "metadata": {"name": "case-study"},
    "spec": {
        "objective": {"metric": "val_loss", "direction": "minimize", "goal": 0.1},
        "search": {
            "parameters": {
                "lr": {"type": "float", "low": 0.1, "high": 1, "log": True},
                "act": {"type": "categorical", "choices": ["relu", 1, 0.5, True]},
                "n": {"type": "int", "low": 1, "high": 4, "when": {"act": ["relu"]}},
            },
            "algorithm": {"name": "tpe", "seed": 3, "startupTrials": 5},
            "pruner": {"name": "hyperband", "minSteps": 2, "maxSteps": 20},
            "warmStart": {"from": ["other"], "topK": 3, "points": [{"lr": 0.5}]},
        },
        "scaling": {
            "parameter": "model.width",
            "sizes": [16, 32.5],
            "transfer": {"topK": 2, "shrink": 0.5},
            "fit": {"form": "auto", "bootstrap": 500},
            "targets": [{"flops": 1e15}],
        },
        "trials": {"max": 40, "parallel": 4, "timeout": "1h30m"},
        "budget": {"gpuHours": 1.5, "onExceeded": "suspend"},
        "resources": {"policy": "default", "fixed": {"gpus": 1, "cpu": 2, "memory": "4Gi"}},
        "trainer": {
            "builtIn": {
                "task": "regression",
                "dataset": {"name": "csv", "path": "a.csv", "target": "y"},
                "model": {"name": "mlp", "width": 8},
                "optimizer": {"name": "sgd", "learning_rate": 0.1, "schedule": {"name": "cosine"}},
                "preprocessing": {"outliers": {"method": "iqr"}},
                "early_stopping": {"patience": 3},
            }
        },
        "artifacts": {"persistentVolumeClaim": {"claimName": "data"}},
        "suspend": False,
    },
}
TRIAL: dict[str, Any] = {
    "apiVersion": "scaling-operator.dev/v1alpha1",
    "kind": "ScalingTrial",
    "metadata": {"name": "case-study-0-1"},
    "spec": {
        "experiment": {"name": "case-study", "uid": "u"},
        "scale": 0,
        "number": 1,
        "parameters": {"lr": 0.1, "act": "relu", "flag": True},
        "searched": ["lr"],
        "samplerAttributes": {"any": [1, {"thing": None}]},
        "seed": 7,
    },
    "status": {
        "state": "Failed",
        "reason": "OOMKilled",
        "attempts": [
            {
                "number": 0,
                "reason": "OOMKilled",
                "exitCode": 137,
                "resources": {
                    "shape": "a100",
                    "count": 1,
                    "memory": "8Gi",
                    "execution": {"microBatch": 4, "accumulation": 8, "recompute": "full"},
                    "estimatedDeviceBytes": 1e10,
                },
            }
        ],
        "gpuHours": 1.5,
        "cost": 3,
        "values": [0.5],
        "curve": [{"step": 1, "value": 0.5}],
        "completionTime": "2026-01-31T12:00:00Z",
    },
}
POLICY: dict[str, Any] = {
    "apiVersion": "scaling-operator.dev/v1alpha1",
    "kind": "ResourcePolicy",
    "metadata": {"name": "default"},
    "spec": {
        "shapes": [
            {
                "name": "a100",
                "resource": "nvidia.com/gpu",
                "memory": "80Gi",
                "hostMemory": "500Gi",
                "flops": 3e14,
                "utilization": 0.5,
                "pricePerHour": 2.5,
                "maxPerPod": 8,
                "shared": False,
                "nodeSelector": {"gpu": "a100"},
                "tolerations": [{"key": "gpu", "operator": "Exists"}],
            }
        ],
        "headroomPercent": 10,
        "escalation": {"maxEscalations": 4, "memoryCap": "64Gi", "recompute": True},
        "limits": {"trial": {"gpus": 8}},
        "sharing": "never",
        "backend": "extended",
        "priorityClass": "low",
    },
}
NODES = {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a", "b"]}]}
OWN_IMAGE: dict[str, Any] = {
    "apiVersion": "scaling-operator.dev/v1alpha1",
    "kind": "ScalingExperiment",
    "metadata": {"name": "own-image"},
    "spec": {
        "objective": {"metric": "loss", "direction": "minimize"},
        "trainer": {
            "container": {
                "image": "me/train:1",
                "imagePullPolicy": "IfNotPresent",
                "command": ["train"],
                "args": ["--fast"],
                "workingDir": "/code",
                "env": [
                    {"name": "A", "value": "1"},
                    {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                    {
                        "name": "C",
                        "valueFrom": {
                            "configMapKeyRef": {"name": "c", "key": "k", "optional": True}
                        },
                    },
                ],
                "volumes": [
                    {"name": "data", "persistentVolumeClaim": {"claimName": "d", "readOnly": True}},
                    {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "8Gi"}},
                    {"name": "code", "configMap": {"name": "code", "optional": True}},
                    {"name": "key", "secret": {"secretName": "key", "optional": False}},
                ],
                "volumeMounts": [
                    {"name": "data", "mountPath": "/data", "subPath": "x/y", "readOnly": True},
                    {"name": "shm", "mountPath": "/dev/shm"},
                ],
            },
            "pod": {
                "nodeSelector": {"kubernetes.io/arch": "amd64"},
                "tolerations": [
                    {"key": "a", "operator": "Equal", "value": "b", "effect": "NoSchedule"},
                    {"operator": "Exists"},
                ],
                "affinity": {
                    "nodeAffinity": {
                        "requiredDuringSchedulingIgnoredDuringExecution": {
                            "nodeSelectorTerms": [NODES]
                        },
                        "preferredDuringSchedulingIgnoredDuringExecution": [
                            {"weight": 10, "preference": NODES}
                        ],
                    }
                },
                "imagePullSecrets": [{"name": "registry"}],
                "serviceAccountName": "trainer",
                "securityContext": {"runAsUser": 1000, "runAsGroup": 0, "fsGroup": 2000},
            },
        },
    },
}
VALID = {
    "ScalingExperiment": EXPERIMENT,
    "ScalingExperiment of a container": OWN_IMAGE,
    "ScalingTrial": TRIAL,
    "ResourcePolicy": POLICY,
}
KIND_OF = {name: kind for kind in KINDS for name in VALID if name.split()[0] == kind.kind}
DELETE = object()


def crd_accepts(kind: Definition, document: Mapping[str, Any]) -> bool:
    return validator(kind).is_valid(document)


def models_accept(kind: Definition, document: Mapping[str, Any]) -> bool:
    return not examine(kind.model, document)[1]


@pytest.mark.parametrize("name", VALID)
def test_both_accept_a_valid_document(name: str) -> None:
    assert models_accept(KIND_OF[name], VALID[name])
    assert crd_accepts(KIND_OF[name], VALID[name])


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        entries = list(cast("dict[str, Any]", value).items())
    elif isinstance(value, list):
        entries = list(enumerate(cast("list[Any]", value)))
    else:
        return [path]
    return [path, *(leaf for step, each in entries for leaf in leaves(each, (*path, step)))]


def changed(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    document = copy.deepcopy(document)
    *steps, last = path
    at = document
    for step in steps:
        at = at[step]
    if value is DELETE:
        del at[last]
    else:
        at[last] = value
    return document


CASES = [
    (name, path)
    for name, document in VALID.items()
    for path in leaves(document)
    if path[:1] in (("spec",), ("status",))
]
# Where CEL or the operator has to look, since a structural schema cannot say it.
UNTYPED = ("choices", "when", "points", "parameters", "samplerAttributes")


def is_untyped(path: tuple[Any, ...]) -> bool:
    inside = path[:-1]
    return any(
        step in UNTYPED and not (step == "parameters" and path[1] == "search") for step in inside
    )


@pytest.mark.parametrize("wrong", ["?", -7, True, [], {}, 10**12], ids=repr)
def test_a_value_that_the_crd_refuses_is_refused_by_the_models(wrong: Any) -> None:
    for name, path in CASES:
        document = changed(VALID[name], path, wrong)

        if not crd_accepts(KIND_OF[name], document):
            assert not models_accept(KIND_OF[name], document), (path, wrong)


# The rest is said by CEL, by a format or by the operator: rules of variants and several fields.
SAID_ELSEWHERE = {"completionTime", "log", "low", "high", "sizes", "targets", "choices", "shapes"}


@pytest.mark.parametrize("wrong", ["?", -7, True, 10**12], ids=repr)
def test_a_plain_value_that_the_models_refuse_is_refused_by_the_crd(wrong: Any) -> None:
    for name, path in CASES:
        if is_untyped(path) or path[-1] in SAID_ELSEWHERE or isinstance(path[-1], int):
            continue
        document = changed(VALID[name], path, wrong)

        if not models_accept(KIND_OF[name], document):
            assert not crd_accepts(KIND_OF[name], document), (path, wrong)


@pytest.mark.parametrize(
    ("place", "is_accepted"),
    [
        *((each, True) for each in ("/a", "/a/b", "/.a", "/a..", "/...", "/..a/b.c", "/ü x")),
        *((each, False) for each in ("", "/", "a", "//a", "/a//b", "/a/", "/a:b", "/a\n/")),
        *((each, False) for each in ("/.", "/..", "/./a", "/a/.", "/a/./b", "/a/../b", "/a/..")),
    ],
)
def test_a_place_for_a_volume_has_one_spelling(place: str, is_accepted: bool) -> None:  # noqa: FBT001 - what is expected
    name = "ScalingExperiment of a container"
    path = ("spec", "trainer", "container", "volumeMounts", 0, "mountPath")
    document = changed(VALID[name], path, place)
    assert models_accept(KIND_OF[name], document) is is_accepted
    assert crd_accepts(KIND_OF[name], document) is is_accepted


def test_a_required_field_is_required_by_both() -> None:
    for name, path in CASES:
        if is_untyped(path) or path == ("status",):
            continue
        document = changed(VALID[name], path, DELETE)

        if crd_accepts(KIND_OF[name], document) and not models_accept(KIND_OF[name], document):
            assert _is_required_by_rule(path), path
        elif not crd_accepts(KIND_OF[name], document):
            assert not models_accept(KIND_OF[name], document), path


def _is_required_by_rule(path: tuple[Any, ...]) -> bool:
    """Fields that CEL requires: those of some variants, and one of two."""
    return path[-1] in {
        "low", "high", "maxSteps", "path", "target", "objective", "parameter", "sizes", "flops",
        "builtIn", "memory", "resource", "container", "secretKeyRef", "configMapKeyRef",
        "persistentVolumeClaim",
        "emptyDir", "configMap", "secret", "values", "key", "operator", 0,
    }  # fmt: skip
