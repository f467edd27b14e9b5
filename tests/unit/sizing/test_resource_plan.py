"""The whole experiment before it runs: machines, hours, cost, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.names import ConditionReason
from scaling_operator.api.policy import PolicySpec
from scaling_operator.sizing.machines import Choice
from scaling_operator.sizing.need import Need
from scaling_operator.sizing.resource_plan import ResourcePlan, ledger_of, plan_resources
from scaling_operator.sizing.scale_plan import sizing_of

GPU: dict[str, Any] = {
    "name": "gpu",
    "resource": "nvidia.com/gpu",
    "memory": "40Gi",
    "flops": 1e14,
    "pricePerHour": 2,
}
TRIALS = 4
LONG = {"timeout": "9999h"}


def spec(**changes: Any) -> ExperimentSpec:
    document: dict[str, Any] = {
        "objective": {"metric": "loss", "direction": "minimize"},
        "search": {"parameters": {"lr": {"type": "float", "low": 0.1, "high": 1}}},
        "scaling": {"parameter": "millions", "sizes": [10, 100, 1000]},
        "trials": LONG,
        "trainer": {"container": {"image": "mine"}},
        "resources": {
            "estimate": {
                "parameters": "millions * 1e6",
                "samples": 1e10,
                "batchSize": 1e6,
                "hostMemory": "4Gi",
                "deviceMemory": "millions * 2e7",
            }
        },
        **changes,
    }
    return ExperimentSpec.model_validate(document)


def planned(
    *shapes: dict[str, Any], limits: dict[str, Any] | None = None, **changes: Any
) -> ResourcePlan:
    policy = {"shapes": shapes or (GPU,), "firstMarginPercent": 0, "limits": limits or {}}
    return plan_resources(spec(**changes), PolicySpec.model_validate(policy), TRIALS)


def hours(millions: float) -> float:
    """6ND at 40 % of the peak, 2 ms of overhead a step, 10 s to start."""
    return (6 * millions * 1e6 * 1e10 / 0.4e14 + 1e4 * 2e-3 + 10) / 3600


ALL = hours(10) + hours(100) + hours(1000)


def test_hours_and_cost_are_those_of_all_trials() -> None:
    resource_plan = planned()

    assert resource_plan.start_check.reason is ConditionReason.PLANNED
    assert [scale.hours for scale in resource_plan.scales] == pytest.approx(
        [hours(10), hours(100), hours(1000)]
    )
    assert resource_plan.gpu_hours == pytest.approx(TRIALS * ALL)
    assert resource_plan.cost == pytest.approx(2 * TRIALS * ALL)
    assert ledger_of(resource_plan).planned_cost == resource_plan.cost


BUDGETS: list[Any] = [
    pytest.param({"gpuHours": TRIALS * ALL * 1.01}, None, id="within"),
    pytest.param({"cost": 2 * TRIALS * ALL * 1.01}, None, id="money within"),
    pytest.param({"duration": "1s"}, None, id="time is spent while it runs"),
    pytest.param(
        {"gpuHours": TRIALS * ALL * 0.99},
        "has 2 of 3 scales, up to scale 1 (millions 100)",
        id="without the last scale",
    ),
    pytest.param(
        {"cost": 2 * TRIALS * hours(10) * 1.01},
        "has 1 of 3 scales, up to scale 0 (millions 10)",
        id="the first scale alone",
    ),
    pytest.param(
        {"cost": 0.001},
        "not even scale 0 (millions 10) fits; raise it, or lower trials.max (4)",
        id="nothing",
    ),
]


@pytest.mark.parametrize(("budget", "words"), BUDGETS)
def test_a_plan_over_budget_names_the_largest_ladder_that_fits(
    budget: dict[str, Any], words: str | None
) -> None:
    start_check = planned(budget=budget).start_check

    if words is None:
        assert start_check.may_start
    else:
        assert start_check.reason is ConditionReason.OVER_BUDGET
        assert words in start_check.message


def test_hours_that_are_not_known_are_no_reason_to_refuse() -> None:
    resource_plan = planned({**GPU, "flops": None}, budget={"cost": 0.01})

    assert resource_plan.start_check.may_start
    assert resource_plan.cost is None
    assert resource_plan.gpu_hours is None


def test_a_scale_that_fits_nowhere_is_named_with_the_reason() -> None:
    start_check = planned({**GPU, "memory": "15Gi"}).start_check

    assert start_check.reason is ConditionReason.NOTHING_FITS
    assert start_check.message == (
        "scale 2 (millions 1000): gpu x 1: needs 18.6 GiB at micro-batch 1000000, "
        "13.5 GiB can be had"
    )


def test_what_ends_late_is_a_warning_and_what_ends_far_too_late_a_refusal() -> None:
    late = planned(trials={"timeout": "300h"})
    hopeless = planned(trials={"timeout": "10h"})

    assert late.start_check.may_start
    assert "scale 2 (millions 1000) takes about 416.7 h" in late.start_check.message
    assert hopeless.start_check.reason is ConditionReason.NOTHING_FITS
    assert "trials.timeout allows 10.0 h" in hopeless.start_check.message


FIXED: list[Any] = [
    pytest.param({"gpus": 2}, {}, None, id="within no limits"),
    pytest.param(
        {"gpus": 2}, {"gpus": 1}, "fixed.gpus 2 exceeds limits.trial.gpus", id="too many GPUs"
    ),
    pytest.param(
        {"memory": "5Gi"}, {"memory": "4Gi"}, "fixed.memory 5Gi exceeds", id="too much memory"
    ),
    pytest.param({"cpu": 3}, {"cpu": "2500m"}, "fixed.cpu 3 exceeds", id="too many cores"),
    pytest.param(
        {"gpus": 1, "resource": "amd.com/gpu"}, {"gpus": 0}, "which allows 0",
        id="an accelerator where none is allowed, though no shape has it",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("fixed", "limits", "words"), FIXED)
def test_fixed_resources_stay_within_the_limits(
    fixed: dict[str, Any], limits: dict[str, Any], words: str | None
) -> None:
    start_check = planned(resources={"fixed": fixed}, limits={"trial": limits}).start_check

    if words is None:
        assert start_check.reason is ConditionReason.FIXED_RESOURCES
    else:
        assert start_check.reason is ConditionReason.ABOVE_LIMITS
        assert words in start_check.message


CPU_ALONE: dict[str, Any] = {"name": "cpu"}


@pytest.mark.parametrize(
    ("fixed", "shape", "words"),
    [
        pytest.param({"gpus": 1}, GPU, (), id="a shape has it"),
        pytest.param({"cpu": 4}, GPU, (), id="no accelerator is asked for"),
        pytest.param(
            {"gpus": 1},
            CPU_ALONE,
            ("fixed.resource nvidia.com/gpu", "no shape with accelerators", "spec.shapes"),
            id="the policy knows machines without accelerators alone",
        ),
        pytest.param(
            {"gpus": 1, "resource": "amd.com/gpu"},
            GPU,
            ("fixed.resource amd.com/gpu", "shapes with nvidia.com/gpu"),
            id="the policy knows another vendor's",
        ),
    ],
)
def test_fixed_accelerators_need_no_shape_and_a_note_says_what_one_would_give(
    fixed: dict[str, Any], shape: dict[str, Any], words: tuple[str, ...]
) -> None:
    start_check = planned(shape, resources={"fixed": fixed}).start_check

    assert start_check.reason is ConditionReason.FIXED_RESOURCES
    assert all(word in start_check.message for word in words)
    assert bool(start_check.message) is bool(words)


@pytest.mark.parametrize("whose", ["experiment", "namespace"])
def test_fixed_resources_that_could_never_start_are_refused(whose: str) -> None:
    start_check = planned(resources={"fixed": {"gpus": 4}}, limits={whose: {"gpus": 2}}).start_check

    assert start_check.reason is ConditionReason.ABOVE_LIMITS
    assert f"limits.{whose}.gpus allows 2" in start_check.message


def test_a_scale_is_planned_for_its_most_demanding_trial() -> None:
    built_in = {
        "task": "classification",
        "dataset": {"name": "digits"},
        "model": {"name": "mlp"},
    }
    resource_plan = planned(
        {"name": "cpu", "flops": 1e10},
        scaling=None,
        resources={},
        trainer={"builtIn": built_in},
        search={
            "parameters": {
                "model.width": {"type": "int", "low": 8, "high": 4096},
                "batch_size": {"type": "int", "low": 8, "high": 512},
                "optimizer.name": {"type": "categorical", "choices": ["sgd", "adam"]},
                "optimizer.momentum": {
                    "type": "float", "low": 0.1, "high": 0.9, "when": {"optimizer.name": ["sgd"]}
                },
            }
        },
    )  # fmt: skip
    need = resource_plan.scales[0].need

    assert isinstance(need, Need)
    assert need.batch == 512
    assert need.bytes_per_parameter.total == 16
    assert need.parameters == 64 * 4096 + 4096 + 4096 * 10 + 10


def test_an_amount_that_cannot_be_computed_refuses_the_plan() -> None:
    estimate = {"parameters": "1e6 / (millions - 100.0)"}

    start_check = planned(resources={"estimate": estimate}).start_check

    assert start_check.reason is ConditionReason.NOTHING_FITS
    assert (
        "scale 1 (millions 100): spec.resources.estimate.parameters: is inf" in start_check.message
    )


def test_the_status_of_a_scale_says_the_same() -> None:
    (_, plan, _) = planned().scales
    sizing = sizing_of(plan)

    assert isinstance(plan.choice, Choice)
    assert (sizing.shape, sizing.count) == ("gpu", 1)
    assert sizing.parameters == 1e8
    assert sizing.planned_gpu_hours == plan.gpu_hours
    assert sizing.estimated_device_bytes == 2e9
    assert sizing.margin_percent == 0
    assert sizing.used_cost == 0


def test_the_status_of_a_scale_that_fits_nowhere_has_the_reason() -> None:
    plan = planned({**GPU, "memory": "15Gi"}).scales[-1]

    assert sizing_of(plan).shape is None
    assert "needs 18.6 GiB" in sizing_of(plan).message
