"""Trials that a policy sizes, on a node: memory that really runs out, hours that really pass."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from testbed.site import ENDS, Site
from testnode.names import ImageNames
from testnode.scripts import own

SECONDS = 180.0
Document = dict[str, Any]


@pytest.fixture
def policy_name(site: Site) -> Iterator[str]:
    """A policy's name of this test's own: policies are cluster-wide."""
    yield f"{site.namespace}-sizing"
    site.kubectl("delete", "rsp", f"{site.namespace}-sizing", "--ignore-not-found")


def policy(name: str, resource: str, **rest: Any) -> Document:
    """Write a policy of one accelerator, at one unit of money a second."""
    shape = {"name": "gpu", "resource": resource, "memory": "80Gi", "flops": 1e9}
    return {
        "apiVersion": "scaling-operator.dev/v1alpha1",
        "kind": "ResourcePolicy",
        "metadata": {"name": name},
        "spec": {"shapes": [{**shape, "pricePerHour": 3600}], **rest},
    }


def sized(name: str, image: str, script: str, by: str, **spec: Any) -> Document:
    """Write an experiment whose trials run a Python script on what a policy gives them."""
    resources = {"policy": by, "estimate": spec.pop("estimate")}
    return own(name, image, script, resources=resources, **spec)


# Takes 2.25 GiB, whatever it was given, and says so where it lives on.
HUNGRY = """
import json, os, resource
data = bytearray(2304 * 1024 * 1024)
data[::4096] = b"x" * len(data[::4096])
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
loss = float(os.environ["SCALING_PARAM_X"])
with open(os.environ["SCALING_RESULT_FILE"], "w") as file:
    json.dump({"v": 1, "metrics": {"loss": loss}, "peakHostBytes": peak}, file)
"""


@pytest.mark.parametrize(
    ("name", "escalation", "second"),
    [
        pytest.param("raised", {}, "3Gi", id="half as much again"),
        pytest.param("capped", {"memoryCap": "2560Mi"}, "2560Mi", id="no more than the cap"),
    ],
)
def test_host_memory_that_runs_out_is_raised_for_the_trial_and_for_its_siblings(
    *,
    site: Site,
    images: ImageNames,
    gpus: str,
    policy_name: str,
    name: str,
    escalation: Document,
    second: str,
) -> None:
    # No margin: the first attempt gets what the estimate says, which is too little.
    site.apply(policy(policy_name, gpus, firstMarginPercent=0, escalation=escalation))
    estimate = {"hostMemory": "2Gi", "deviceMemory": "1Gi", "batchSize": 8}
    two = {"max": 2, "parallel": 1, "maxFailed": 0}
    site.apply(sized(name, images.python, HUNGRY, policy_name, estimate=estimate, trials=two))

    status = site.wait_end(name, SECONDS)
    first, sibling = site.trials(name)
    attempts = first["status"]["attempts"]

    assert status["counts"]["succeeded"] == 2, site.picture()
    assert [attempt.get("reason") for attempt in attempts] == ["OOMKilled", None]
    assert [attempt["resources"]["memory"] for attempt in attempts] == ["2Gi", second]
    assert [trial["spec"]["number"] for trial in (first, sibling)] == [0, 1]
    # The same trial: what it measured is of the parameters that were proposed once.
    assert first["status"]["values"] == [pytest.approx(first["spec"]["parameters"]["x"])]
    assert attempts[0]["resources"]["execution"] == attempts[1]["resources"]["execution"]
    # One shortage is enough, and no more is asked for than what was used and the margin.
    (only,) = sibling["status"]["attempts"]
    asked = bytes_of(only["resources"]["memory"])
    peak = first["status"]["peakHostBytes"]
    assert "reason" not in only
    assert peak < asked <= min(1.11 * peak, bytes_of(second))


def bytes_of(quantity: str) -> float:
    """Read the quantities that the operator writes."""
    units = {"Mi": 2.0**20, "Gi": 2.0**30}
    return float(quantity[:-2]) * units[quantity[-2:]]


# Takes as long as its size says, five times longer than the policy's peak would have it.
PACED = """
import json, os, time
size, steps = float(os.environ["SCALING_PARAM_SIZE"]), 50
begun = time.monotonic()
for step in range(steps):
    time.sleep(size / steps)
