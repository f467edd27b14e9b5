"""Reports of running pods to a running operator: identity, curves, pruning, restarts.

KWOK plays the pods; the client that a trainer uses runs here, with the variables and the token that
a kubelet would give the pod.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from testbed.cluster import Cluster
from testbed.documents import played
from testbed.installation import Installation, Installer

from scaling_operator.api.names import REPORT_AUDIENCE
from scaling_trainer.report import Reporter

MEDIAN = {"name": "median", "startupTrials": 1}
BOUNDED_SECONDS = 30.0


@pytest.fixture(scope="module")
def installation(installer: Installer) -> Iterator[Installation]:
    """An operator that pods can report to."""
    with installer.installed(started=False) as installation:
        operator = installation.operator
        url = f"https://127.0.0.1:{operator.report_port}"
        operator.options = (*operator.options, "--report-url", url, "--report-host", "127.0.0.1")
        operator.start().wait_ready()
        yield installation


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def variables(pod: dict[str, Any]) -> dict[str, str]:
    (container,) = pod["spec"]["containers"]
    return {variable["name"]: variable.get("value", "") for variable in container["env"]}


def audience_and_path(pod: dict[str, Any]) -> tuple[str, str]:
    """For whom the pod's token is, and where the kubelet writes it."""
    for volume in pod["spec"]["volumes"]:
        for source in volume.get("projected", {}).get("sources", []):
            mounts = pod["spec"]["containers"][0]["volumeMounts"]
            (mount,) = [candidate for candidate in mounts if candidate["name"] == volume["name"]]
            token = source["serviceAccountToken"]
            return token["audience"], f"{mount['mountPath']}/{token['path']}"
    message = "the pod has no token"
    raise AssertionError(message)


def reporter(installation: Installation, pod_name: str, folder: Path) -> Reporter:
    """Make the client as it would be made within a pod."""
    site = installation.site
    pod = site.cluster.read("-n", site.namespace, "pod", pod_name)
    environment = variables(pod)
    audience, path = audience_and_path(pod)
    assert environment["SCALING_REPORT_TOKEN_FILE"] == path
    token = folder / pod_name
    token.write_text(token_of(site.cluster, site.namespace, pod_name, audience))
    environment["SCALING_REPORT_TOKEN_FILE"] = str(token)
    environment["SCALING_RESULT_FILE"] = str(folder / f"{pod_name}.result")
    return Reporter.from_environment(environment)


def token_of(cluster: Cluster, namespace: str, pod_name: str, audience: str) -> str:
    bound = ("--bound-object-kind=Pod", f"--bound-object-name={pod_name}")
    created = ("create", "token", "default", "--audience", audience, *bound)
    return cluster.kubectl("-n", namespace, *created)


def running(installation: Installation, name: str) -> set[str]:
    pods = installation.site.pods(name)
    return {pod["metadata"]["name"] for pod in pods if pod["status"].get("phase") == "Running"}


def wait_running(installation: Installation, name: str, pod: str) -> None:
    installation.site.wait(
        lambda: pod in running(installation, name), BOUNDED_SECONDS, f"{pod} runs"
    )


def test_a_hopeless_trial_is_told_to_stop_and_has_ended_before_it_hears(
    installation: Installation, folder: Path
) -> None:
    search = ("spec/trials", {"max": 2, "parallel": 1})
    pruner = ("spec/search/pruner", MEDIAN)
    installation.site.apply(played("pruned", search, pruner, PLAY_SECONDS="3", PLAY_1="hang"))
    wait_running(installation, "pruned", "pruned-0-0-0")
    first = reporter(installation, "pruned-0-0-0", folder)
    for step in (1, 2, 3):
        assert first.report(step, {"loss": 1.0}) is False
    first.close()
    wait_running(installation, "pruned", "pruned-0-1-0")
    second = reporter(installation, "pruned-0-1-0", folder)

    told_to_stop = second.report(1, {"loss": 9.0})

    # The decision was written down before the answer.
    trial = installation.site.trial("pruned", 1)["status"]
    assert told_to_stop
    assert (trial["state"], trial["values"]) == ("Pruned", [9.0])
    assert trial["curve"] == [{"step": 1, "value": 9}]
    # It is told the same as often as it asks, and its pod goes, whether or not it obeys.
    assert second.report(2, {"loss": 0.0})
    second.close()
    status = installation.site.wait_end("pruned")
    assert (status["counts"]["succeeded"], status["counts"]["pruned"]) == (1, 1)
    installation.site.wait(lambda: not installation.site.pods("pruned"), 60, "its pod is deleted")


