"""Experiments that a policy sizes: one accelerator for each trial, and the limits of a test."""

from __future__ import annotations

from typing import Any

from testbed.documents import API_VERSION, Change, played

Json = dict[str, Any]
GPU = "nvidia.com/gpu"
SHAPE: Json = {"name": "small", "resource": GPU, "memory": "40Gi", "flops": 1e14, "pricePerHour": 1}
NEEDS: Json = {"parameters": 1e9, "samples": 1e6, "hostMemory": "2Gi", "deviceMemory": "8Gi"}


def policy(name: str = "default", *shapes: Json, **rest: Any) -> Json:
    """Write a policy; `rest` are fields of its spec."""
    return {
        "apiVersion": API_VERSION,
        "kind": "ResourcePolicy",
        "metadata": {"name": name},
        "spec": {"shapes": list(shapes or (SHAPE,)), **rest},
    }


def sized(name: str, *changes: Change, by: str = "default") -> Json:
    """Write an experiment that follows a policy."""
    resources = {"policy": by, "estimate": NEEDS}
    return played(name, ("spec/resources", resources), *changes)