seconds = time.monotonic() - begun
result = {"v": 1, "metrics": {"loss": 1 / size}, "steps": steps, "seconds": seconds}
with open(os.environ["SCALING_RESULT_FILE"], "w") as file:
    json.dump({**result, "stepSeconds": seconds / steps}, file)
"""
SIZES = (4, 8, 16)
LEDGER_SECONDS = 2.0
"""Of a trial: the kubelet counts in whole seconds, and an end is seen a moment later."""
PLAN_SHARE = 0.2


def test_hours_are_planned_within_a_fifth_after_one_scale_and_counted_as_they_pass(
    site: Site,
    images: ImageNames,
    gpus: str,
    policy_name: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    site.apply(policy(policy_name, gpus))
    estimate = {"hostMemory": "64Mi", "deviceMemory": "1Gi", "samples": 50, "flops": "size * 8e7"}
    rest = {
        "trials": {"max": 1, "parallel": 1},
        "scaling": {"parameter": "size", "sizes": list(SIZES)},
    }
    site.apply(sized("hours", images.python, PACED, policy_name, estimate=estimate, **rest))

    plans, held = watched(site, "hours")
    status = site.status("hours")
    used = [scale["sizing"]["usedGpuHours"] * 3600 for scale in status["scales"]]
    after_one = next(plan for plan in plans if plan[0] != plans[0][0])
    rows = {"planned": plans[0], "after one scale": after_one, "counted": used, "passed": held}
    figures = "".join(f"\nseconds {name}: {shown(row)}" for name, row in rows.items())
    with capsys.disabled():
        sys.stdout.write(figures + "\n")

    assert status["counts"]["succeeded"] == len(SIZES), site.picture()
    for counted, passed in zip(used, held, strict=True):
        assert counted == pytest.approx(passed, abs=LEDGER_SECONDS), figures
    ledger = status["ledger"]
    assert ledger["usedGpuHours"] * 3600 == pytest.approx(sum(used), rel=0.001)
    assert ledger["usedCost"] == pytest.approx(sum(used), rel=0.001), "one a second"
    for planned, counted in list(zip(after_one, used, strict=True))[1:]:
        assert planned == pytest.approx(counted, rel=PLAN_SHARE), figures


def shown(seconds: list[float]) -> str:
    return " ".join(f"{duration:.1f}" for duration in seconds)


def watched(site: Site, name: str) -> tuple[list[list[float]], list[float]]:
    """Watch an experiment to its end, by this process' clock.

    Give the plans that its status had, each by scale and in seconds, and how long each pod was on
    the node.
    """
    plans: list[list[float]] = []
    held: dict[str, tuple[float, float]] = {}
    deadline = time.monotonic() + SECONDS
    while (status := site.status(name)).get("phase") not in ENDS:
        assert time.monotonic() < deadline, site.picture()
        sizing = [scale.get("sizing", {}) for scale in status.get("scales", [])]
        plan = [
            scale_sizing["plannedGpuHours"] * 3600
            for scale_sizing in sizing
            if "plannedGpuHours" in scale_sizing
        ]
        if len(plan) == len(SIZES) and plan not in plans:
            plans.append(plan)
        now = time.monotonic()
        for pod in site.pods(name):
            if "startTime" in pod["status"] and pod["status"]["phase"] in ("Pending", "Running"):
                at = pod["metadata"]["name"]
                held[at] = (held.get(at, (now, now))[0], now)
        time.sleep(0.1)
    return plans, [end - begin for _, (begin, end) in sorted(held.items())]
