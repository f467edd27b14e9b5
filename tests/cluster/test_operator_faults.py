"""What an API server, and what lies before it, may do to an operator: it is survived.

kopf by itself ends the whole process on most of these; here the same process goes on.
"""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from testbed.api_request import ApiRequest
from testbed.component import Component, down
from testbed.documents import played
from testbed.effects import Answer, Delay, EditWatch, Reset, Rule, each, error_event, once
from testbed.installation import Installation, Installer
from testbed.nodes import PLAYED

TRIALS = 8
OUTAGE_SECONDS = 120.0
# The resync bounds what a lost event costs; people's is 90 s.
RESYNC = ("--resync", "5s")


def watches(resource: str) -> Callable[[ApiRequest], bool]:
    return lambda request: request.is_watch and request.resource == resource


def writes(request: ApiRequest) -> bool:
    return request.is_write and request.resource != "leases"


def anything(request: ApiRequest) -> bool:
    return bool(request.resource)


def cut(number: int, line: bytes) -> bytes | None:
    return line[:50] if number == 1 else line


def fails(code: int, reason: str) -> EditWatch:
    """The second event of a stream is an error, behind which the stream ends."""
    return EditWatch(
        lambda number, line: error_event(code, reason) if number == 1 else line,
        ends=lambda number: number == 1,
    )


def without(number: int) -> EditWatch:
    return EditWatch(lambda index, line: None if index == number else line)


FAULTS: tuple[tuple[str, Callable[[], Rule]], ...] = (
    ("error 500 in the pods' stream", lambda: once(watches("pods"), fails(500, "InternalError"))),
    ("error 429 in it", lambda: once(watches("pods"), fails(429, "TooManyRequests"))),
    ("error 410 in it", lambda: once(watches("pods"), fails(410, "Expired"))),
    (
        "error 500 in the experiments' stream",
        lambda: once(watches("scalingexperiments"), fails(500, "InternalError")),
    ),
    ("HTTP 410 to a watch", lambda: once(watches("pods"), Answer(410, "Expired"))),
    ("HTTP 400 to a watch", lambda: once(watches("pods"), Answer(400, "BadRequest"))),
    ("HTTP 500 to a watch", lambda: once(watches("pods"), Answer(500, "InternalError"))),
    (
        "a line cut in the middle",
        lambda: once(watches("pods"), EditWatch(cut, ends=lambda number: number == 1)),
    ),
    ("a watch cut off", lambda: once(watches("pods"), Reset(forwarded=True))),
    ("the first event lost", lambda: once(watches("pods"), without(0))),
    ("the third event lost", lambda: once(watches("pods"), without(2))),
    ("the fifth event lost", lambda: once(watches("pods"), without(4))),
    ("each fourth write refused with 409", lambda: each(writes, Answer(409, "Conflict"), 4)),
    (
        "each third write put off with 429",
        lambda: each(writes, Answer(429, "TooManyRequests", retry_after_seconds=1), 3),
    ),
    ("each third write fails with 500", lambda: each(writes, Answer(500, "InternalError"), 3)),
    ("each third request fails with 503", lambda: each(anything, Answer(503, "Unavailable"), 3)),
    ("each third write fails with 504", lambda: each(writes, Answer(504, "Timeout"), 3)),
    ("each third request is cut off", lambda: each(anything, Reset(forwarded=False), 3)),
    ("each third reply is lost", lambda: each(writes, Reset(forwarded=True), 3)),
    ("each request takes a second", lambda: each(writes, Delay(1.0))),
)


@pytest.fixture(scope="module")
def spoiled(installer: Installer) -> Iterator[Installation]:
    with installer.installed(*RESYNC, through_proxy=True, started=False) as installation:
        yield installation


@pytest.mark.parametrize(("reason", "rule"), FAULTS, ids=[row[0] for row in FAULTS])
def test_a_fault_is_survived(spoiled: Installation, reason: str, rule: Callable[[], Rule]) -> None:
    name = f"fault{[row[0] for row in FAULTS].index(reason)}"
    spoiled.between.rule = rule()
    # Its watches begin with it: so each fault meets fresh ones.
    spoiled.operator.start()
    try:
        bounds = ("spec/trials", {"max": TRIALS, "parallel": 2})
        spoiled.site.apply(played(name, bounds, PLAY_SECONDS="0.2"))

        status = spoiled.site.wait_end(name, 60)

        assert status["counts"]["succeeded"] == TRIALS, status["counts"]
        assert_well(spoiled, name)
    finally:
        spoiled.between.pass_on()
        spoiled.operator.kill()


