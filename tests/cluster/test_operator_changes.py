"""What people do to a running experiment: changed bounds, deletions, specs that are no good."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from testbed.documents import Change, changed, experiment, played
from testbed.installation import Installation, Installer
from testbed.site import Site

DELETE_SECONDS = 60.0
Json = dict[str, Any]


@pytest.fixture
def site(installation: Installation) -> Site:
    return installation.site


def running(site: Site, name: str) -> list[Json]:
    return [pod for pod in site.pods(name) if pod["status"]["phase"] == "Running"]


def counts(site: Site, name: str) -> Json:
    trial_counts: Json = site.status(name).get("counts", {})
    return trial_counts


def trials(**bounds: Any) -> Change:
    return ("spec/trials", bounds)


def test_suspended_trials_give_their_machines_back_and_go_on_later(site: Site) -> None:
    asked = played("paused", trials(max=4, parallel=2), PLAY="hang,succeed")
    site.apply(asked)
    site.wait(lambda: len(running(site, "paused")) == 2, 15, "two run")
    before = {trial["metadata"]["uid"] for trial in site.trials("paused")}

    site.apply(changed(asked, ("spec/suspend", True)))

    site.wait(lambda: not site.pods("paused"), 15, "no pod is left")
    site.wait(lambda: site.status("paused")["phase"] == "Suspended", 5, "it says so")
    assert site.condition("paused", "Suspended")["reason"] == "Suspended"
    time.sleep(1)
    assert {trial["metadata"]["uid"] for trial in site.trials("paused")} == before

    site.apply(changed(asked, ("spec/suspend", False), ("spec/trials/parallel", 4)))
    site.wait(lambda: len(site.trials("paused")) == 4, 15, "the others start")

    for number in (2, 3):  # they hang as the first two did
        site.kubectl("delete", "pod", f"paused-0-{number}-0")
    status = site.wait_end("paused")
    assert status["counts"]["succeeded"] == 4
    assert before < {trial["metadata"]["uid"] for trial in site.trials("paused")}
    reasons = [trial["status"]["attempts"][0].get("reason") for trial in site.trials("paused")]
    assert reasons == ["Suspended", "Suspended", "PodDeleted", "PodDeleted"]


def test_an_experiment_that_begins_suspended_starts_nothing(site: Site) -> None:
    asked = played("later", ("spec/suspend", True), PLAY="succeed")
    site.apply(asked)
    site.wait(lambda: site.status("later").get("phase") == "Suspended", 10, "it is suspended")
    assert not site.trials("later")

    site.apply(changed(asked, ("spec/suspend", False)))

    assert site.wait_end("later")["phase"] == "Succeeded"


def test_parallel_is_raised_and_lowered_while_it_runs(site: Site) -> None:
    asked = played("wider", trials(max=12, parallel=1), PLAY="succeed", PLAY_SECONDS="2")
    site.apply(asked)
    site.wait(lambda: len(running(site, "wider")) == 1, 15, "one runs")

    site.apply(changed(asked, ("spec/trials/parallel", 6)))
    site.wait(lambda: len(running(site, "wider")) == 6, 10, "six run")

    site.apply(changed(asked, ("spec/trials/parallel", 2)))
    # Nobody is stopped: they end, and only two are started in their place.
    site.wait(lambda: 0 < len(running(site, "wider")) <= 2, 15, "two run")
    most = 0
    while site.status("wider")["phase"] == "Running":
        most = max(most, len(running(site, "wider")))
        time.sleep(0.2)
    assert most <= 2
    assert counts(site, "wider")["succeeded"] == 12
    assert counts(site, "wider")["stopped"] == 0


def test_more_trials_are_asked_for_while_it_runs_and_after_its_end(site: Site) -> None:
    asked = played("longer", trials(max=2), PLAY="succeed")
    site.apply(asked)
    assert site.wait_end("longer")["counts"]["succeeded"] == 2

    site.apply(changed(asked, ("spec/trials/max", 4)))

    site.wait(lambda: counts(site, "longer").get("succeeded") == 4, 20, "four are done")
    assert site.wait_end("longer")["phase"] == "Succeeded"
    assert [trial["spec"]["number"] for trial in site.trials("longer")] == [0, 1, 2, 3]


def test_fewer_trials_end_it_without_stopping_what_runs(site: Site) -> None:
    asked = played("shorter", trials(max=50, parallel=2), PLAY="succeed", PLAY_SECONDS="1")
    site.apply(asked)
    site.wait(lambda: counts(site, "shorter").get("succeeded", 0) >= 2, 20, "two are done")

    site.apply(changed(asked, ("spec/trials/max", 3)))

    status = site.wait_end("shorter", 20)
    assert status["phase"] == "Succeeded"
    assert status["counts"]["stopped"] == 0
    assert 3 <= status["counts"]["succeeded"] == len(site.trials("shorter")) <= 6


def test_a_goal_ends_it(site: Site) -> None:
    goal = ("spec/objective/goal", 0.5)
    site.apply(played("aim", goal, trials(max=200, parallel=3), PLAY="succeed", PLAY_SECONDS="0.5"))

    status = site.wait_end("aim")

    assert status["phase"] == "Succeeded"
    assert site.condition("aim", "Complete")["reason"] == "GoalReached"
    assert status["best"]["values"][0] <= 0.5
    assert len(site.trials("aim")) < 50
    states = {trial["status"]["state"] for trial in site.trials("aim")}
    assert states <= {"Succeeded", "Stopped"}
    site.wait(lambda: not site.pods("aim"), 10, "the others are stopped")


@pytest.mark.parametrize("follows", ["stop", "suspend"])
def test_a_spent_budget_stops_or_suspends(site: Site, follows: str) -> None:
    name = f"budget-{follows}"
    budget: Change = ("spec/budget", {"duration": "4s", "onExceeded": follows})
    asked = played(name, budget, trials(max=500, parallel=2), PLAY="succeed", PLAY_SECONDS="1")
    site.apply(asked)

    if follows == "stop":
        status = site.wait_end(name, 20)
        assert status["phase"] == "Succeeded"
        assert site.condition(name, "Complete")["reason"] == "BudgetExhausted"
        states = {trial["status"]["state"] for trial in site.trials(name)}
        assert states == {"Succeeded", "Stopped"}
    else:
        site.wait(lambda: site.status(name).get("phase") == "Suspended", 20, "it is suspended")
        assert site.condition(name, "Suspended")["reason"] == "BudgetExhausted"
        done = counts(site, name)["succeeded"]
        site.apply(changed(asked, ("spec/budget/duration", "1h")))
        site.wait(lambda: counts(site, name)["succeeded"] > done, 15, "it goes on")
        site.kubectl("delete", "sx", name)
    site.wait(lambda: not site.pods(name), 10, "no pod is left")


def test_a_deleted_experiment_takes_everything_along(site: Site) -> None:
    site.apply(played("gone", trials(max=20, parallel=5), PLAY="hang"))
    site.wait(lambda: len(running(site, "gone")) == 5, 20, "five run")

    start = time.monotonic()
    site.kubectl("delete", "sx", "gone", seconds=DELETE_SECONDS)

    site.wait(lambda: not site.trials("gone") and not site.pods("gone"), DELETE_SECONDS, "gone")
    assert time.monotonic() - start < DELETE_SECONDS
    time.sleep(2)
    assert not site.trials("gone")


def test_a_deleted_experiment_may_come_again_with_its_name(site: Site) -> None:
    asked = played("phoenix", trials(max=3, parallel=3), PLAY="hang")
    site.apply(asked)
    site.wait(lambda: len(running(site, "phoenix")) == 3, 20, "three run")
    before = site.experiment("phoenix")["metadata"]["uid"]

    site.kubectl("delete", "sx", "phoenix", "--wait=false")
    site.wait(lambda: not site.experiment("phoenix"), 10, "it is gone")
    site.apply(played("phoenix", trials(max=3, parallel=3), PLAY="succeed"))

    status = site.wait_end("phoenix")
    after = site.experiment("phoenix")["metadata"]["uid"]
    assert status["counts"]["succeeded"] == 3
    assert after != before
    assert {trial["spec"]["experiment"]["uid"] for trial in site.trials("phoenix")} == {after}


def test_a_trial_that_is_deleted_by_hand_is_noticed(site: Site) -> None:
    site.apply(played("robbed", trials(max=4, parallel=2), PLAY="hang,succeed", PLAY_2="succeed"))
    site.wait(lambda: len(running(site, "robbed")) == 2, 15, "two run")

    site.kubectl("delete", "sxt", "robbed-0-0")

    # Its pod goes with it, and the others are trained: its number stays a gap.
    site.wait(lambda: site.trial("robbed", 2), 30, "another trial has the slot")
    for number in (1, 3):
        site.wait(lambda: site.trial("robbed", 3), 15, "the last one runs")
        site.kubectl("delete", "pod", f"robbed-0-{number}-0", "--ignore-not-found")
    status = site.wait_end("robbed")
    assert [trial["spec"]["number"] for trial in site.trials("robbed")] == [1, 2, 3]
    assert status["counts"]["succeeded"] == 3


@pytest.fixture
def away(installer: Installer) -> Iterator[Installation]:
    """An operator that ends in the middle of the work: what Kubernetes must do alone."""
    with installer.installed() as installation:
        yield installation


def test_what_is_deleted_while_the_operator_is_away_goes_too(away: Installation) -> None:
    site = away.site
    site.apply(
        played("orphaned", trials(max=9, parallel=3), PLAY="hang"),
        played("kept", trials(max=2, parallel=2), PLAY="succeed", PLAY_SECONDS="3"),
    )
    site.wait(lambda: len(running(site, "orphaned")) == 3, 20, "three run")
    site.wait(lambda: len(running(site, "kept")) == 2, 20, "two run")
    away.operator.kill()

    site.kubectl("delete", "sx", "orphaned", seconds=DELETE_SECONDS)

    site.wait(
        lambda: not site.trials("orphaned") and not site.pods("orphaned"), DELETE_SECONDS, "gone"
    )
    # A result that came while nobody looked is found by the next one.
    site.wait(
        lambda: {pod["status"]["phase"] for pod in site.pods("kept")} == {"Succeeded"}, 15, "done"
    )
    away.operator.start().wait_ready()
    assert site.wait_end("kept")["counts"]["succeeded"] == 2
    assert not site.trials("orphaned")


INVALID: tuple[tuple[str, tuple[Change, ...]], ...] = (
    (
        "a path that the trainer does not have",
        (
            (
                "spec/search/parameters",
                {"optimizer.learning_ratee": {"type": "float", "low": 0.1, "high": 1}},
            ),
        ),
    ),
    (
        "a metric that is none of the task's, and a ladder over it",
        (("spec/objective/metric", "val_beauty"),),
    ),
    (
        "two parameters with one variable",
        (
            (
                "spec/search/parameters",
                {
                    "model.activation": {"type": "categorical", "choices": ["relu", "gelu"]},
                    "model_activation": {"type": "float", "low": 0.1, "high": 1},
                },
            ),
        ),
    ),
)


@pytest.mark.parametrize(("reason", "changes"), INVALID, ids=[row[0] for row in INVALID])
def test_a_bad_spec_is_refused_in_the_words_of_scaling_validate(
    site: Site, tmp_path: Path, reason: str, changes: tuple[Change, ...]
) -> None:
    name = f"bad-{INVALID.index((reason, changes))}"
    document = experiment(name, *changes)
    site.apply(document)

    site.wait(lambda: site.condition(name, "Accepted"), 10, "a verdict")

    accepted = site.condition(name, "Accepted")
    assert (accepted["status"], accepted["reason"]) == ("False", "InvalidSpec")
    assert accepted["message"] == "; ".join(said_by_validate(tmp_path, document))
    assert not site.trials(name)
    events = [event["reason"] for event in site.events(name)]
    assert events == ["InvalidSpec"]


def said_by_validate(folder: Path, document: Json) -> list[str]:
    file = folder / "experiment.json"
    file.write_text(json.dumps(document))
    command = [str(Path(sys.executable).with_name("scaling")), "validate", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2, done.stderr
    return done.stderr.strip().splitlines()[:-1]


def test_a_repaired_spec_is_accepted(site: Site) -> None:
    bad = played("repaired", trials(max=2), ("spec/objective/metric", "loss"), PLAY="succeed")
    parameters = {"a.b": {"type": "float", "low": 0, "high": 1}}
    clash = {**parameters, "a_b": {"type": "float", "low": 0, "high": 1}}
    site.apply(changed(bad, ("spec/search/parameters", clash)))
    site.wait(
        lambda: site.condition("repaired", "Accepted").get("status") == "False", 10, "refused"
    )

    without_clash = '{"spec":{"search":{"parameters":{"a_b":null}}}}'
    site.kubectl("patch", "sx", "repaired", "--type=merge", "-p", without_clash)

    assert site.wait_end("repaired")["phase"] == "Succeeded"
    assert site.condition("repaired", "Accepted")["status"] == "True"
