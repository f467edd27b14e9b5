"""An experiment runs to its end on a real API server, and kubectl shows how it stands."""

from __future__ import annotations

import re
from typing import Any

import pytest
from testbed.documents import played
from testbed.installation import Installation
from testbed.site import Site

TRIALS = 6


@pytest.fixture(scope="module")
def site(installation: Installation) -> Site:
    """A site where one experiment has run to its end."""
    installation.site.apply(
        played("search", ("spec/trials", {"max": TRIALS, "parallel": 2}), PLAY="succeed")
    )
    installation.site.wait_end("search")
    return installation.site


def test_every_trial_has_its_own_parameters_and_the_value_of_its_pod(site: Site) -> None:
    trials = site.trials("search")

    assert [trial["spec"]["number"] for trial in trials] == list(range(TRIALS))
    assert len({trial["spec"]["parameters"]["x"] for trial in trials}) == TRIALS
    for trial in trials:
        expected = (trial["spec"]["parameters"]["x"] - 0.3) ** 2
        assert trial["status"]["state"] == "Succeeded"
        assert trial["status"]["values"] == [pytest.approx(expected, rel=1e-12)]


def test_the_status_counts_them_and_names_the_best(site: Site) -> None:
    status = site.status("search")
    values = {trial["spec"]["number"]: trial["status"]["values"] for trial in site.trials("search")}

    assert status["phase"] == "Succeeded"
    assert status["counts"]["succeeded"] == status["counts"]["max"] == TRIALS
    assert status["best"]["number"] == min(values, key=lambda number: values[number])
    assert {"startTime", "completionTime"} <= set(status)


@pytest.mark.parametrize(
    ("kind", "status", "reason"),
    [
        ("Accepted", "True", "ValidSpec"),
        ("Complete", "True", "AllTrialsDone"),
        ("Suspended", "False", "Resumed"),
        ("Failed", "False", "WithinLimits"),
    ],
)
def test_conditions_have_reasons_and_a_generation(
    site: Site, kind: str, status: str, reason: str
) -> None:
    condition = site.condition("search", kind)

    assert (condition["status"], condition["reason"]) == (status, reason)
    assert condition["observedGeneration"] == site.experiment("search")["metadata"]["generation"]


def test_owners_lead_from_trial_to_experiment(site: Site) -> None:
    experiment = site.experiment("search")["metadata"]

    for trial in site.trials("search"):
        (owner,) = trial["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["uid"]) == ("ScalingExperiment", experiment["uid"])
        assert "finalizers" not in trial["metadata"]
    assert "finalizers" not in experiment


def test_pods_of_finished_trials_are_gone(site: Site) -> None:
    site.wait(lambda: not site.pods("search"), 10, "all pods are deleted")


def table(text: str) -> list[dict[str, str]]:
    """Read what kubectl prints: columns begin where their titles do."""
    head, *lines = text.splitlines()
    starts = [match.start() for match in re.finditer(r"\S+( \S+)*", head)]
    cuts = [slice(start, end) for start, end in zip(starts, [*starts[1:], None], strict=True)]
    return [{head[cut].strip(): line[cut].strip() for cut in cuts} for line in lines]


def test_kubectl_get_sx_tells_the_state_at_a_glance(site: Site) -> None:
    (row,) = table(site.kubectl("get", "sx", "search"))

    assert row["NAME"] == "search"
    assert row["PHASE"] == "Succeeded"
    assert (row["SUCCEEDED"], row["RUNNING"], row["FAILED"], row["MAX"]) == ("6", "0", "0", "6")
    assert float(row["BEST"]) == site.status("search")["best"]["values"][0]
    assert row["AGE"]


def test_kubectl_get_sx_wide_adds_scale_and_parameters_of_the_best(site: Site) -> None:
    (row,) = table(site.kubectl("get", "sx", "search", "-o", "wide"))
    best = site.status("search")["best"]

    assert row["TRIAL"] == best["trial"]
    assert str(best["parameters"]["x"]) in row["PARAMETERS"]


def test_kubectl_get_sxt_lists_the_trials(site: Site) -> None:
    rows = table(site.kubectl("get", "sxt"))

    assert [row["NAME"] for row in rows] == [f"search-0-{number}" for number in range(TRIALS)]
    assert {row["STATE"] for row in rows} == {"Succeeded"}
    by_name = {trial["metadata"]["name"]: trial for trial in site.trials("search")}
    for row in rows:
        assert float(row["VALUE"]) == by_name[row["NAME"]]["status"]["values"][0]


def test_a_ladder_runs_scale_by_scale(installation: Installation) -> None:
    site = installation.site
    ladder = {"parameter": "width", "sizes": [4, 8], "transfer": {"topK": 1, "shrink": 0.5}}
    site.apply(
        played("ladder", ("spec/trials", {"max": 3, "parallel": 3}), ("spec/scaling", ladder))
    )

    status = site.wait_end("ladder")

    trials = site.trials("ladder")
    assert [(trial["spec"]["scale"], trial["spec"]["number"]) for trial in trials] == [
        (scale, number) for scale in range(2) for number in range(3)
    ]
    assert [trial["spec"]["parameters"]["width"] for trial in trials] == [4, 4, 4, 8, 8, 8]
    # What the smaller scale has found best is the first point of the larger one.
    best = status["scales"][0]["best"]["parameters"]["x"]
    assert trials[3]["spec"]["parameters"]["x"] == best
    last_end = max(trial["status"]["completionTime"] for trial in trials[:3])
    assert trials[3]["metadata"]["creationTimestamp"] >= last_end[:19]


def test_two_experiments_with_one_name_in_two_namespaces_do_not_meet(
    installation: Installation, site: Site, installer: Any
) -> None:
    with installer.installed() as second:
        second.site.apply(played("search", ("spec/trials", {"max": 2}), PLAY="succeed"))
        second.site.wait_end("search")

        assert len(second.site.trials("search")) == 2
    assert len(site.trials("search")) == TRIALS
    assert installation.operator.starts == 1