def assert_well(installation: Installation, name: str) -> None:
    """The same process, every trial once, each pod created once, no attempt repeated."""
    assert installation.operator.is_alive, installation.operator.log_end()
    trials = installation.site.trials(name)
    assert [trial["spec"]["number"] for trial in trials] == list(range(len(trials)))
    attempts = [attempt for trial in trials for attempt in trial["status"].get("attempts", [])]
    assert not [attempt for attempt in attempts if "reason" in attempt]


def test_a_410_storm_does_not_become_a_storm_of_lists(installer: Installer) -> None:
    with installer.installed(through_proxy=True, started=False) as installation:
        installation.between.rule = each(lambda request: request.is_watch, Answer(410, "Expired"))
        installation.operator.start()
        time.sleep(10)

        requests = [passed.request for passed in installation.between.passed]
        lists = [request for request in requests if request.verb == "list" and request.resource]

        assert len(lists) <= 30, f"{len(lists)} lists in 10 s"
        installation.between.pass_on()
        installation.site.apply(played("calm", ("spec/trials", {"max": 2})))
        assert installation.site.wait_end("calm")["counts"]["succeeded"] == 2


LONG: tuple[tuple[str, Rule], ...] = (
    ("busy", each(anything, Answer(429, "TooManyRequests", retry_after_seconds=1))),
    ("broken", each(anything, Answer(500, "InternalError"))),
    ("absent", each(anything, Reset(forwarded=False))),
)


@pytest.mark.timeout(400, func_only=True)
def test_two_minutes_without_an_api_server_are_survived(installer: Installer) -> None:
    """429, 5xx and no connection at all, each to an operator of its own, at once."""
    with ExitStack() as stack:
        sites = [stack.enter_context(installer.installed(through_proxy=True)) for _ in LONG]
        for installation, (name, _) in zip(sites, LONG, strict=True):
            bounds = ("spec/trials", {"max": 20, "parallel": 2})
            installation.site.apply(played(name, bounds, PLAY_SECONDS="1"))
        for installation, (name, rule) in zip(sites, LONG, strict=True):
            installation.site.wait(
                lambda installation=installation, name=name: (
                    len(installation.site.trials(name)) >= 4
                ),
                30,
                "begun",
            )
            installation.between.rule = rule
        time.sleep(OUTAGE_SECONDS)
        for installation in sites:
            assert installation.operator.is_alive, installation.operator.log_end()
            installation.between.pass_on()

        def ended(index: int) -> None:
            installation, (name, _) = sites[index], LONG[index]
            assert installation.site.wait_end(name, 90)["counts"]["succeeded"] == 20
            assert_well(installation, name)

        with ThreadPoolExecutor(len(sites)) as pool:
            list(pool.map(ended, range(len(sites))))


def test_a_restart_of_the_api_server_after_a_compaction_is_survived(installer: Installer) -> None:
    """Afterwards the watches' versions are too old: the API server answers 410 for real."""
    cluster = installer.cluster
    with installer.installed(*RESYNC) as installation:
        installation.site.apply(
            played("robust", ("spec/trials", {"max": 30, "parallel": 3}), PLAY_SECONDS="1")
        )
        installation.site.wait(lambda: len(installation.site.trials("robust")) >= 6, 30, "begun")

        with down(cluster, "kube-apiserver"):
            compact(Component.of(cluster, "etcd"))
            time.sleep(5)

        assert installation.site.wait_end("robust", 90)["counts"]["succeeded"] == 30
        assert_well(installation, "robust")
    cluster.kubectl("wait", "--for=condition=Ready", f"node/{PLAYED}", "--timeout=60s")


def compact(etcd: Component) -> None:
    """Have etcd forget all but the present."""
    url = next(
        word.partition("=")[2] for word in etcd.command if word.startswith("--listen-client-urls=")
    ).replace("0.0.0.0", "127.0.0.1")
    key = {"key": "AA==", "range_end": "AA==", "limit": 1, "keys_only": True}
    revision = int(ask(f"{url}/v3/kv/range", key)["header"]["revision"])
    ask(f"{url}/v3/kv/compaction", {"revision": revision, "physical": True})


def ask(url: str, body: Mapping[str, object]) -> dict[str, dict[str, str]]:
    request = urllib.request.Request(url, json.dumps(body).encode(), method="POST")
    with urllib.request.urlopen(request, timeout=10) as answer:
        reply: dict[str, dict[str, str]] = json.loads(answer.read())
        return reply
