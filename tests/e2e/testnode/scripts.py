"""Experiments whose trials run a script."""

from __future__ import annotations

from typing import Any

from testbed.documents import API_VERSION


def own(name: str, image: str, script: str, **spec: Any) -> dict[str, Any]:
    """Write an experiment whose trials run a Python script from an image."""
    return {
        "apiVersion": API_VERSION,
        "kind": "ScalingExperiment",
        "metadata": {"name": name},
        "spec": {
            "objective": {"metric": "loss", "direction": "minimize"},
            "search": {
                "parameters": {"x": {"type": "float", "low": 0, "high": 1}},
                "algorithm": {"name": "random", "seed": 7},
            },
            "trials": {"max": 1, "parallel": 1},
            "trainer": {
                "container": {
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["python3", "-c", script],
                }
            },
            **spec,
        },
    }
