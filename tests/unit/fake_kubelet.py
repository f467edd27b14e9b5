"""Acts as the kubelet and the Job controller of an API server in memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from fake_cluster import FakeCluster, Object

from scaling_operator.kube.client.kinds import JOBS, PODS, Kind
from scaling_operator.kube.workloads.pod_template import CONTAINER

NODE = "node-1"


def start(cluster: FakeCluster, namespace: str, name: str) -> None:
    """Put a pod on the node and run it."""
    now = _now(cluster)

    def change(pod: Object) -> None:
        pod["spec"]["nodeName"] = NODE
        pod["status"] |= {"phase": "Running", "startTime": now}
        pod["status"]["containerStatuses"] = [_container({"running": {"startedAt": now}})]

    cluster.edit(PODS, namespace, name, change)


def end(
    cluster: FakeCluster,
    namespace: str,
    name: str,
    *,
    code: int = 0,
    message: str = "",
    reason: str = "",
    **status: Any,
) -> None:
    """End a pod's container; `status` are further fields. A deleted pod is gone then."""
    now = _now(cluster)
    terminated_reason = reason or ("Error" if code else "Completed")
    ended = {"exitCode": code, "reason": terminated_reason, "message": message, "finishedAt": now}

    def change(pod: Object) -> None:
        pod["spec"].setdefault("nodeName", NODE)
        pod["status"] |= {"phase": "Failed" if code else "Succeeded"}
        pod["status"].setdefault("startTime", now)
        pod["status"]["containerStatuses"] = [_container({"terminated": ended})]
        pod["status"] |= status

    stored = cluster.edit(PODS, namespace, name, change)
    if "deletionTimestamp" in stored["metadata"]:
        cluster.remove(PODS, namespace, name)


def succeed(cluster: FakeCluster, namespace: str, name: str, **metrics: float) -> None:
    """End a pod with a result."""
    end(cluster, namespace, name, message=json.dumps({"v": 1, "metrics": metrics}))


def succeed_always(cluster: FakeCluster, result: Callable[[Object], dict[str, float]]) -> None:
    """End each attempt's pod from now on as soon as it is created, with the metrics of `result`."""

    def on_change(event: str, kind: Kind, pod: Object) -> None:
        if event == "ADDED" and kind is PODS:
            succeed(cluster, pod["metadata"]["namespace"], pod["metadata"]["name"], **result(pod))

    cluster.many_hooks.append(on_change)


def make_pod(cluster: FakeCluster, namespace: str, job: str) -> str:
    """Create a Job's pod, as the Job controller does; return its name."""
    owner = cluster.one(JOBS, namespace, job)
    template = owner["spec"]["template"]
    reference = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": job,
        "uid": owner["metadata"]["uid"],
        "controller": True,
    }
    metadata = {
        "name": f"{job}-x8k2p",
        "labels": {**template["metadata"]["labels"], "job-name": job},
        "ownerReferences": [reference],
    }
    pod = {"metadata": metadata, "spec": template["spec"], "status": {"phase": "Pending"}}
    cluster.add(PODS, namespace, pod)
    return str(metadata["name"])


def _container(state: Object) -> Object:
    return {"name": CONTAINER, "state": state}


def _now(cluster: FakeCluster) -> str:
    return datetime.fromtimestamp(cluster.clock(), tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
