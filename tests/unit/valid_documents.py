"""A valid document of each kind, with most of the fields that there are."""

from __future__ import annotations

from typing import Any

from scaling_operator.validation.crd import KINDS

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
