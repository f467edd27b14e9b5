"""From an experiment as it is stored to samples."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from scaling_operator.metrics import families
from scaling_operator.metrics.families import Family
from scaling_operator.metrics.samples import (
    phases,
    read_experiment,
    samples_of_experiment,
    samples_of_machines,
)

START = datetime(2026, 11, 1, 12, tzinfo=UTC)
NOW = START.timestamp() + 3600
BEST = {"trial": "1-4", "scale": 1, "number": 4, "values": [0.25], "modelParameters": 1000}


def stored(status: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "team", "name": "digits", "resourceVersion": "1"},
        "spec": spec,
        "status": status,
    }


def values(document: dict[str, Any], family: Family) -> dict[tuple[str, ...], float]:
    samples = samples_of_experiment(read_experiment(document), NOW)
    return {sample.labels[2:]: sample.value for sample in samples if sample.family is family}


def test_an_experiment_without_a_status_is_pending() -> None:
    assert values(stored({}), families.PHASE) == {("Pending",): 1}


def test_trials_are_counted_by_scale_and_state() -> None:
    counts = {"running": 2, "succeeded": 7, "max": 40}
    document = stored({"scales": [{"index": 0, "counts": counts}, {"index": 1}]})

    counted = values(document, families.TRIALS)
    assert (counted["0", "Running"], counted["0", "Succeeded"], counted["0", "Failed"]) == (2, 7, 0)
    assert counted["1", "Running"] == 0
    assert values(document, families.TRIALS_PLANNED)["0",] == 40


def test_the_best_stands_beside_what_was_predicted() -> None:
    predicted = {"value": 0.3, "modelParameters": 1000, "points": 3}
    document = stored({"scales": [{"index": 1, "best": BEST, "predicted": predicted}]})

    assert values(document, families.BEST) == {("1",): 0.25}
    assert values(document, families.PREDICTED) == {("1",): 0.3}
    assert values(document, families.MODEL_PARAMETERS) == {("1",): 1000}


def test_only_conditions_that_hold_are_shown() -> None:
    conditions = [
        {"type": "Accepted", "status": "True", "reason": "ValidSpec"},
        {"type": "Failed", "status": "False", "reason": "WithinLimits"},
    ]

    shown = values(stored({"conditions": conditions}), families.CONDITION)
    assert shown == {("Accepted", "ValidSpec"): 1}


def test_a_fit_shows_its_coefficients_with_the_ends_that_there_are() -> None:
    fit = {
        "points": 5,
        "parameters": {"E": 1.7, "alpha": 0.34},
        "intervals": {"alpha": {"interval95": {"low": 0.3}}},
    }
    target = {"target": {"flops": 1e15}, "parameters": 2e6}
    document = stored({"fit": fit, "recommendations": [{"target": {"loss": 0.1}}, target]})

    assert values(document, families.FIT) == {("E",): 1.7, ("alpha",): 0.34}
    assert values(document, families.FIT_BOUND) == {("alpha", "low"): 0.3}
    assert values(document, families.RECOMMENDED) == {("1",): 2e6}


def test_budgets_show_the_share_that_is_used() -> None:
    budget = {"duration": "4h", "gpuHours": 10, "cost": 200}
    status = {"startTime": START.isoformat(), "ledger": {"usedGpuHours": 9, "usedCost": 20}}

    shares = values(stored(status, budget=budget), families.BUDGET_USED)
    assert shares == {("duration",): 0.25, ("gpuHours",): 0.9, ("cost",): 0.1}


def test_an_experiment_that_is_over_uses_no_more_time() -> None:
    status = {"startTime": START.isoformat(), "completionTime": START.isoformat()}

    shares = values(stored(status, budget={"duration": "4h"}), families.BUDGET_USED)
    assert shares == {("duration",): 0}


def test_estimates_stand_beside_measurements() -> None:
    sizing = {
        "shape": "a100",
        "estimatedDeviceBytes": 10,
        "measuredDeviceBytes": 8,
        "usedGpuHours": 2,
        "plannedCost": 30,
    }
    document = stored({"scales": [{"index": 0, "sizing": sizing}]})

    assert values(document, families.MEMORY_ESTIMATED) == {("0", "device"): 10}
    assert values(document, families.MEMORY_MEASURED) == {("0", "device"): 8}
    assert values(document, families.GPU_SECONDS) == {("0",): 7200}
    assert values(document, families.COST_PLANNED) == {("0",): 30}


def test_each_namespace_counts_its_experiments_by_phase() -> None:
    views = [
        read_experiment(stored({"phase": phase})) for phase in ("Running", "Running", "Failed")
    ]

    counted = {sample.labels: sample.value for sample in phases(views)}
    assert counted["team", "Running"] == 2
    assert counted["team", "Failed"] == 1
    assert counted["team", "Suspended"] == 0


def pod(phase: str, gpus: int, scale: str = "0") -> dict[str, Any]:
    limits = {"nvidia.com/gpu": str(gpus), "memory": "4Gi"}
    return {
        "metadata": {"labels": {"scaling-operator.dev/scale": scale}},
        "spec": {"containers": [{"resources": {"limits": limits}}]},
        "status": {"phase": phase},
    }


def test_gpus_are_summed_by_shape_over_pods_that_are_not_over() -> None:
    view = read_experiment(
        stored({"scales": [{"index": 0, "sizing": {"shape": "a100"}}, {"index": 1}]})
    )
    pods = [pod("Pending", 2), pod("Running", 4), pod("Succeeded", 8), pod("Running", 1, "1")]

    gpus = {
        (sample.family.name, *sample.labels[2:]): sample.value
        for sample in samples_of_machines(view, pods)
    }
    assert gpus == {
        ("scaling_gpus_requested", "a100"): 6,
        ("scaling_gpus_in_use", "a100"): 4,
        ("scaling_gpus_requested", "none"): 1,
        ("scaling_gpus_in_use", "none"): 1,
    }


@given(st.integers(0, 500), st.integers(0, 500), st.integers(1, 20))
def test_the_number_of_series_does_not_depend_on_the_number_of_trials(
    running: int, succeeded: int, scales: int
) -> None:
    def count(counts: dict[str, int]) -> int:
        statuses = [{"index": index, "counts": counts} for index in range(scales)]
        return len(list(samples_of_experiment(read_experiment(stored({"scales": statuses})), NOW)))

    assert count({"running": running, "succeeded": succeeded}) == count({})
