"""Nodes that KWOK plays."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from testbed.cluster import Cluster

PLAYED = "played-0"
DOOMED = "doomed-0"
ROOMY = {"cpu": "1000", "memory": "4Ti", "pods": "10000", "nvidia.com/gpu": "64"}
SMALL = {"cpu": "4", "memory": "16Gi", "pods": "100"}


def add(
    cluster: Cluster,
    name: str,
    capacity: Mapping[str, str],
    labels: Mapping[str, str] | None = None,
) -> None:
    """Add a node that is Ready at once, and holds what `capacity` says."""
    node = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {"kwok.x-k8s.io/node": "fake"},
            "labels": {"kubernetes.io/hostname": name, **(labels or {})},
        },
        "status": {"capacity": dict(capacity), "allocatable": dict(capacity)},
    }
    cluster.kubectl("create", "-f", "-", stdin=node)
    cluster.kubectl("wait", "--for=condition=Ready", f"node/{name}", "--timeout=30s")


def lose(cluster: Cluster, name: str) -> None:
    """Let a node vanish: its kubelet says nothing any more, and its pods cannot be ended.

    Only a node whose name begins with `doomed` keeps its pods so (play.yaml).
    """
    cluster.kubectl("annotate", "node", name, "testbed/lost=true")
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    condition = {
        "type": "Ready",
        "status": "Unknown",
        "reason": "NodeStatusUnknown",
        "message": "Kubelet stopped posting node status.",
        "lastHeartbeatTime": now,
        "lastTransitionTime": now,
    }
    body = json.dumps({"status": {"conditions": [condition]}})
    cluster.kubectl("patch", "node", name, "--subresource=status", "--type=strategic", "-p", body)


# A pod may go by itself between the list and its deletion.
_AT_ONCE = ("--force", "--grace-period=0", "--ignore-not-found")


def remove(cluster: Cluster, name: str) -> None:
    """Remove a node, with what is left on it."""
    pods = cluster.read("pods", "-A", f"--field-selector=spec.nodeName={name}")["items"]
    for pod in pods:
        at, of = pod["metadata"]["namespace"], pod["metadata"]["name"]
        cluster.kubectl("-n", at, "delete", "pod", of, *_AT_ONCE)
    cluster.kubectl("delete", "node", name)
