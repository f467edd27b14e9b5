"""Pods for trials of the node itself, as the restricted profile of pod security allows them."""

from __future__ import annotations

from typing import Any

from testbed.cluster import Cluster

Document = dict[str, Any]


def pod(name: str, image: str, *command: str, limits: Document | None = None) -> Document:
    """Write a pod that runs a command once. Without a command the image says what runs."""
    container: Document = {
        "name": "main",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "resources": {"limits": limits or {}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    if command:
        container["command"] = list(command)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"restartPolicy": "Never", "containers": [container]},
    }


def run(cluster: Cluster, namespace: str, document: Document, seconds: float = 120) -> Document:
    """Create a pod, wait for its end and return how its container ended: exitCode, message ..."""
    cluster.kubectl("-n", namespace, "create", "-f", "-", stdin=document)
    name = f"pod/{document['metadata']['name']}"
    end = "jsonpath={.status.containerStatuses[0].state.terminated.exitCode}"
    waiting = ("wait", name, f"--for={end}", f"--timeout={seconds:g}s")
    cluster.kubectl("-n", namespace, *waiting, seconds=seconds + 10)
    status = cluster.read("-n", namespace, name)["status"]
    ended: Document = status["containerStatuses"][0]["state"]["terminated"]
    return ended
