"""Reports of real pods over HTTPS: their curves, and what an upgrade in their midst costs."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from testbed.chart import NAME
from testbed.cluster import Cluster
from testbed.documents import API_VERSION
from testbed.helm import Helm
from testnode.names import ImageNames

from scaling_operator.core.curve import thin

STEPS = 60
STEP_SECONDS = 0.5
SECONDS = 180
SCRIPT = f"""
import time
from scaling_trainer import report, result
for step in range(1, {STEPS} + 1):
    time.sleep({STEP_SECONDS})
    if report(step=step, loss=1 / step):
        raise SystemExit("told to stop")
result(loss=0.5)
"""


def slow(name: str, images: ImageNames) -> dict[str, Any]:
    """Write an experiment of one trial that reports for half a minute; its curve is kept."""
    container = {"image": images.trainer, "command": ["python3", "-c"], "args": [SCRIPT]}
    container |= {"imagePullPolicy": images.pull}
    return {
        "apiVersion": API_VERSION,
        "kind": "ScalingExperiment",
        "metadata": {"name": name},
        "spec": {
            "objective": {"metric": "loss", "direction": "minimize"},
            "search": {
                "parameters": {"x": {"type": "float", "low": 0, "high": 1}},
                "algorithm": {"name": "random", "seed": 7},
                "pruner": {"name": "median"},
            },
            "trials": {"max": 1},
            "trainer": {"container": container},
        },
    }


def secret(release: Helm) -> dict[str, str]:
    where = ("-n", release.namespace, "secret", f"{NAME}-reports")
    data: dict[str, str] = release.cluster.read(*where)["data"]
    return {file: base64.b64decode(text).decode() for file, text in data.items()}


@pytest.mark.usefixtures("release")
def test_an_upgrade_in_the_midst_of_a_training_costs_no_report(
    release: Helm, e2e_cluster: Cluster, namespace: str, images: ImageNames
) -> None:
    kubectl, here = e2e_cluster.kubectl, ("-n", namespace)
    kubectl(*here, "create", "-f", "-", stdin=slow("midst", images))
    trial = ("sxt/midst-0-0",)
    # Points of the curve are in the trial's status: the pod has reported, and it still trains.
    has_point = ("--for=jsonpath={.status.curve[0].step}=1", f"--timeout={SECONDS}s")
    kubectl(*here, "wait", "--for=create", *trial, "--timeout=60s", seconds=70)
    kubectl(*here, "wait", *trial, *has_point, seconds=SECONDS + 10)
    assert e2e_cluster.read(*here, *trial)["status"]["state"] == "Running"
    before = secret(release)

    # Another name needs another certificate, and the Deployment another pod.
    release.upgrade(reports={"hosts": ["reports.example"]})
    rollout = ("rollout", "status", f"deployment/{NAME}", "--timeout=110s")
    kubectl("-n", release.namespace, *rollout, seconds=120)

    over = ("--for=jsonpath={.status.phase}=Succeeded", f"--timeout={SECONDS}s")
    kubectl(*here, "wait", "sx/midst", *over, seconds=SECONDS + 10)
    after, status = secret(release), e2e_cluster.read(*here, *trial)["status"]
    assert after["tls.crt"] != before["tls.crt"]
    assert (after["ca.crt"], after["ca.key"]) == (before["ca.crt"], before["ca.key"])
    # One attempt, and every point that a curve keeps: nothing was lost on the way.
    assert status["values"] == [0.5]
    assert [attempt["number"] for attempt in status["attempts"]] == [0]
    expected = thin([(step, 1 / step) for step in range(1, STEPS + 1)])
    assert [(point["step"], point["value"]) for point in status["curve"]] == list(expected)
