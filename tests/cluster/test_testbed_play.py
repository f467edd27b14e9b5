"""KWOK plays pods as the kubelet would report them; the audit log tells who wrote."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from testbed.cluster import Cluster
from testbed.nodes import DOOMED, SMALL, add, lose, remove
from testbed.reader import Gone, Reader

WORDS: tuple[tuple[str, dict[str, str], dict[str, Any], str], ...] = (
    (
        "a-result-is-computed-from-the-parameters",
        {"SCALING_PARAM_X": "0.8", "SCALING_PARAM_WIDTH": "16"},
        {"exitCode": 0, "reason": "Completed", "message": '{"v":1,"metrics":{"loss":0.3125}}'},
        "Succeeded",
    ),
    ("silence", {"PLAY": "silent"}, {"exitCode": 0, "reason": "Completed"}, "Succeeded"),
    (
        "a-message-of-ones-own",
        {"PLAY": "message", "PLAY_MESSAGE": "1 \"2\" {3}: '4'"},
        {"exitCode": 0, "reason": "Completed", "message": "1 \"2\" {3}: '4'"},
        "Succeeded",
    ),
    ("an-exit-code", {"PLAY": "exit-87"}, {"exitCode": 87, "reason": "Error"}, "Failed"),
    ("the-kernels-end", {"PLAY": "oom"}, {"exitCode": 137, "reason": "OOMKilled"}, "Failed"),
    ("an-eviction", {"PLAY": "evict"}, {"exitCode": 137, "reason": "Error"}, "Failed"),
    (
        "the-second-attempt-plays-the-second-word",
        {"PLAY": "oom,exit-3", "SCALING_ATTEMPT": "1"},
        {"exitCode": 3, "reason": "Error"},
        "Failed",
    ),
    (
        "the-last-word-stands-for-all-that-follow",
        {"PLAY": "oom,exit-3", "SCALING_ATTEMPT": "7"},
        {"exitCode": 3, "reason": "Error"},
        "Failed",
    ),
    (
        "one-trial-may-play-another-word",
        {"PLAY": "oom", "PLAY_12": "exit-4", "SCALING_TRIAL": "12"},
        {"exitCode": 4, "reason": "Error"},
        "Failed",
    ),
)
WAITS = {"image": "ImagePullBackOff", "config": "CreateContainerConfigError"}


def pod(name: str, environment: dict[str, str], **spec: Any) -> dict[str, Any]:
    variables: list[dict[str, Any]] = [
        {"name": key, "value": value} for key, value in environment.items()
    ]
    # As a real trial has: a variable without a value of its own.
    variables.append(
        {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
    )
    container = {"name": "trainer", "image": "played", "env": variables}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"restartPolicy": "Never", "containers": [container], **spec},
    }


@pytest.fixture(scope="module")
def pods(cluster: Cluster, namespace: str, nodes: Sequence[str]) -> Iterator[int]:
    """All pods of this module at once; gives the end of the audit log before them."""
    del nodes
    start = cluster.audit.position()
    items = [pod(name, environment) for name, environment, _, _ in WORDS]
    items += [pod(word, {"PLAY": word}) for word in (*WAITS, "hang")]
    document = {"apiVersion": "v1", "kind": "List", "items": items}
    cluster.kubectl("-n", namespace, "create", "-f", "-", stdin=document)
    yield start
    cluster.kubectl("-n", namespace, "delete", "pods", "--all", "--wait=false")


def wait_phase(reader: Reader, namespace: str, name: str, phase: str) -> dict[str, Any]:
    deadline = time.monotonic() + 20
    while (stored_pod := reader.read("pods", namespace, name))["status"]["phase"] != phase:
        assert time.monotonic() < deadline, stored_pod["status"]
        time.sleep(0.05)
    status: dict[str, Any] = stored_pod["status"]
    return status


@pytest.mark.usefixtures("pods")
@pytest.mark.parametrize(
    ("name", "environment", "ended", "phase"), WORDS, ids=[row[0] for row in WORDS]
)
def test_a_pod_ends_as_its_words_say(
    reader: Reader,
    namespace: str,
    name: str,
    environment: dict[str, str],
    ended: dict[str, Any],
    phase: str,
) -> None:
    status = wait_phase(reader, namespace, name, phase)

    state = status["containerStatuses"][0]["state"]["terminated"]
    assert {key: state.get(key) for key in ended} == ended
    assert status.get("reason") == ("Evicted" if environment.get("PLAY") == "evict" else None)


@pytest.mark.usefixtures("pods")
@pytest.mark.parametrize("word", WAITS)
def test_a_pod_that_cannot_start_says_why(reader: Reader, namespace: str, word: str) -> None:
    deadline = time.monotonic() + 20
    while "containerStatuses" not in (status := reader.read("pods", namespace, word)["status"]):
        assert time.monotonic() < deadline
        time.sleep(0.05)

    assert status["phase"] == "Pending"
    assert status["containerStatuses"][0]["state"]["waiting"]["reason"] == WAITS[word]


@pytest.mark.usefixtures("pods")
def test_a_pod_that_hangs_runs_until_it_is_deleted(
    cluster: Cluster, reader: Reader, namespace: str
) -> None:
    wait_phase(reader, namespace, "hang", "Running")
    time.sleep(0.5)
    assert reader.read("pods", namespace, "hang")["status"]["phase"] == "Running"

    cluster.kubectl("-n", namespace, "delete", "pod", "hang", seconds=10)

    with pytest.raises(Gone):
        reader.read("pods", namespace, "hang")


def test_a_lost_nodes_pod_is_given_up_and_stays(
    cluster: Cluster, reader: Reader, namespace: str, nodes: Sequence[str]
) -> None:
    del nodes
    add(cluster, DOOMED, SMALL, {"doomed": "yes"})
    body = pod("on-doomed", {"PLAY": "hang"}, nodeSelector={"doomed": "yes"})
    cluster.kubectl("-n", namespace, "create", "-f", "-", stdin=body)
    wait_phase(reader, namespace, "on-doomed", "Running")

    lose(cluster, DOOMED)

    deadline = time.monotonic() + 20
    while (
        "deletionTimestamp"
        not in (stored_pod := reader.read("pods", namespace, "on-doomed"))["metadata"]
    ):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    reasons = {
        condition["type"]: condition.get("reason")
        for condition in stored_pod["status"]["conditions"]
    }
    assert reasons["DisruptionTarget"] == "DeletionByTaintManager"
    remove(cluster, DOOMED)


def test_the_audit_log_tells_who_wrote_what(
    cluster: Cluster, reader: Reader, namespace: str, pods: int
) -> None:
    wait_phase(reader, namespace, WORDS[0][0], "Succeeded")

    about = [
        entry
        for entry in cluster.audit.entries(pods)
        if (entry.namespace, entry.name) == (namespace, WORDS[0][0])
    ]
    about.sort(key=lambda entry: entry.received_seconds)

    requests = [(entry.agent, entry.verb, entry.resource, entry.code) for entry in about]
    assert requests[:4] == [
        ("kubectl", "create", "pods", 201),
        ("kube-scheduler", "create", "pods/binding", 201),
        ("kwok-controller", "patch", "pods/status", 200),
        ("kwok-controller", "patch", "pods/status", 200),
    ]
