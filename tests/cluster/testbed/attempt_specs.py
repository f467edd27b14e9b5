"""Specifications of attempts: a small one of the built-in trainer, and one with every field set."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.policy import Toleration
from scaling_operator.api.trial import ScalingTrial
from scaling_operator.core.resources import PodResources
from scaling_operator.kube.workloads.attempt_spec import AttemptSpec, WorkloadSettings
from scaling_trainer.contract import Execution

BUILT_IN: dict[str, Any] = {
    "builtIn": {
        "task": "classification",
        "dataset": {"name": "digits"},
        "model": {"name": "mlp"},
    }
}
NODES = {"matchExpressions": [{"key": "gpu", "operator": "Gt", "values": ["40"]}]}
EVERYTHING: dict[str, Any] = {
    "container": {
        "image": "registry.example.com/team/train:1.4",
        "imagePullPolicy": "Always",
        "command": ["python3", "train.py"],
        "args": ["--lr", "$(SCALING_PARAM_OPTIMIZER_LEARNING_RATE)", "--greet", "$(GREETING)"],
        "workingDir": "/code",
        "env": [
            {"name": "GREETING", "value": "trial $(SCALING_TRIAL), $$(not expanded)"},
            {"name": "HUB_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hub", "key": "token"}}},
            {
                "name": "LEVEL",
                "valueFrom": {"configMapKeyRef": {"name": "log", "key": "l", "optional": True}},
            },
        ],
        "volumes": [
            {"name": "data", "persistentVolumeClaim": {"claimName": "data", "readOnly": True}},
            {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "8Gi"}},
            {"name": "scratch", "emptyDir": {}},
            {"name": "code", "configMap": {"name": "code"}},
            {"name": "key", "secret": {"secretName": "key", "optional": True}},
        ],
        "volumeMounts": [
            {"name": "data", "mountPath": "/data", "subPath": "train", "readOnly": True},
            {"name": "shm", "mountPath": "/dev/shm"},
            {"name": "scratch", "mountPath": "/tmp"},
            {"name": "code", "mountPath": "/code"},
            {"name": "key", "mountPath": "/key"},
        ],
    },
    "pod": {
        "nodeSelector": {"kubernetes.io/arch": "amd64", "gpu": "mine"},
        "tolerations": [{"key": "dedicated", "value": "team", "effect": "NoSchedule"}],
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [NODES]},
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {"weight": 5, "preference": NODES}
                ],
            }
        },
        "imagePullSecrets": [{"name": "registry"}],
        "serviceAccountName": "default",
        "securityContext": {"runAsUser": 1000, "runAsGroup": 0, "fsGroup": 2000},
    },
}
A100 = PodResources(
    requests={"cpu": "500m", "memory": "1Gi", "nvidia.com/gpu": "1"},
    limits={"memory": "2Gi", "nvidia.com/gpu": "1"},
    node_selector={"gpu": "a100"},
    tolerations=(Toleration(key="nvidia.com/gpu", operator="Exists"),),
    shared_memory_bytes=1 << 30,
    shape="a100",
)
REPORTS = WorkloadSettings(
    trainer_image="scaling-trainer:1",
    image_pull_policy="IfNotPresent",
    image_pull_secrets=("platform", "registry"),
    report_url="https://scaling-operator-reports.scaling-system.svc:8443",
    report_ca="-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
)


def attempt_spec(trainer: dict[str, Any] | None = None, **changes: Any) -> AttemptSpec:
    """Order the second attempt of a trial; `changes` replace fields of the order."""
    spec: dict[str, Any] = {
        "objective": {"metric": "val_loss", "direction": "minimize"},
        "search": {
            "parameters": {
                "optimizer.learning_rate": {"type": "float", "low": 0.1, "high": 1},
                "batch_size": {"type": "int", "low": 1, "high": 64},
            }
        },
        "trials": {"timeout": "10m", "pendingTimeout": "1h"},
        "trainer": BUILT_IN if trainer is None else trainer,
    }
    trial: dict[str, Any] = {
        "metadata": {"name": "digits-2-17", "uid": "6f3c0f1e-8a55-4d55-9d0f-3d8f0a1b2c3d"},
        "spec": {
            "experiment": {"name": "digits", "uid": "0b1c"},
            "scale": 2,
            "number": 17,
            "seed": 4242,
            "parameters": {"optimizer.learning_rate": 1, "batch_size": 32, "model.width": 16},
            "searched": ["optimizer.learning_rate", "batch_size"],
            "samples": 1024,
        },
    }
    default_attempt = AttemptSpec(
        experiment="digits",
        namespace="team",
        trial=ScalingTrial.model_validate(trial),
        attempt=1,
        spec=ExperimentSpec.model_validate(spec),
        resources=PodResources(),
        execution=Execution(micro_batch=8, accumulation=4),
        settings=WorkloadSettings(trainer_image="scaling-trainer:1"),
    )
    return replace(default_attempt, **changes)
