"""The declarations, and the page that is made from them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

import pytest
from prometheus_client import generate_latest
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics import parser

from scaling_operator.api.algorithms import Algorithm
from scaling_operator.kube.client.index import Index, Key
from scaling_operator.kube.recorder import Recorder
from scaling_operator.metrics.exposition import Snapshot
from scaling_operator.metrics.families import FAMILIES, fill
from scaling_operator.metrics.operator_metrics import (
    COUNTERS,
    HISTOGRAMS,
    OperatorMetrics,
    new_registry,
)
from scaling_operator.metrics.samples import Sample

ROOT = Path(__file__).parents[3]
BOUNDED = {
    *("namespace", "experiment", "scale", "state", "reason", "shape", "phase", "condition"),
    *("verb", "resource", "code", "cause", "action", "result", "algorithm", "version"),
    *("coefficient", "bound", "target", "budget", "memory", "aggregate", "policy", "port"),
}

ALGORITHMS = [
    get_args(section.model_fields["name"].annotation)[0]
    for section in get_args(get_args(Algorithm)[0])
]


def everything() -> Iterator[Sample]:
    """A sample of every family that is read and not counted."""
    counted = {family.name for family in (*COUNTERS, *HISTOGRAMS)}
    for family in FAMILIES:
        if family.name not in counted and family.kind != "info":
            yield Sample(family, tuple("some" for _ in family.labels), 1.0)


def full_registry() -> OperatorMetrics:
    operator_metrics = OperatorMetrics(new_registry("1.2.3"))
    operator_metrics.registry.register(Snapshot(tuple(everything())))
    operator_metrics.requested("get", "pods", 200, 0.01)
    operator_metrics.watched("pods")
    operator_metrics.asked("tpe", 0.1)
    operator_metrics.pod_waited(("team", "digits"), 3.0)
    operator_metrics.report_taken(("team", "digits"))
    return operator_metrics


def test_proposals_that_failed_are_counted_by_algorithm_from_zero() -> None:
    operator_metrics = OperatorMetrics(new_registry("1.2.3"))
    recorder = Recorder(operator_metrics, Index())
    spec = {"search": {"algorithm": {"name": "gp"}}}

    recorder.hooks(Key("team", "digits"), spec, lambda _before, _after: None).ask_failed()

    assert {
        name: operator_metrics.registry.get_sample_value(
            "scaling_operator_asks_failed_total", {"algorithm": name}
        )
        for name in ALGORITHMS
    } == {**dict.fromkeys(ALGORITHMS, 0.0), "gp": 1.0}


def test_every_label_is_bounded() -> None:
    assert {label for family in FAMILIES for label in family.labels} <= BOUNDED


def test_names_are_declared_once() -> None:
    names = [family.name for family in FAMILIES]

    assert len(set(names)) == len(names)


def test_histograms_alone_have_buckets() -> None:
    assert {family.name for family in FAMILIES if family.buckets} == {
        family.name for family in FAMILIES if family.kind == "histogram"
    }


def test_promtool_finds_nothing_to_say() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("needs promtool (Debian package prometheus)")

    text = generate_latest(full_registry().registry)
    done = subprocess.run(
        [promtool, "check", "metrics"], input=text, capture_output=True, check=False
    )

    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_openmetrics_is_well_formed() -> None:
    encoder, _ = choose_encoder("application/openmetrics-text; version=1.0.0")
    read: Callable[[str], Iterator[Metric]] = getattr(parser, "text_string_to_metric_families")  # noqa: B009 - untyped

    names = {family.name for family in read(encoder(full_registry().registry).decode())}
    assert {family.name for family in FAMILIES if family.kind != "histogram"} <= names


def test_the_page_lists_what_is_declared() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text()

    assert page == fill(page), "run `make generate`"
    assert all(f"`{family.name}" in page for family in FAMILIES)
