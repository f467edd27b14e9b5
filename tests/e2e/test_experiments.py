"""Experiments on a node that really runs pods, with the chart installed as a user does it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from testbed.helm import Helm
from testbed.samples import read
from testbed.site import Site
from testnode.scripts import own

OPERATOR = "app.kubernetes.io/name=scaling-operator"
SECONDS = 900.0

Document = dict[str, Any]


def sample(name: str, renamed: str, **trials: Any) -> Document:
    """Read a sample and change its name and some of `spec.trials`."""
    document = read(name)
    document["metadata"]["name"] = renamed
    document["spec"]["trials"] |= trials
    return document


RESULT = """
import json, os
with open(os.environ["SCALING_RESULT_FILE"], "w") as file:
    json.dump({"v": 1, "metrics": {"loss": float(os.environ["SCALING_PARAM_X"])}}, file)
"""


def outcomes(trials: list[Document]) -> dict[str, Any]:
    """What was proposed and what came of it, by trial."""
    return {
        f"{trial['spec']['scale']}-{trial['spec']['number']}": (
            {name: float(value) for name, value in trial["spec"]["parameters"].items()},
            trial["status"]["state"],
            trial["status"].get("values"),
        )
        for trial in trials
    }


def run_locally(document: Document, folder: Path) -> dict[str, Any]:
    """Run the same file on this machine."""
    file, out = folder / "experiment.json", folder / "out"
    file.write_text(json.dumps(document))
    command = [str(Path(sys.executable).with_name("scaling")), "run", str(file), "--out", str(out)]
    subprocess.run(command, check=True, timeout=SECONDS, capture_output=True)
    stored = sorted(out.glob("trials/*/trial.json"))
    return outcomes([json.loads(path.read_text()) for path in stored])


def test_a_cluster_proposes_and_scores_trial_by_trial_what_a_local_run_does(
    site: Site, tmp_path: Path
) -> None:
    document = sample("case-study", "alike", parallel=1)
    site.apply(document)
    expected = run_locally(document, tmp_path)
    site.wait_end("alike", SECONDS)
    assert len(expected) == 30
    assert outcomes(site.trials("alike")) == expected


def test_an_operator_that_is_killed_three_times_loses_and_repeats_nothing(
    site: Site, release: Helm
) -> None:
    site.apply(sample("case-study", "killed", parallel=4, max=16))

    def ended() -> int:
        counts = site.status("killed").get("counts", {})
        return counts.get("succeeded", 0)

    for at_least in (2, 6, 10):
        site.wait(lambda least=at_least: ended() >= least, SECONDS, f"{at_least} trials succeeded")
        # Without grace the kubelet sends SIGKILL.
        kill = ("delete", "pod", "-l", OPERATOR, "--force", "--grace-period=0", "--wait=false")
        site.cluster.kubectl("-n", release.namespace, *kill)
        time.sleep(2)
    status = site.wait_end("killed", SECONDS)
    trials = site.trials("killed")
    assert status["counts"]["succeeded"] == 16
    assert [trial["spec"]["number"] for trial in trials] == list(range(16))
    attempts = [attempt for trial in trials for attempt in trial["status"].get("attempts", [])]
    assert not [attempt for attempt in attempts if "reason" in attempt], "none was repeated"
    scheduled = Counter(
        event["involvedObject"]["name"]
        for event in site.reader.list("events", site.namespace)
        if event["reason"] == "Scheduled" and event["involvedObject"]["name"].startswith("killed-")
    )
    assert scheduled == {f"killed-0-{number}-0": 1 for number in range(16)}, (
        "each pod was made once"
    )


def test_a_script_without_any_sdk_is_tuned(site: Site, images: Any) -> None:
    document = sample("own-script", "own-script", max=6, parallel=3)
    document["spec"]["trainer"]["container"]["image"] = images.python
    site.apply(document)
    status = site.wait_end("own-script", SECONDS)
    assert status["counts"]["succeeded"] == 6
    assert status["best"]["values"][0] >= 0


@pytest.fixture
def policy(site: Site, gpus: str) -> str:
    """A policy of machines with accelerators, as a platform team writes it."""
    shape = {"name": "gpu", "resource": gpus, "memory": "80Gi", "maxPerPod": 128}
    document = {
        "apiVersion": "scaling-operator.dev/v1alpha1",
        "kind": "ResourcePolicy",
        "metadata": {"name": "gpus"},
        "spec": {"shapes": [{"name": "cpu"}, shape]},
    }
    site.apply(document)
    return "gpus"


def test_a_trial_gets_the_gpu_that_it_asks_for(
    site: Site, images: Any, gpus: str, policy: str
) -> None:
    fixed = {"policy": policy, "fixed": {"gpus": 1}}
    site.apply(own("gpu", images.python, RESULT, resources=fixed))
    assert site.wait_end("gpu", SECONDS)["counts"]["succeeded"] == 1
    scheduled = [
        event
        for event in site.reader.list("events", site.namespace)
        if event["involvedObject"]["name"] == "gpu-0-0-0" and event["reason"] == "Scheduled"
    ]
    assert len(scheduled) == 1
    assert gpus == "nvidia.com/gpu"


def test_gpus_that_no_node_has_are_waited_for_with_a_reason_and_not_for_ever(
    site: Site, images: Any, policy: str
) -> None:
    limits = {"max": 1, "parallel": 1, "pendingTimeout": "20s"}
    fixed = {"policy": policy, "fixed": {"gpus": 100}}
    site.apply(own("greedy", images.python, RESULT, resources=fixed, trials=limits))
    site.wait(lambda: site.trial("greedy", 0), 60, "a trial")
    site.wait(
        lambda: site.trial("greedy", 0).get("status", {}).get("state") == "Queued", 60, "it waits"
    )
    assert site.trial("greedy", 0)["status"]["reason"] == "Unschedulable"
    assert "nvidia.com/gpu" in site.trial("greedy", 0)["status"]["message"]
    assert site.wait_end("greedy", 120)["phase"] == "Failed"
    assert site.trial("greedy", 0)["status"]["reason"] == "Unschedulable"


PRUNABLE = """
import os, sys, time
from scaling_trainer import report, result
x = float(os.environ["SCALING_PARAM_X"])
for step in range(1, 200):
    loss = x + 1 / step
    if report(step=step, loss=loss):
        sys.exit(0)
    time.sleep(0.1)
