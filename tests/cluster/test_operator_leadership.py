"""Two replicas: one works, the other goes on soon where it is lost, and no old leader does harm."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from testbed.documents import played
from testbed.installation import Installation, Installer
from testbed.process import OperatorProcess

TAKEOVER_SECONDS = 20.0
PAUSE_SECONDS = 30.0
TRIALS = 400


@dataclass(frozen=True, slots=True)
class Pair:
    """An installation with two replicas; the first leads."""

    installation: Installation
    standby: OperatorProcess

    def holder(self) -> str:
        lease = self.installation.site.reader.read(
            "leases", self.installation.site.namespace, "scaling-operator"
        )
        return str(lease["spec"].get("holderIdentity"))

    def trials(self) -> int:
        return len(self.installation.site.trials("shared"))


@pytest.fixture
def pair(installer: Installer) -> Iterator[Pair]:
    with installer.installed() as installation:
        standby = installer.operator(installation.site.namespace, (), None, "operator-1").start()
        try:
            standby.wait_ready()
            bounds = ("spec/trials", {"max": TRIALS, "parallel": 4})
            installation.site.apply(played("shared", bounds, PLAY_SECONDS="0.5"))
            pair = Pair(installation, standby)
            installation.site.wait(lambda: pair.trials() >= 8, 30, "the work has begun")
            yield pair
        finally:
            standby.kill()


def finish_early(pair: Pair) -> list[dict[str, Any]]:
    """Let what runs end, and check that nothing is there twice or missing."""
    site = pair.installation.site
    done = pair.trials() + 4
    site.apply(played("shared", ("spec/trials", {"max": done, "parallel": 4}), PLAY_SECONDS="0.5"))
    status = site.wait_end("shared")
    trials = site.trials("shared")
    assert [trial["spec"]["number"] for trial in trials] == list(range(len(trials)))
    assert status["counts"]["succeeded"] == len(trials) >= done
    for trial in trials:
        x = trial["spec"]["parameters"]["x"]
        assert trial["status"]["values"] == [pytest.approx((x - 0.3) ** 2, rel=1e-12)]
        assert not [
            attempt for attempt in trial["status"].get("attempts", []) if "reason" in attempt
        ]
    return trials


def test_a_standby_goes_on_soon_after_the_leader_was_killed(pair: Pair) -> None:
    assert pair.holder() == "operator-0"
    assert pair.standby.probe("readyz") == 200
    before = pair.trials()
    start = time.monotonic()

    pair.installation.operator.kill()

    pair.installation.site.wait(
        lambda: pair.trials() > before + 4, TAKEOVER_SECONDS, "the other goes on"
    )
    assert time.monotonic() - start <= TAKEOVER_SECONDS
    assert pair.holder() == "operator-1"
    finish_early(pair)


def test_a_standby_goes_on_at_once_after_the_leader_was_told_to_end(pair: Pair) -> None:
    before = pair.trials()

    assert pair.installation.operator.stop() == 0

    pair.installation.site.wait(lambda: pair.trials() > before + 4, 8, "the other goes on")
    finish_early(pair)


def test_a_paused_leader_that_wakes_up_does_no_harm(pair: Pair) -> None:
    pair.installation.operator.pause()
    before = pair.trials()
    start = time.monotonic()
    pair.installation.site.wait(
        lambda: pair.trials() > before + 4, TAKEOVER_SECONDS, "the other goes on"
    )
    time.sleep(max(0.0, PAUSE_SECONDS - (time.monotonic() - start)))
    assert pair.holder() == "operator-1"

    pair.installation.operator.resume()

    pair.installation.site.wait(
        lambda: pair.installation.operator.probe("readyz") == 200, 30, "it stands by"
    )
    time.sleep(3)
    assert pair.holder() == "operator-1"
    finish_early(pair)
