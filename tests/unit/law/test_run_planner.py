"""What recommended runs take of machines, and which size money buys."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from simulated_runs import IsoFlopDesign, chinchilla_law, simulated

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.policy import PolicySpec
from scaling_operator.api.scaling import Target
from scaling_operator.api.status_fit import Recommendation
from scaling_operator.core.fit_input import fit_input_of
from scaling_operator.core.fit_types import FitInput, TunedPoint, plan_of
from scaling_operator.core.ladder import Scale
from scaling_operator.core.observed import Observed, Rules, ScaleView
from scaling_operator.core.tally import Tally
from scaling_operator.law.fit_experiment import fit
from scaling_operator.local.loading import PriceList
from scaling_operator.report.words import machine_sentence
from scaling_operator.sizing.observations import Observations
from scaling_operator.sizing.run_plan import KnownMachines
from scaling_operator.sizing.scale_plan import plan_scale
from scaling_trainer.counting import count, dimensions_of

RUNS = simulated(chinchilla_law(), IsoFlopDesign(5, 7), noise=0.002, rng=np.random.default_rng(3))
H100: dict[str, Any] = {
    "name": "h100",
    "resource": "nvidia.com/gpu",
    "memory": "80Gi",
    "flops": 989e12,
    "pricePerHour": 4,
}
WIDTHS = (8, 16, 24, 40, 64)


def machines(*shapes: dict[str, Any]) -> KnownMachines:
    return KnownMachines(PolicySpec.model_validate({"shapes": list(shapes)}))


def own(*targets: dict[str, float], policy: KnownMachines | None, **sections: Any) -> FitInput:
    """Build 5 budgets x 7 sizes of a trainer of one's own."""
    assert RUNS.D is not None
    assert RUNS.C is not None
    rungs = [{"n": float(n), "d": float(d)} for n, d in zip(RUNS.N, RUNS.D, strict=True)]
    points = tuple(
        TunedPoint(
            scale=Scale(at, rungs[at]),
            trial=f"{at}-0",
            value=float(RUNS.L[at]),
            parameters=rungs[at],
            model_parameters=float(RUNS.N[at]),
            samples=float(RUNS.D[at]),
            flops=float(RUNS.C[at]),
        )
        for at in range(len(RUNS))
    )
    scaling = {"rungs": rungs, "targets": list(targets), "fit": {"bootstrap": 100}}
    document = {
        "objective": {"metric": "loss", "direction": "minimize"},
        "trainer": {"container": {"command": ["true"]}},
        "scaling": scaling,
    }
    return FitInput(ExperimentSpec.model_validate(document | sections), points, machines=policy)


def answers(fit_input: FitInput) -> tuple[Recommendation, ...]:
    return fit(fit_input).view.recommendations


def test_a_recommended_run_has_the_machine_hours_and_cost_that_the_policy_gives() -> None:
    (recommendation,) = answers(own({"flops": 1e20}, policy=machines(H100)))
    assert (recommendation.shape, recommendation.count) == ("h100", 1)
    # 1e20 FLOPs at 40 % of 989 TFLOP/s are 70.2 hours.
    assert recommendation.hours == pytest.approx(70.2, rel=0.005)
    assert recommendation.gpu_hours == recommendation.hours
    assert recommendation.cost == pytest.approx(4 * 70.2, rel=0.005)
    assert recommendation.machine_reason is None
    sentence = machine_sentence(plan_of(recommendation))
    assert sentence == "Such a run takes 1 x h100, 2 d 22 h, 70.2 GPU hours and a cost of 281."


def test_what_is_fixed_for_trials_does_not_bind_the_run_that_is_recommended() -> None:
    sized = answers(own({"flops": 1e20}, {"cost": 281}, policy=machines(H100)))
    small = {"resources": {"fixed": {"cpu": "1", "memory": "1Gi"}}}
    assert answers(own({"flops": 1e20}, {"cost": 281}, policy=machines(H100), **small)) == sized


