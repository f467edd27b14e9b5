"""Documents for the API server: valid ones, and ways to change them."""

from __future__ import annotations

import copy
from typing import Any

API_VERSION = "scaling-operator.dev/v1alpha1"
DELETE = object()

Change = tuple[str, Any]


def changed(document: dict[str, Any], *changes: Change) -> dict[str, Any]:
    """Copy a document and set values in it; a path has `/` between its steps."""
    copied = copy.deepcopy(document)
    for path, value in changes:
        *steps, last = path.split("/")
        at: Any = copied
        for step in steps:
            at = at.setdefault(step, {})
        if value is DELETE:
            del at[last]
        else:
            at[last] = value
    return copied


def experiment(name: str, *changes: Change) -> dict[str, Any]:
    """Write an experiment with a ladder and the built-in trainer."""
    document = {
        "apiVersion": API_VERSION,
        "kind": "ScalingExperiment",
        "metadata": {"name": name},
        "spec": {
            "objective": {"metric": "val_loss", "direction": "minimize"},
            "search": {
                "parameters": {
                    "optimizer.learning_rate": {
                        "type": "float",
                        "low": 0.0001,
                        "high": 1,
                        "log": True,
                    },
                    "model.activation": {"type": "categorical", "choices": ["relu", "gelu"]},
                },
                "algorithm": {"name": "tpe", "seed": 7},
            },
            "scaling": {"parameter": "model.width", "sizes": [16, 32, 64]},
            "trials": {"max": 40, "parallel": 4, "timeout": "1h"},
            "trainer": {
                "builtIn": {
                    "task": "classification",
                    "dataset": {"name": "digits"},
                    "model": {"name": "mlp"},
                }
            },
        },
    }
    return changed(document, *changes)


def played(name: str, *changes: Change, **environment: str) -> dict[str, Any]:
    """Write a search over one number, whose pods do what the variables say (play.yaml)."""
    document = {
        "apiVersion": API_VERSION,
        "kind": "ScalingExperiment",
        "metadata": {"name": name},
        "spec": {
            "objective": {"metric": "loss", "direction": "minimize"},
            "search": {
                "parameters": {"x": {"type": "float", "low": -1, "high": 1}},
                "algorithm": {"name": "random", "seed": 7},
            },
            "trials": {"max": 1},
            "trainer": {
                "container": {
                    "image": "played",
                    "command": ["played"],
                    "env": [{"name": key, "value": value} for key, value in environment.items()],
                }
            },
        },
    }
    return changed(document, *changes)


def trial(name: str, *changes: Change) -> dict[str, Any]:
    """Write a trial as the operator proposes it."""
    document = {
        "apiVersion": API_VERSION,
        "kind": "ScalingTrial",
        "metadata": {"name": name},
        "spec": {
            "experiment": {"name": "case-study", "uid": "5d2b1a3e"},
            "scale": 0,
            "number": 3,
            "parameters": {"optimizer.learning_rate": 0.01, "model.activation": "relu"},
            "searched": ["optimizer.learning_rate", "model.activation"],
            "samplerAttributes": {"nsga2:parents": [1, 2]},
            "seed": 7,
        },
    }
    return changed(document, *changes)


def policy(name: str) -> dict[str, Any]:
    """Write a policy with one kind of machine."""
    shape = {"name": "a100", "resource": "nvidia.com/gpu", "memory": "80Gi"}
    return {
        "apiVersion": API_VERSION,
        "kind": "ResourcePolicy",
        "metadata": {"name": name},
        "spec": {"shapes": [shape], "headroomPercent": 12.5, "queue": "research"},
    }


def bound_claim(name: str, namespace: str) -> list[dict[str, Any]]:
    """Write a claim and its volume, `<name>-<namespace>`: nothing provisions volumes here."""
    room = {"storage": "1Mi"}
    volume_name = f"{name}-{namespace}"
    both = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
    volume = {"capacity": room, "hostPath": {"path": "/nowhere"}, **both}
    claim = {"resources": {"requests": room}, "volumeName": volume_name, **both}
    return [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": volume_name},
            "spec": volume,
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": name},
            "spec": claim,
        },
    ]