result(loss=loss)
"""


def test_reports_over_https_prune_what_is_not_promising(site: Site, images: Any) -> None:
    search = {
        "parameters": {"x": {"type": "float", "low": 0, "high": 1}},
        "algorithm": {"name": "random", "seed": 7},
        "pruner": {"name": "median", "startupTrials": 1, "warmupSteps": 5},
        "warmStart": {"points": [{"x": 0.1}, {"x": 0.9}]},
    }
    trials = {"max": 2, "parallel": 1, "timeout": "5m"}
    site.apply(own("pruned", images.trainer, PRUNABLE, search=search, trials=trials))
    status = site.wait_end("pruned", SECONDS)
    assert (status["counts"]["succeeded"], status["counts"]["pruned"]) == (1, 1)
    trial = site.trial("pruned", 1)["status"]
    assert trial["curve"][-1]["step"] < 20, "stopped early"
    assert trial["message"].startswith("pruned after step")
    site.wait(lambda: not site.pods("pruned"), 60, "its pod is gone")


SLOW = (
    """
import time
time.sleep(8)
"""
    + RESULT
)


def test_a_pod_that_is_deleted_by_hand_is_made_again_as_the_next_attempt(
    site: Site, images: Any
) -> None:
    site.apply(own("deleted", images.python, SLOW))
    site.wait(
        lambda: any(pod["status"].get("phase") == "Running" for pod in site.pods("deleted")),
        60,
        "the pod runs",
    )
    site.kubectl("delete", "pod", "deleted-0-0-0", "--grace-period=1")
    assert site.wait_end("deleted", 180)["counts"]["succeeded"] == 1
    attempts = site.trial("deleted", 0)["status"]["attempts"]
    assert [attempt["reason"] for attempt in attempts if "reason" in attempt] == ["PodDeleted"]


HUNGRY = "data = bytearray(400 * 1024 * 1024); data[::4096] = b'x' * len(data[::4096])"


def test_a_trainer_that_takes_more_memory_than_it_has_is_named_for_it(
    site: Site, images: Any
) -> None:
    limits = {"max": 1, "parallel": 1, "maxFailed": 0}
    fixed = {"fixed": {"memory": "64Mi"}}
    site.apply(own("hungry", images.python, HUNGRY, resources=fixed, trials=limits))
    assert site.wait_end("hungry", 240)["phase"] == "Failed"
    status = site.trial("hungry", 0)["status"]
    assert status["reason"] == "OOMKilled"
    reasons = {event["reason"] for event in site.events("hungry")}
    assert "OOMKilled" in reasons