def test_money_buys_the_size_that_its_flops_would_train() -> None:
    (by_cost,) = answers(own({"cost": 281}, policy=machines(H100)))
    assert by_cost.reason is None
    assert by_cost.cost == pytest.approx(281, rel=1e-6)
    assert by_cost.flops == pytest.approx(1e20, rel=0.005)
    (by_flops,) = answers(own({"flops": by_cost.flops or 0.0}, policy=machines(H100)))
    assert by_cost.parameters == pytest.approx(by_flops.parameters)
    assert by_cost.interval95 is not None
    assert by_cost.flat_range is not None


def test_money_far_beyond_the_points_is_far_extrapolation_like_its_flops() -> None:
    view = fit(own({"cost": 1e6}, policy=machines({**H100, "memory": "8000Gi"}))).view
    assert "FarExtrapolation" in [condition.type for condition in view.conditions]


@pytest.mark.parametrize(
    ("policy", "reason", "answered"),
    [
        pytest.param(None, "NoPolicy", (), id="no policy is at hand"),
        pytest.param(
            machines({**H100, "pricePerHour": 0}),
            "NoPrices",
            ("shape", "count", "hours", "gpu_hours"),
            id="a machine without a price has hours and no cost",
        ),
        pytest.param(
            machines({k: v for k, v in H100.items() if k != "flops"}),
            "NoSpeed",
            ("shape", "count"),
            id="a machine without FLOP/s has neither",
        ),
    ],
)
def test_what_a_policy_does_not_say_stays_unknown_with_a_reason(
    policy: KnownMachines | None, reason: str, answered: tuple[str, ...]
) -> None:
    by_flops, by_cost = answers(own({"flops": 1e20}, {"cost": 500}, policy=policy))
    assert by_flops.machine_reason == reason
    assert by_flops.machine_message
    assert by_flops.parameters is not None, "the size is known all the same"
    fields = ("shape", "count", "hours", "gpu_hours", "cost")
    assert tuple(name for name in fields if getattr(by_flops, name) is not None) == answered
    assert by_cost.parameters is None, "no number where the price is unknown"
    assert by_cost.reason == ("NoPrices" if policy is None else reason)


def test_a_run_that_no_machine_takes_has_none_and_money_for_it_no_answer() -> None:
    by_flops, by_cost = answers(own({"flops": 1e24}, {"cost": 1e6}, policy=machines(H100)))
    for reason, message in (
        (by_flops.machine_reason, by_flops.machine_message),
        (by_cost.reason, by_cost.message),
    ):
        assert reason == "NothingFits"
        assert "72.0 GiB can be had" in (message or "")
    assert by_flops.parameters is not None
    assert by_cost.parameters is None


def test_money_for_which_nothing_can_be_had_buys_no_number() -> None:
    fit_input = built_in(machines(H100))
    assert fit_input.spec.scaling is not None
    targets = (Target(cost=1e-9), Target(cost=1e9))
    scaling = fit_input.spec.scaling.model_copy(update={"targets": targets})
    little, much = answers(
        replace(fit_input, spec=fit_input.spec.model_copy(update={"scaling": scaling}))
    )
    assert (little.reason, little.parameters) == ("OutOfReach", None)
    assert "the smallest takes more" in (little.message or "")
    assert (much.reason, much.parameters) == ("NothingFits", None)


def test_a_slow_machine_is_no_reason_to_refuse_what_is_not_a_trial() -> None:
    cpu = {"name": "cpu", "flops": 6.4e10, "pricePerHour": 0.04}
    (recommendation,) = answers(own({"flops": 1e20}, policy=machines(cpu)))
    assert recommendation.shape == "cpu"
    assert recommendation.gpu_hours == 0.0
    assert recommendation.hours is not None
    assert recommendation.hours > 24 * 365


