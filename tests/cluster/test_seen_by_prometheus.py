"""A real Prometheus scrapes an operator while two experiments run: every expression has a value.

A third experiment is over before the operator begins. Its status holds what only accelerators, a
policy and a fitted ladder bring about, and what is read from a stored status is shown alike.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from boards.expressions import RULES
from testbed.documents import played, policy
from testbed.every_expression import EveryExpression
from testbed.installation import Installation, Installer
from testbed.prometheus import scraping
from testbed.reporting import reporter_of
from testbed.scene import Scene
from testbed.scraper import Scraper, admitted

GPU = {"fixed": {"gpus": 1}}
TROUBLES = {"PLAY_2": "exit-3", "PLAY_3": "oom", "PLAY_4": "evict,succeed"}
RATE_INTERVAL = "15s"
MAX_SCRAPE_SECONDS = 0.1
FIGURES = {"samples": 640.0, "seconds": 2.5, "peakHostBytes": 1e9, "peakDeviceBytes": 4e9}


def past_status() -> dict[str, Any]:
    """What a ladder on accelerators has come to."""
    sizing = {
        "shape": "a100",
        "count": 1,
        "usedGpuHours": 2.0,
        "usedCost": 5.0,
        "plannedGpuHours": 3.0,
        "plannedCost": 7.0,
        "estimatedDeviceBytes": 4e9,
        "estimatedHostBytes": 2e9,
        "measuredDeviceBytes": 3e9,
        "measuredHostBytes": 1e9,
    }
    best = {"trial": "0-1", "scale": 0, "number": 1, "values": [0.25], "modelParameters": 1e6}
    predicted = {"value": 0.26, "modelParameters": 1e6, "points": 4}
    interval = {"interval95": {"low": 0.3, "high": 0.4}}
    scale = {"index": 0, "open": True, "best": best, "sizing": sizing, "predicted": predicted}
    return {
        "observedGeneration": 1,
        "phase": "Succeeded",
        "startTime": "2026-11-01T12:00:00Z",
        "completionTime": "2026-11-01T13:00:00Z",
        "conditions": [{"type": "Complete", "status": "True", "reason": "AllTrialsDone"}],
        "best": best,
        "scales": [{**scale, "counts": {"succeeded": 5, "max": 5}}],
        "ledger": {"usedGpuHours": 2.0, "usedCost": 5.0},
        "fit": {
            "form": "power",
            "points": 5,
            "parameters": {"E": 0.1, "alpha": 0.35, "A": 3.0},
            "intervals": {"alpha": interval},
        },
        "recommendations": [{"target": {"flops": 1e15}, "parameters": 2e6}],
    }


@dataclass(frozen=True, slots=True)
class Watched:
    """An operator with experiments, and the Prometheus that watches it."""

    operator: Installation
    scene: Scene
    scraper: Scraper

    def metrics(self) -> str:
        """Read what Prometheus reads."""
        return self.scraper.read(self.operator.operator.metrics_port)


@pytest.fixture(scope="module")
def watched(installer: Installer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Two experiments that run on, one that is over, reports that come in, some refused."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("needs prometheus (Debian package prometheus)")
    folder = tmp_path_factory.mktemp("prometheus")
    with ExitStack() as stack:
        installation = stack.enter_context(
            installer.installed("--log-format", "json", started=False)
        )
        site, operator = installation.site, installation.operator
        named = f"{site.namespace}-seen"
        stack.callback(site.kubectl, "delete", "rsp", named)
        site.apply(policy(named), played("past", ("spec/suspend", True)))
        patch = json.dumps({"status": past_status()})
        site.kubectl("patch", "sx", "past", "--subresource=status", "--type=merge", "-p", patch)
        url = f"https://127.0.0.1:{operator.report_port}"
        shown = ("--report-url", url, "--report-host", "127.0.0.1", "--metrics-secure")
        operator.options = (*operator.options, *shown)
        operator.start().wait_ready()
        role = f"scaling-operator-metrics-reader-{site.namespace}"
        scraper = stack.enter_context(admitted(installer.cluster, site.namespace, role))
        port = operator.metrics_port
        prometheus = stack.enter_context(scraping(program, port, RULES, folder, scraper))
        many = ("spec/trials", {"max": 2000, "parallel": 4, "maxFailed": 100})
        budget = ("spec/budget", {"duration": "8h", "gpuHours": 100, "cost": 300})
        site.apply(
            played(
                "search",
                many,
                budget,
                ("spec/resources", GPU),
                PLAY_SECONDS="0.4",
                **TROUBLES,
                PLAY_0="hang",
            ),
            played("ladder", many, ("spec/scaling", {"parameter": "width", "sizes": [4, 8]})),
        )
        watched_scene = Scene(site, prometheus, RATE_INTERVAL)
        hanging = "search-0-0-0"
        running = 'scaling_trials{experiment="search", state="Running"} > 0'
        watched_scene.wait_for(running)
        site.wait(
            lambda: any(
                pod["metadata"]["name"] == hanging and pod["status"].get("phase") == "Running"
                for pod in site.pods("search")
            ),
            seconds=30,
            expectation="its pod runs",
        )
        reporter = reporter_of(site, hanging, folder)
        for step in (1, 2):
            figures = {name: value * step for name, value in FIGURES.items()}
            reporter.report(step, {"loss": 1.0 / step}, figures)
        reporter.close()
        stranger = reporter_of(site, hanging, folder, token="nobody")
        stranger.report(3, {"loss": 0.1})
        stranger.close()
        watched_scene.wait_for('scaling_training_samples_per_second{experiment="search"}')
        watched_scene.wait_for('scaling_attempts_ended_total{reason="OOMKilled"} > 0')
        watched_scene.wait_for("scaling:progress:ratio")
        yield Watched(installation, watched_scene, scraper)


@pytest.fixture
def scene(watched: Watched) -> Scene:
    return watched.scene


class TestEveryExpression(EveryExpression):
    """Where KWOK plays the pods."""


def test_no_alert_that_tells_of_a_broken_operator_fires(scene: Scene) -> None:
    assert not scene.alerts() & {"ScalingOperatorNotLeading", "ScalingOperatorQueueOld"}


def test_a_scrape_is_quick(scene: Scene) -> None:
    # The others waited for a processor: a machine that runs tests may be busy beyond measure.
    (quick,) = scene.prometheus.query("quantile_over_time(0.1, scrape_duration_seconds[1m])")
    assert float(quick["value"][1]) <= MAX_SCRAPE_SECONDS


def test_promtool_finds_nothing_to_say_of_a_scrape(watched: Watched) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("needs promtool (Debian package prometheus)")
    done = subprocess.run(
        [promtool, "check", "metrics"],
        input=watched.metrics().encode(),
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_no_series_has_the_number_of_a_trial(scene: Scene) -> None:
    labels = set(scene.prometheus.get("labels"))
    assert not labels & {"trial", "number", "attempt", "pod"}


def test_series_of_a_deleted_experiment_go_away(watched: Watched) -> None:
    site = watched.operator.site
    site.apply(played("short", ("spec/trials", {"max": 1}), PLAY="succeed"))
    site.wait_end("short")
    watched.scene.wait_for('scaling_trial_duration_seconds_count{experiment="short"}')

    site.kubectl("delete", "sx", "short")

    site.wait(lambda: "short" not in watched.metrics(), 20, "its series are gone")


def test_the_log_has_a_line_for_each_decision_and_no_token(watched: Watched) -> None:
    text = watched.operator.operator.log.read_text()
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    about = [line for line in lines if line.get("experiment", "").endswith("/search")]

    assert len(lines) == len(text.splitlines())
    assert any(line.get("trial") == "0-3" and line.get("reason") == "OOMKilled" for line in about)
    assert any(line.get("trial") == "0-2" and line.get("attempt") == 0 for line in about)
    assert "eyJ" not in text
    assert "PRIVATE KEY" not in text
