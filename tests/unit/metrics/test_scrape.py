"""What a scrape costs, and how many series 50 experiments with 100 trials each have."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from scaling_operator.api.names import Reason, TrialState
from scaling_operator.api.status import Attempt, TrialStatus
from scaling_operator.api.trial import ExperimentReference, ScalingTrial, TrialSpec
from scaling_operator.core.reports import Report
from scaling_operator.metrics.exposition import Exposition
from scaling_operator.metrics.operator_metrics import OperatorMetrics, new_registry
from scaling_operator.metrics.samples import (
    RunningTrials,
    Sample,
    StoredExperiment,
    phases,
    read_experiment,
    samples_of_experiment,
    samples_of_machines,
)

EXPERIMENTS, TRIALS, SCALES = 50, 100, 5
MAX_SERIES_OF_AN_EXPERIMENT = 250
MAX_SCRAPE_SECONDS = 0.1
LINES, LINES_SECONDS = 100_000, 0.045
OPENMETRICS = "application/openmetrics-text;version=1.0.0"
# What Prometheus 2 and 3 send.
PROMETHEUS = f"{OPENMETRICS},text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
PROMETHEUS_3 = (
    f"{OPENMETRICS};escaping=allow-utf-8;q=0.6,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,*/*;q=0.2"
)


def stored(name: str) -> dict[str, Any]:
    """An experiment in full bloom: a ladder of five, fitted, sized, with budgets."""
    best = {"trial": "0-1", "scale": 0, "number": 1, "values": [0.25], "modelParameters": 1e3}
    sizing = {
        "shape": "a100",
        "count": 1,
        "usedGpuHours": 1.0,
        "usedCost": 2.0,
        "plannedGpuHours": 3.0,
        "plannedCost": 4.0,
        "estimatedDeviceBytes": 1.0,
        "estimatedHostBytes": 1.0,
        "measuredDeviceBytes": 1.0,
        "measuredHostBytes": 1.0,
    }
    counts = {"running": 1, "succeeded": TRIALS // SCALES - 1, "max": TRIALS // SCALES}
    scales = [
        {
            "index": index,
            "counts": counts,
            "best": best,
            "sizing": sizing,
            "predicted": {"value": 0.3, "modelParameters": 1e3, "points": 3},
        }
        for index in range(SCALES)
    ]
    coefficients = ("E", "A", "B", "alpha", "beta", "a")
    interval = {"interval95": {"low": 0.1, "high": 0.9}}
    names = ("Accepted", "FitReady", "NoiseTooHigh", "Sized")
    return {
        "metadata": {"namespace": "team", "name": name, "resourceVersion": "1"},
        "spec": {"budget": {"duration": "8h", "gpuHours": 100, "cost": 300}},
        "status": {
            "phase": "Running",
            "startTime": datetime.now(tz=UTC).isoformat(),
            "conditions": [{"type": kind, "status": "True", "reason": kind} for kind in names],
            "scales": scales,
            "fit": {
                "points": 5,
                "parameters": dict.fromkeys(coefficients, 0.5),
                "intervals": dict.fromkeys(coefficients, interval),
            },
            "recommendations": [{"target": {"flops": 1e15}, "parameters": 1e6}] * 3,
            "ledger": {"usedGpuHours": 5.0, "usedCost": 10.0},
        },
    }


def pods() -> list[dict[str, Any]]:
    limits = {"nvidia.com/gpu": "1"}
    pod = {
        "metadata": {"labels": {"scaling-operator.dev/scale": "0"}},
        "spec": {"containers": [{"resources": {"limits": limits}}]},
        "status": {"phase": "Running"},
    }
    return [pod] * 8


def exposition() -> Exposition:
    """What an operator exposes that has carried all of it out."""
    operator_metrics, running = OperatorMetrics(new_registry("1.0")), RunningTrials()
    views: dict[str, StoredExperiment] = {}
    for index in range(EXPERIMENTS):
        name = f"experiment-{index}"
        views[name] = read_experiment(stored(name))
        owner = ("team", name)
        for number in range(TRIALS):
            operator_metrics.pod_waited(owner, number)
            for state in (TrialState.SUCCEEDED, TrialState.PRUNED, TrialState.FAILED):
                operator_metrics.trial_ended(owner, state, number * 60)
        for number in range(4):
            figures = {"samples": 1.0, "seconds": 1.0, "peakHostBytes": 1.0, "peakDeviceBytes": 1.0}
            report = Report(1, 1, {"train_loss": 0.5}, figures)
            running.reported(owner, (0, number), report, "val_loss")
            operator_metrics.report_taken(owner)
        for reason in Reason:
            operator_metrics.trial_changed(owner, trial(), trial(reason))

    def look() -> Iterator[Sample]:
        yield from phases(views.values())
        for view in views.values():
            yield from samples_of_experiment(view, time.time())
            yield from samples_of_machines(view, pods())
        yield from running.samples()

    return Exposition(operator_metrics.registry, look)


def trial(*ended: Reason) -> ScalingTrial:
    reference = ExperimentReference(name="digits", uid="1")
    attempts = tuple(Attempt(number=place, reason=reason) for place, reason in enumerate(ended))
    return ScalingTrial(
        spec=TrialSpec(experiment=reference, scale=0, number=1, seed=0),
        status=TrialStatus(attempts=attempts),
    )


def test_the_series_of_many_trials_are_counted_and_bounded() -> None:
    text, _ = asyncio.run(exposition().answer(""))

    by_experiment: dict[str, int] = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            name = sample.labels.get("experiment", "")
            by_experiment[name] = by_experiment.get(name, 0) + 1
    total = sum(by_experiment.values())
    assert max(by_experiment.values()) <= MAX_SERIES_OF_AN_EXPERIMENT, by_experiment
    assert total <= EXPERIMENTS * MAX_SERIES_OF_AN_EXPERIMENT, total


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        pytest.param(PROMETHEUS, "text/plain", id="takes text too, which is quicker to write"),
        pytest.param(PROMETHEUS_3, "text/plain", id="of a later version"),
        pytest.param(OPENMETRICS, "application/openmetrics-text", id="takes nothing else"),
        pytest.param("*/*", "text/plain", id="takes anything"),
        pytest.param("", "text/plain", id="says nothing"),
    ],
)
def test_who_takes_text_gets_it_and_who_wants_openmetrics_alone_gets_that(
    accept: str, kind: str
) -> None:
    exposed = Exposition(new_registry("1.0"), lambda: ())

    body, content_type = asyncio.run(exposed.answer(accept))

    assert content_type.startswith(f"{kind}; version=")
    assert body.endswith(b"# EOF\n") == (kind != "text/plain")


def test_both_formats_say_the_same() -> None:
    exposed = exposition()
    text, _ = asyncio.run(exposed.answer("text/plain"))
    openmetrics, _ = asyncio.run(exposed.answer(OPENMETRICS))

    assert series(text) == series(openmetrics)


def series(body: bytes) -> set[str]:
    """Name the series of a scrape; times pass between two, so their values are left aside."""
    return {line.rpartition(" ")[0] for line in body.decode().splitlines() if line[0] != "#"}


@pytest.mark.slow
def test_a_scrape_takes_less_than_a_tenth_of_a_second() -> None:
    """On a core that writes LINES in LINES_SECONDS: a busy or slow one takes longer for both."""
    exposed = exposition()

    async def scrape() -> None:
        await exposed.answer(PROMETHEUS)

    taken = [(seconds(lambda: asyncio.run(scrape())), seconds(write_lines)) for _ in range(7)]
    best, yardstick = (min(column) for column in zip(*taken, strict=True))
    assert best / yardstick <= MAX_SCRAPE_SECONDS / LINES_SECONDS


def seconds(work: Callable[[], object]) -> float:
    """Measure processor time: how busy the machine is besides is not what this is about."""
    started = time.process_time()
    work()
    return time.process_time() - started


def write_lines() -> str:
    return "".join(f'name{{a="{at}",b="{at}"}} {at * 0.1}\n' for at in range(LINES))
