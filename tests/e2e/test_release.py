"""The chart on a node that runs pods: a user's first experiment ends with a best trial."""

from __future__ import annotations

from typing import Any

from testbed.cluster import Cluster
from testbed.documents import experiment
from testbed.helm import Helm

SECONDS = 180


def test_first_experiment_trains_in_pods_and_succeeds(
    release: Helm, e2e_cluster: Cluster, namespace: str
) -> None:
    del release
    changes = (
        ("spec/scaling/sizes", [4]),
        ("spec/trials", {"max": 2, "parallel": 2}),
        ("spec/trainer/builtIn/epochs", 2),
    )
    kubectl = e2e_cluster.kubectl
    kubectl("-n", namespace, "create", "-f", "-", stdin=experiment("first", *changes))
    over = "--for=jsonpath={.status.phase}=Succeeded"
    wait = ("wait", "sx/first", over, f"--timeout={SECONDS}s")
    kubectl("-n", namespace, *wait, seconds=SECONDS + 10)
    status: Any = e2e_cluster.read("-n", namespace, "sx/first")["status"]
    assert status["counts"]["succeeded"] == 2
