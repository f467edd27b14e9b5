"""What people see of an operator that the chart installed, while two experiments run on a node.

A real Prometheus finds it as the chart's ServiceMonitor says, and shows a token that may. `law` is
a ladder whose trials are a formula that reports, on machines with prices; its last size trains on.
`search` is the built-in trainer. Nothing of what is shown was put there: each expression of each
panel, rule and alert has its value from these pods. Then optuna-dashboard, by
`kubectl port-forward`, in a browser.
"""

from __future__ import annotations

import json
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from boards.expressions import RULES
from testbed.browser import Browser
from testbed.chart import NAME, rendered
from testbed.documents import API_VERSION, experiment
from testbed.every_expression import EveryExpression
from testbed.forward import forwarded
from testbed.helm import Helm
from testbed.reader import Reader
from testbed.scene import Scene
from testbed.scraper import admitted
from testbed.site import Site
from testnode.names import ImageNames, chart_values
from testnode.node import Node
from testnode.watcher import job_of, watching

POLICY = "seen"
SIZES = [10**4, 3 * 10**4, 10**5, 3 * 10**5, 10**6, 3 * 10**6, 10**7]
SECONDS = 180.0
# What happens in trials of a second happens again and again within it.
RATE_INTERVAL = "2m"
DASHBOARD_PORT = 8081
FEW_CORES = "100m"  # the node may have two, and the built-in trainer takes one
LAW = f"""
import os, sys, time
from scaling_trainer.report import Reporter
from scaling_trainer.results import Result

size, rate = (float(os.environ["SCALING_PARAM_" + name]) for name in ("SIZE", "RATE"))
if os.environ["SCALING_SCALE"] == os.environ["SCALING_TRIAL"] == "0":
    sys.exit(3)
reporter, begun = Reporter.from_environment(os.environ), time.monotonic()
for step in range(1, {10**6}):
    loss = 1.8 + 300 / size**0.5 + 0.001 * abs(rate - 0.01) + 1 / step**4
    seconds = time.monotonic() - begun + 0.001
    memory = {{"peakHostBytes": 2e7, "peakDeviceBytes": 1e7}}
    if reporter.report(step, {{"loss": loss}}, {{"samples": step, "seconds": seconds, **memory}}):
        sys.exit(0)
    if step == 3 and size < {SIZES[-1]}:
        break
    time.sleep(0.2)
had = {{"model_parameters": size, "samples": 1e6, "flops": 6e6 * size, "seconds": seconds}}
memory = {{"peak_host_bytes": 2e7, "peak_device_bytes": 1e7}}
reporter.result(Result(metrics={{"loss": loss}}, **had, **memory))
"""


def policy(resource: str) -> dict[str, Any]:
    """Machines that cost something."""
    shape = {"name": "gpu", "resource": resource, "memory": "80Gi", "flops": 1e14}
    return {
        "apiVersion": API_VERSION,
        "kind": "ResourcePolicy",
        "metadata": {"name": POLICY},
        "spec": {"shapes": [{**shape, "pricePerHour": 2}]},
    }


def law(images: ImageNames) -> dict[str, Any]:
    container = {"image": images.trainer, "command": ["python3", "-c", LAW]}
    needs = {"parameters": "size", "samples": 1e6, "activationBytes": 1000, "hostMemory": "100Mi"}
    needs["cpu"] = FEW_CORES
    return {
        "apiVersion": API_VERSION,
        "kind": "ScalingExperiment",
        "metadata": {"name": "law"},
        "spec": {
            "objective": {"metric": "loss", "direction": "minimize"},
            "search": {
                "parameters": {"rate": {"type": "float", "low": 0.001, "high": 0.1, "log": True}},
                "algorithm": {"name": "tpe", "seed": 7},
            },
            "scaling": {
                "parameter": "size",
                "sizes": SIZES,
                "transfer": {"topK": 1},
                "fit": {"hyperparameterEdge": "keep"},
                "targets": [{"loss": 1.9}],
            },
            "trials": {"max": 2, "parallel": 2},
            "budget": {"duration": "8h", "gpuHours": 100, "cost": 300},
            "resources": {"policy": POLICY, "estimate": needs},
            "trainer": {"container": {**container, "imagePullPolicy": images.pull}},
        },
    }


def search() -> dict[str, Any]:
    """One trial after the other of the built-in trainer, for longer than the tests look."""
    return experiment(
        "search",
        ("spec/scaling/sizes", [16]),
        ("spec/trials", {"max": 1000, "parallel": 1}),
        ("spec/trainer/builtIn/epochs", 200),
    )


