"""`kubectl get` tells the state at a glance: every column shows its value."""

from __future__ import annotations

import json
from typing import Any

import pytest
from testbed.cluster import Cluster
from testbed.documents import experiment, policy, trial

pytestmark = pytest.mark.usefixtures("crds")
STATUS: dict[str, Any] = {
    "phase": "Running",
    "counts": {
        "running": 4,
        "queued": 5,
        "succeeded": 11,
        "pruned": 6,
        "failed": 2,
        "stopped": 3,
        "max": 120,
    },
    "best": {
        "trial": "1-17",
        "scale": 1,
        "number": 17,
        "parameters": {"optimizer.learning_rate": 0.03},
        "values": [0.125],
    },
}


def table(cluster: Cluster, namespace: str, *arguments: str) -> dict[str, str]:
    """Read the one row that kubectl lists, by column; columns are as wide as their heads."""
    head, row = cluster.kubectl("-n", namespace, "get", *arguments).splitlines()
    names = head.split()
    starts = [head.index(f"{name} " if name != names[-1] else name) for name in names]
    ends = [*starts[1:], None]
    return {
        name: row[start:end].strip() for name, start, end in zip(names, starts, ends, strict=True)
    }


def set_status(cluster: Cluster, namespace: str, target: str, status: dict[str, Any]) -> None:
    body = json.dumps({"status": status})
    patch = ("--subresource=status", "--type=merge", "-p", body)
    cluster.kubectl("-n", namespace, "patch", *target.split("/"), *patch)


@pytest.fixture(scope="module")
def listed(cluster: Cluster, namespace: str) -> str:
    cluster.kubectl("-n", namespace, "create", "-f", "-", stdin=experiment("listed"))
    set_status(cluster, namespace, "sx/listed", STATUS)
    return "listed"


def test_an_experiment_is_listed_with_its_counts_and_its_best(
    cluster: Cluster, namespace: str, listed: str
) -> None:
    row = table(cluster, namespace, "sx", listed)

    assert row.pop("AGE").endswith("s")
    assert row == {
        "NAME": "listed",
        "PHASE": "Running",
        "RUNNING": "4",
        "SUCCEEDED": "11",
        "PRUNED": "6",
        "FAILED": "2",
        "MAX": "120",
        "BEST": "0.125",
    }


def test_a_wide_list_adds_what_the_best_is(cluster: Cluster, namespace: str, listed: str) -> None:
    row = table(cluster, namespace, "sx", listed, "-o", "wide")

    assert {name: row[name] for name in ("METRIC", "ALGORITHM", "QUEUED", "STOPPED")} == {
        "METRIC": "val_loss",
        "ALGORITHM": "tpe",
        "QUEUED": "5",
        "STOPPED": "3",
    }
    assert row["TRIAL"] == "1-17"
    assert row["PARAMETERS"] == '{"optimizer.learning_rate":0.03}'


def test_a_trial_is_listed_with_its_state_and_value(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("-n", namespace, "create", "-f", "-", stdin=trial("listed-0-3"))
    fresh = table(cluster, namespace, "sxt", "listed-0-3")
    end = {"state": "Failed", "reason": "OOMKilled", "values": [0.5], "steps": 9, "seconds": 1.5}
    set_status(cluster, namespace, "sxt/listed-0-3", end | {"message": "out of memory"})

    row = table(cluster, namespace, "sxt", "listed-0-3", "-o", "wide")

    assert (fresh["STATE"], fresh["REASON"], fresh["VALUE"]) == ("Running", "", "")
    assert row.pop("AGE").endswith("s")
    assert row == {
        "NAME": "listed-0-3",
        "STATE": "Failed",
        "REASON": "OOMKilled",
        "VALUE": "0.5",
        "EXPERIMENT": "case-study",
        "SCALE": "0",
        "NUMBER": "3",
        "STEPS": "9",
        "SECONDS": "1.5",
        "MESSAGE": "out of memory",
    }


def test_a_policy_is_listed_with_its_queue(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("create", "-f", "-", stdin=policy(f"listed-{namespace}"))
    try:
        row = table(cluster, namespace, "rsp", f"listed-{namespace}")
    finally:
        cluster.kubectl("delete", "rsp", f"listed-{namespace}")

    assert row["QUEUE"] == "research"
