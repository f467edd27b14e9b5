"""The workload kind `job`: an attempt is a Job, which a queue may hold back."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from testbed.api_request import ApiRequest
from testbed.documents import Change, played
from testbed.effects import EditWatch, Effect, Reset, Rule, once
from testbed.installation import Installation, Installer
from testbed.site import LABEL, Site

BOUND_SECONDS = 40.0
Json = dict[str, Any]
STRICT: Change = ("spec/trials/maxFailed", 0)
ENDS: tuple[tuple[str, Json, str | None, tuple[str, ...]], ...] = (
    ("exit", {"PLAY": "exit-3"}, "TrainerFailed", ()),
    ("oom", {"PLAY": "oom"}, "OOMKilled", ()),
    ("image", {"PLAY": "image"}, "ImagePullFailed", ()),
    ("silent", {"PLAY": "silent"}, "NoResult", ()),
    ("evicted", {"PLAY": "evict,succeed"}, None, ("Evicted",)),
)


@pytest.fixture(scope="module")
def installation(job_installer: Installer) -> Iterator[Installation]:
    with job_installer.installed("--workload", "job") as installation:
        installation.site.apply(
            played("search", ("spec/trials", {"max": 6, "parallel": 2})),
            *(played(name, STRICT, **environment) for name, environment, _, _ in ENDS),
        )
        yield installation


def jobs(site: Site, name: str) -> list[Json]:
    return site.reader.list("jobs", site.namespace, f"{LABEL}={name}")


def repeated(trial: Json) -> tuple[str, ...]:
    return tuple(
        attempt["reason"] for attempt in trial["status"].get("attempts", []) if "reason" in attempt
    )


def test_a_search_runs_to_its_end_and_cleans_up(installation: Installation) -> None:
    status = installation.site.wait_end("search")

    assert status["counts"]["succeeded"] == 6
    for trial in installation.site.trials("search"):
        x = trial["spec"]["parameters"]["x"]
        assert trial["status"]["values"] == [pytest.approx((x - 0.3) ** 2, rel=1e-12)]
    installation.site.wait(lambda: not jobs(installation.site, "search"), 10, "no Job is left")
    installation.site.wait(lambda: not installation.site.pods("search"), 10, "no pod is left")


@pytest.mark.parametrize(
    ("name", "environment", "reason", "before"), ENDS, ids=[row[0] for row in ENDS]
)
def test_a_trouble_has_the_reason_that_a_pods_has(
    installation: Installation,
    name: str,
    environment: Json,
    reason: str | None,
    before: tuple[str, ...],
) -> None:
    del environment

    installation.site.wait_end(name, BOUND_SECONDS)

    trial = installation.site.trial(name, 0)
    assert trial["status"]["state"] == ("Failed" if reason else "Succeeded"), trial["status"]
    assert trial["status"].get("reason") == reason
    assert repeated(trial) == before


@pytest.mark.parametrize("kind", ["job", "pod"])
def test_what_is_deleted_by_hand_is_repeated(installation: Installation, kind: str) -> None:
    name = f"without-{kind}"
    installation.site.apply(played(name, PLAY="hang,succeed"))
    installation.site.wait(
        lambda: any(pod["status"]["phase"] == "Running" for pod in installation.site.pods(name)),
        20,
        "runs",
    )

    installation.site.kubectl("delete", kind, "-l", f"{LABEL}={name}")

    assert installation.site.wait_end(name, BOUND_SECONDS)["phase"] == "Succeeded"
    assert repeated(installation.site.trial(name, 0)) == ("PodDeleted",)


def unanswered_and_unseen() -> Rule:
    """The first create's reply is lost, and the watch shows nothing before the Job was read."""
    read = threading.Event()
    blind = EditWatch(lambda _, line: line if read.is_set() else None)
    lost = once(lambda request: str(request).startswith("create jobs"), Reset(forwarded=True))

    def rule(request: ApiRequest) -> Effect | None:
        if str(request).startswith("get jobs"):
            read.set()
        return blind if str(request).startswith("watch jobs") else lost(request)

    return rule


def test_a_job_whose_creation_was_not_answered_is_adopted(job_installer: Installer) -> None:
    options = ("--workload", "job", "--resync", "5s")
    with job_installer.installed(*options, through_proxy=True, started=False) as proxied:
        proxied.between.rule = unanswered_and_unseen()
        proxied.operator.start()
        proxied.site.apply(played("adopted", ("spec/trials", {"max": 2})))

        assert proxied.site.wait_end("adopted")["counts"]["succeeded"] == 2
        assert not [trial for trial in proxied.site.trials("adopted") if repeated(trial)]
        assert "get jobs adopted-0-0-0" in [
            str(passed.request) for passed in proxied.between.passed
        ]


def test_a_queue_holds_a_job_back_and_takes_its_machine(job_installer: Installer) -> None:
    with job_installer.installed("--workload", "job", "--queue", "team") as queueing:
        site = queueing.site
        site.apply(played("queued", PLAY="hang,succeed"))
        site.wait(
            lambda: site.trial("queued", 0).get("status", {}).get("state") == "Queued", 20, "queued"
        )
        (job,) = jobs(site, "queued")
        assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team"
        assert site.trial("queued", 0)["status"]["reason"] == "QuotaExceeded"
        assert not site.pods("queued")

        # What Kueue does when it admits, when it takes back, and when it admits again.
        suspend(site, job, held_back=False)
        site.wait(lambda: site.pods("queued"), 20, "it is admitted")
        site.wait(lambda: site.trial("queued", 0)["status"]["state"] == "Running", 20, "it runs")
        suspend(site, job, held_back=True)
        site.wait(lambda: repeated(site.trial("queued", 0)) == ("Preempted",), 30, "Preempted")
        site.wait(
            lambda: any(is_second(candidate) for candidate in jobs(site, "queued")),
            20,
            "a second Job",
        )
        (second,) = [candidate for candidate in jobs(site, "queued") if is_second(candidate)]
        suspend(site, second, held_back=False)

        assert site.wait_end("queued")["phase"] == "Succeeded"


def is_second(job: Json) -> bool:
    name: str = job["metadata"]["name"]
    return name.endswith("-1")


def suspend(site: Site, job: Json, *, held_back: bool) -> None:
    body = json.dumps({"spec": {"suspend": held_back}})
    site.kubectl("patch", "job", job["metadata"]["name"], "--type=merge", "-p", body)