def test_the_curve_of_a_running_trial_is_kept(installation: Installation, folder: Path) -> None:
    installation.site.apply(
        played("curve", ("spec/trials", {"max": 1}), ("spec/search/pruner", MEDIAN), PLAY="hang")
    )
    wait_running(installation, "curve", "curve-0-0-0")
    trainer = reporter(installation, "curve-0-0-0", folder)
    for step in range(1, 4):
        trainer.report(step, {"loss": 1 / step})

    def stored() -> list[dict[str, Any]]:
        return installation.site.trial("curve", 0).get("status", {}).get("curve", [])

    installation.site.wait(lambda: len(stored()) == 3, BOUNDED_SECONDS, "the curve is stored")
    assert [point["step"] for point in stored()] == [1, 2, 3]
    # What is stored is durable: the client keeps it no longer.
    trainer.report(4, {"loss": 0.25})
    trainer.close()


def test_a_trainer_goes_on_reporting_to_the_next_operator(
    installation: Installation, folder: Path
) -> None:
    installation.site.apply(
        played("went", ("spec/trials", {"max": 1}), ("spec/search/pruner", MEDIAN), PLAY="hang")
    )
    wait_running(installation, "went", "went-0-0-0")
    trainer = reporter(installation, "went-0-0-0", folder)
    trainer.report(1, {"loss": 1.0})
    installation.operator.kill()
    assert trainer.report(2, {"loss": 0.5}) is False
    installation.operator.start().wait_ready()

    def has_whole_curve() -> bool:
        trainer.report(None, {"loss": 0.25})
        curve = installation.site.trial("went", 0).get("status", {}).get("curve", [])
        return {1, 2} <= {point["step"] for point in curve}

    # What the first operator had heard and not stored was sent again.
    installation.site.wait(has_whole_curve, 60, "the next operator has all of the curve")
    trainer.close()


def test_a_pod_that_runs_no_attempt_is_told_so(
    installation: Installation, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    site = installation.site
    installation.site.apply(played("owner", ("spec/trials", {"max": 1}), PLAY="hang"))
    wait_running(installation, "owner", "owner-0-0-0")
    trainer = reporter(installation, "owner-0-0-0", folder)
    stranger = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "stranger"},
        "spec": {"containers": [{"name": "c", "image": "none.invalid/none"}]},
    }
    site.apply(stranger)
    token = token_of(site.cluster, site.namespace, "stranger", REPORT_AUDIENCE)
    (folder / "owner-0-0-0").write_text(token)

    assert trainer.report(1, {"loss": 0.0}) is False

    trainer.close()
    assert "HTTP 403 pod stranger runs no attempt of a trial" in caplog.text
    assert not installation.site.trial("owner", 0).get("status", {}).get("curve")


def test_a_deleted_trial_tells_its_trainer_to_stop(
    installation: Installation, folder: Path
) -> None:
    installation.site.apply(played("robbed", ("spec/trials", {"max": 1}), PLAY="hang"))
    wait_running(installation, "robbed", "robbed-0-0-0")
    trainer = reporter(installation, "robbed-0-0-0", folder)
    assert trainer.report(None, {"loss": 1.0}) is False
    installation.site.kubectl("delete", "sx", "robbed", "--wait=false")
    deadline = time.monotonic() + BOUNDED_SECONDS
    while installation.site.pods("robbed"):
        assert time.monotonic() < deadline, "the pod goes with its experiment"
        # Whatever the endpoint says meanwhile, nothing is raised into the training.
        trainer.report(None, {"loss": 1.0})
        time.sleep(0.2)
    trainer.close()