def built_in(policy: KnownMachines | None) -> FitInput:
    """Build a ladder of widths of the built-in trainer."""
    document: dict[str, Any] = {
        "objective": {"metric": "val_loss", "direction": "minimize"},
        "trainer": {
            "builtIn": {
                "task": "classification",
                "dataset": {"name": "digits"},
                "model": {"name": "mlp", "depth": 2},
                "epochs": 10,
            }
        },
        "scaling": {
            "parameter": "model.width",
            "sizes": list(WIDTHS),
            "targets": [{"parameters": 2e4}],
            "fit": {"bootstrap": 100},
        },
    }
    spec = ExperimentSpec.model_validate(document)
    points = tuple(_point(spec, at, width) for at, width in enumerate(WIDTHS))
    return FitInput(spec, points, machines=policy)


def _point(spec: ExperimentSpec, at: int, width: int) -> TunedPoint:
    assert spec.trainer.built_in is not None
    dimensions = dimensions_of(spec.trainer.built_in.dataset.model_dump(mode="json"))
    assert dimensions is not None
    model = {**spec.trainer.built_in.model.model_dump(mode="json"), "width": width}
    counted = count(model, dimensions)
    size, flops = float(counted.parameters), counted.flops_per_sample * 1e4
    scale = Scale(at, {"model.width": width})
    value = 0.1 + 5.0 / size**0.5
    return TunedPoint(
        scale,
        f"{at}-0",
        value,
        {"model.width": width},
        size,
        samples=1e4,
        flops=flops,
    )


def test_a_run_of_the_built_in_trainer_is_planned_as_a_scale_of_that_size_is() -> None:
    policy = machines(H100)
    fit_input = built_in(policy)
    (recommendation,) = answers(fit_input)
    assert recommendation.size is not None
    width = round(recommendation.size)
    scale = Scale(9, {"model.width": width}, samples=recommendation.tokens)
    scale_plan = plan_scale(fit_input.spec, policy.policy, scale, 1)
    assert recommendation.shape == "h100"
    assert recommendation.gpu_hours == pytest.approx(scale_plan.gpu_hours, rel=0.05)
    assert recommendation.cost == pytest.approx(scale_plan.cost, rel=0.05)


def test_a_stored_answer_is_read_back_without_its_policy() -> None:
    fit_input = own({"cost": 281}, policy=machines(H100))
    (asked,) = answers(fit_input)
    again = replace(fit_input, machines=None, bought={281.0: asked.flops or 0.0})
    (stored,) = answers(again)
    assert stored.parameters == asked.parameters


def test_what_trials_teach_counts_once_all_have_ended() -> None:
    spec = built_in(None).spec
    taught = KnownMachines(machines(H100).policy, Observations())
    views = tuple(ScaleView(Scale(at, {"model.width": w}), Tally()) for at, w in enumerate(WIDTHS))
    observed = Observed(0.0, spec, Rules(max_trials=1), views, machines=taught)
    fit_input = fit_input_of(observed)
    assert fit_input is not None
    assert fit_input.tuning
    assert fit_input.machines is not taught
    ended = replace(observed, rules=Rules(max_trials=0))
    fit_input = fit_input_of(ended)
    assert fit_input is not None
    assert not fit_input.tuning
    assert fit_input.machines is taught


def test_a_local_run_has_prices_and_no_sizing() -> None:
    spec = built_in(None).spec
    policy = machines(H100).policy
    observed = PriceList(policy).complete(Observed(0.0, spec, Rules(max_trials=1), ()), ())
    assert observed.machines == KnownMachines(policy)
    assert observed.sizing is None, "trials share this machine"


def test_the_price_of_a_budget_grows_with_it() -> None:
    costs = [
        answers(own({"flops": flops}, policy=machines(H100)))[0].cost or 0.0
        for flops in np.geomspace(1e18, 1e21, 4)
    ]
    assert costs == sorted(costs)