@pytest.fixture(scope="module")
def site(
    e2e_cluster: Any, release: Helm, namespace: str, reader: Reader, gpus: str, images: ImageNames
) -> Iterator[Site]:
    """The two experiments, and an operator that serves optuna-dashboard."""
    release.upgrade(dashboard={"enabled": True, "port": DASHBOARD_PORT})
    rollout = ("rollout", "status", f"deployment/{NAME}", "--timeout=110s")
    e2e_cluster.kubectl("-n", release.namespace, *rollout, seconds=120)
    watched_site = Site(e2e_cluster, namespace, reader)
    watched_site.apply(policy(gpus), law(images), search())
    yield watched_site
    watched_site.kubectl("delete", "sx", "law", "search")
    watched_site.kubectl("delete", "rsp", POLICY)
    release.upgrade(dashboard={"enabled": False})


@pytest.fixture(scope="module")
def scene(
    site: Site,
    node: Node,
    release: Helm,
    images: ImageNames,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Scene]:
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("needs prometheus (Debian package prometheus)")
    asked = {**chart_values(images), "metrics": {"serviceMonitor": {"enabled": True}}}
    objects = rendered(release.program, asked)
    (monitor,) = (manifest for manifest in objects if manifest["kind"] == "ServiceMonitor")
    folder = tmp_path_factory.mktemp("prometheus")
    role = f"{release.namespace}-{NAME}-metrics-reader"
    with ExitStack() as stack:
        scraper = stack.enter_context(admitted(site.cluster, release.namespace, role))
        secured = scraper.job(folder, f"{NAME}-metrics.{release.namespace}.svc")
        job = {**job_of(monitor, site.cluster, release.namespace), **secured}
        prometheus = stack.enter_context(watching(program, node, job, RULES, folder))
        watched_scene = Scene(site, prometheus, RATE_INTERVAL, site.namespace)
        here = f'namespace="{site.namespace}"'
        for name in ("law", "search"):
            reporting = f'scaling_training_samples_per_second{{{here}, experiment="{name}"}}'
            watched_scene.wait_for(reporting, SECONDS)
        watched_scene.wait_for(f"scaling:prediction_error:ratio{{{here}}}", SECONDS)
        ended = f'scaling_trials{{{here}, experiment="search", state="Succeeded"}} > 1'
        watched_scene.wait_for(ended, SECONDS)
        yield watched_scene


class TestEveryExpression(EveryExpression):
    """On a node."""


def test_an_expression_about_nothing_is_told_from_one_with_a_value(scene: Scene) -> None:
    with pytest.raises(AssertionError, match="scaling_trails"):
        scene.expect_known("sum(scaling_trails)")


def test_the_log_has_a_json_object_a_line_with_trial_and_reason_and_no_token(
    scene: Scene, release: Helm
) -> None:
    logs = ("-n", release.namespace, "logs", f"deployment/{NAME}", "--tail=-1")
    text = scene.site.cluster.kubectl(*logs)

    lines = [json.loads(line) for line in text.splitlines()]
    ours = [line for line in lines if line.get("experiment") == f"{scene.namespace}/law"]
    assert [line["trial"] for line in ours if line.get("reason") == "TrainerFailed"] == ["0-0"]
    assert "eyJ" not in text
    assert "PRIVATE KEY" not in text


@pytest.fixture(scope="module")
def dashboard(site: Site, release: Helm) -> Iterator[str]:
    with forwarded(site.cluster, release.namespace, f"{NAME}-dashboard", DASHBOARD_PORT) as address:
        yield address


def studies(address: str) -> set[str]:
    with urllib.request.urlopen(f"{address}/api/studies", timeout=10) as answer:
        return {study["study_name"] for study in json.load(answer)["study_summaries"]}


def test_optuna_dashboard_shows_the_studies_by_name(
    site: Site, dashboard: str, tmp_path: Path
) -> None:
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("needs chromium (Debian package chromium)")
    expected = {f"{site.namespace}/{name} 0" for name in ("law", "search")}
    site.wait(lambda: expected <= studies(dashboard), 30, "the studies are there")
    browser = Browser(program, tmp_path)

    text = browser.text(f"{dashboard}/dashboard")

    for name in expected:
        assert name in text
    browser.picture(f"{dashboard}/dashboard")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_optuna_dashboard_lets_nobody_change_anything(
    site: Site, dashboard: str, method: str
) -> None:
    site.wait(lambda: studies(dashboard), 30, "a study is there")
    request = urllib.request.Request(f"{dashboard}/api/studies/0", method=method, data=b"{}")

    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(request, timeout=10)

    with refusal.value as answer:
        assert answer.code == 405
