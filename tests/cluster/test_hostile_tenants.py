"""An honest experiment does not notice fifty that are as costly as the API lets them be."""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import Any

import pytest
from ruamel.yaml import YAML
from testbed.chart import CHART
from testbed.cluster import Cluster, Refused
from testbed.documents import played
from testbed.hostile import fuzzed, hostile
from testbed.installation import Installation, Installer
from testbed.monitor import monitored
from testbed.site import Site

from scaling_operator.api.quantities import parse_quantity
from scaling_operator.kube.settings import LeaseSettings

HOSTILE = 50
FUZZED = 25
"""Beside those: out of the schema, at its bounds and beyond."""
AT_ONCE = 8
HONEST = 5
"""Measured so often, alone and beside the others."""
SLACK_SECONDS = 10.0
"""Where a machine does everything at once, API server and operator too, moments come late."""
ANSWER_SECONDS = 900.0
"""Such a wait ends where something hangs; where two cores do all of it, 330 s were seen."""


@pytest.fixture
def theirs(cluster: Cluster) -> Iterator[str]:
    """A namespace of somebody else's."""
    name = f"hostile-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def installation(installer: Installer, theirs: str) -> Iterator[Installation]:
    """An operator that serves both namespaces."""
    with installer.installed("--watch-namespace", theirs) as installed:
        yield installed


def first_pod_seconds(site: Site, name: str) -> float:
    """Begin an honest experiment, and tell when its first pod was there."""
    site.apply(played(name, ("spec/trials", {"max": 2}), PLAY_SECONDS="0.1"))
    began = time.monotonic()
    site.wait(lambda: site.pods(name) or site.status(name).get("best"), 120, f"{name} has a pod")
    took = time.monotonic() - began
    site.wait_end(name, 120)
    return took


def create(cluster: Cluster, namespace: str) -> None:
    """Create all hostile experiments, many at once."""
    options = ("-n", namespace, "create", "--validate=false", "-f", "-")

    def create_one(document: dict[str, Any]) -> bool:
        cluster.kubectl(*options, stdin=document, seconds=240)
        return True

    def create_if_taken(document: dict[str, Any]) -> bool:
        try:
            return create_one(document)
        except Refused as refused:
            if "is invalid" not in str(refused):
                raise
            return False

    with ThreadPoolExecutor(AT_ONCE) as pool:
        hostile_ones = pool.map(create_one, hostile(HOSTILE))
        taken = sum(pool.map(create_if_taken, fuzzed(FUZZED)))
        assert sum(hostile_ones) == HOSTILE
    assert taken > FUZZED / 5


def unanswered(site: Site, namespace: str) -> list[str]:
    """Name the experiments that the operator has said nothing of yet."""
    found = site.reader.list("scalingexperiments", namespace)
    return [
        each["metadata"]["name"]
        for each in found
        if not each.get("status", {}).get("conditions", [])
    ]


def reasons(site: Site, namespace: str) -> set[str]:
    """Tell what the operator has found of all of them, where it is no good news."""
    return {
        condition["reason"]
        for each in site.reader.list("scalingexperiments", namespace)
        for condition in each["status"]["conditions"]
        if (condition["type"], condition["status"])
        in {("Accepted", "False"), ("InternalError", "True"), ("Sized", "False")}
    }


def most_memory_bytes() -> float:
    yaml: Any = YAML(typ="safe", pure=True)
    values = yaml.load((CHART / "values.yaml").read_text())
    return float(parse_quantity(values["resources"]["limits"]["memory"]))


@pytest.mark.timeout(2700, func_only=True)
def test_an_honest_experiment_does_not_notice_hostile_ones(
    installation: Installation, theirs: str, capsys: pytest.CaptureFixture[str]
) -> None:
    site = installation.site
    alone = median(first_pod_seconds(site, f"alone-{at}") for at in range(HONEST))
    with monitored(installation) as monitor:
        create(site.cluster, theirs)
        beside = [first_pod_seconds(site, f"beside-{at}") for at in range(HONEST)]
        site.wait(lambda: not unanswered(site, theirs), ANSWER_SECONDS, "all are answered")
        bad = reasons(site, theirs)
        site.cluster.kubectl(
            "-n", theirs, "delete", "sx", "--all", "--wait=false", seconds=ANSWER_SECONDS
        )
        after = first_pod_seconds(site, "after")
    with capsys.disabled():
        sys.stdout.write(
            f"\nfirst pod: alone {alone:.2f} s, beside {HOSTILE} hostile ones {median(beside):.2f} "
            f"(worst {max(beside):.2f}), while these are deleted {after:.2f}; "
            f"Lease renewed at the latest after {monitor.lease_age_seconds:.1f} s; "
            f"{monitor.memory_bytes / 2**20:.0f} MiB; "
            f"{', '.join(sorted(bad))}\n"
        )
    assert max(median(beside), after) <= 2 * alone + SLACK_SECONDS
    assert monitor.lease_age_seconds < LeaseSettings().duration_seconds
    assert (len(monitor.holders), len(monitor.transitions)) == (1, 1), "the Lease was lost"
    assert monitor.unhealthy == 0
    assert installation.operator.is_alive
    assert installation.operator.starts == 1
    assert monitor.memory_bytes < most_memory_bytes()
    assert "InternalError" not in bad
