"""From the best trials of a ladder to what its status says."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from simulated_runs import IsoFlopDesign, chinchilla_law, simulated, with_one_rate

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.fields import Scalar
from scaling_operator.api.names import ConditionType
from scaling_operator.api.scaling import Target
from scaling_operator.api.status_fit import FitStatus, Recommendation
from scaling_operator.core.fit_types import FitInput, FitView, TunedPoint, checked
from scaling_operator.core.ladder import Scale
from scaling_operator.law.fit_experiment import fit
from scaling_operator.law.isoflop import fit_isoflop
from scaling_operator.law.optimum import allocate
from scaling_operator.law.points import RunPath

TRUTH = chinchilla_law()
RUNS = simulated(TRUTH, IsoFlopDesign(5, 7))
TARGETS = [
    {"flops": 1e21},
    {"parameters": 1e9},
    {"loss": 2.3},
    {"cost": 500},
    {"loss": 2.3, "inferenceTokens": 1e12},
    {"flops": 1e21, "inferenceTokens": 1e11},
    {"inferenceTokens": 1e12},
    {"loss": 1.5},
]


def spec_of(scaling: Mapping[str, Any], **sections: Any) -> ExperimentSpec:
    document: dict[str, Any] = {
        "objective": {"metric": "loss", "direction": "minimize"},
        "search": {
            "parameters": {"rate": {"type": "float", "low": 1e-5, "high": 1, "log": True}},
            "algorithm": {"name": "random", "seed": 7},
        },
        "trainer": {"container": {"command": ["true"]}},
        "scaling": dict(scaling),
    }
    return ExperimentSpec.model_validate(document | sections)


def rungs(count: int = 35) -> list[dict[str, float]]:
    assert RUNS.D is not None
    return [{"n": float(RUNS.N[at]), "d": float(RUNS.D[at])} for at in range(count)]


def point(index: int, value: float, size: float | None, **more: Any) -> TunedPoint:
    parameters: dict[str, Scalar] = {"rate": 0.01 * (size or 1.0) ** -0.25}
    tuned = TunedPoint(Scale(index, {"n": index + 1}), f"{index}-0", value, parameters, size)
    return replace(tuned, **more)


def isoflop(targets: Sequence[Mapping[str, float]] = (), **fit_options: Any) -> FitInput:
    """Build 5 budgets x 7 sizes of the true law, as tuned rungs."""
    assert RUNS.D is not None
    assert RUNS.C is not None
    points = tuple(
        point(
            at,
            float(RUNS.L[at]),
            float(RUNS.N[at]),
            scale=Scale(at, rungs()[at]),
            samples=float(RUNS.D[at]),
            flops=float(RUNS.C[at]),
        )
        for at in range(len(RUNS))
    )
    scaling = {"rungs": rungs(), "targets": list(targets), "fit": fit_options}
    return FitInput(spec_of(scaling), points, seed=7)


def ladder(values: Sequence[float], *, direction: str = "minimize", **more: Any) -> FitInput:
    """Build sizes 1e3, 2e3, 4e3 ... with these best values."""
    sizes = [1000.0 * 2**at for at in range(len(values))]
    points = tuple(
        point(at, value, size, samples=1e4)
        for at, (value, size) in enumerate(zip(values, sizes, strict=True))
    )
    scaling = {"parameter": "n", "sizes": list(range(1, len(values) + 1)), **more}
    spec = spec_of(scaling, objective={"metric": "m", "direction": direction})
    return FitInput(spec, points)


POWER = [1.0 + 30.0 / (1000.0 * 2**at) ** 0.5 for at in range(6)]


def types(view: FitView) -> list[ConditionType]:
    return [condition.type for condition in view.conditions]


def answered(view: FitView) -> list[Recommendation]:
    return [
        recommendation for recommendation in view.recommendations if recommendation.reason is None
    ]


def test_a_known_law_is_found_and_said_with_all_that_a_status_promises() -> None:
    view = fit(isoflop([{"flops": 1e21}])).view
    status = view.status
    assert status.form == "chinchilla"
    assert status.size == "modelParameters"
    assert status.points == 35
    assert set(status.parameters) == {"E", "A", "B", "alpha", "beta", "a"}
    assert status.parameters["a"] == pytest.approx(float(TRUTH.a[0]), abs=1e-4)
    assert set(status.intervals) == set(status.parameters)
    doubt = status.intervals["a"]
    assert doubt.interval80 is not None
    assert doubt.interval95 is not None
    assert status.objective is not None
    assert status.objective < 1e-9
    assert status.hold_out is not None
    errors = status.hold_out.error, status.hold_out.line_error, status.hold_out.nearest_error
    assert all(error is not None for error in errors)
    assert status.bootstrap is not None
    assert (status.bootstrap.count, status.bootstrap.seed) == (1000, 7)
    assert status.bootstrap.resample == "stratified", "equal compute makes a budget"
    assert status.isoflop is not None
    assert len(status.isoflop.optima) == 5
    assert types(view) == [ConditionType.FIT_READY]


def test_the_same_basis_gives_the_same_answer() -> None:
    fit_input = isoflop(TARGETS)
    assert fit(fit_input).view == fit(fit_input).view


def test_each_target_has_an_answer_or_says_why_not() -> None:
    rng = np.random.default_rng(0)
    exact = isoflop(TARGETS)
    noise = np.exp(1e-5 * rng.standard_normal(len(exact.points)))
    scattered = (
        replace(p, value=p.value * float(n)) for p, n in zip(exact.points, noise, strict=True)
    )
    view = fit(replace(exact, points=tuple(scattered))).view
    assert [
        recommendation.target.model_dump(exclude_none=True)
        for recommendation in view.recommendations
    ] == [json.loads(json.dumps(target), parse_int=float) for target in TARGETS]
    by_flops, by_size, by_loss, by_cost, loss_served, flops_served, served, low = (
        view.recommendations
    )
    best = allocate(TRUTH, Target(flops=1e21), RunPath())
    assert by_flops.parameters == pytest.approx(best.parameters[0], rel=2e-3)
    assert by_flops.tokens == pytest.approx(best.tokens[0], rel=2e-3)
    assert by_flops.loss == pytest.approx(best.loss[0], rel=1e-4)
    assert by_flops.flat_range is not None
    assert by_flops.interval95 is not None
    assert {"parameters", "tokens", "tokensPerParameter", "loss"} <= set(by_flops.intervals)
    assert (by_size.parameters, by_loss.loss) == pytest.approx((1e9, 2.3))
    assert by_size.interval95 is None, "a size that was asked for has no doubt"
    assert "loss" in by_size.intervals
    assert "flops" in by_loss.intervals
    for recommendation in (by_flops, by_size, by_loss):
        assert (recommendation.shape, recommendation.gpu_hours, recommendation.cost) == (
            None,
            None,
            None,
        ), "no policy is known"
    assert (by_cost.reason, by_cost.parameters) == ("NoPrices", None)
    assert loss_served.parameters is not None
    assert by_loss.parameters is not None
    assert loss_served.parameters < by_loss.parameters, "serving pays for a smaller model"
    assert flops_served.flops is not None
    assert flops_served.parameters is not None
    whole = flops_served.flops + 2 * flops_served.parameters * 1e11
    assert whole == pytest.approx(1e21, rel=1e-4), "the budget pays for both"
    assert served.loss == pytest.approx(float(RUNS.L.min()), rel=1e-3), "as good as the best seen"
    assert (low.reason, low.parameters) == ("OutOfReach", None)
    assert "(E is 1.8" in (low.message or "")
    unanswered = next(c for c in view.conditions if c.type is ConditionType.TARGET_UNANSWERED)
    assert "cost 500: prices" in unanswered.message


def test_serving_nothing_is_training_alone_and_much_is_a_smaller_model() -> None:
    sizes = [
        answered(fit(isoflop([{"loss": 2.3, "inferenceTokens": tokens}])).view)[0].parameters
        for tokens in (1.0, 1e11, 1e13)
    ]
    alone = allocate(TRUTH, Target(loss=2.3), RunPath()).parameters[0]
    assert sizes[0] == pytest.approx(alone, rel=1e-3)
    assert sizes == sorted(sizes, reverse=True, key=lambda size: size or 0.0)


def test_a_score_is_fitted_as_its_error_and_says_so() -> None:
    scores = [1.0 - 0.02 - 2.0 / (1000.0 * 2**at) ** 0.5 for at in range(6)]
    fit_input = replace(
        ladder(scores, direction="maximize", targets=[{"loss": 0.03}]),
        untried=(Scale(6, {"n": 7}),),
    )
    view = fit(fit_input).view
    assert view.status.quantity == "error"
    assert view.status.parameters["E"] == pytest.approx(0.02, rel=1e-3)
    predicted = view.predictions[6]
    assert scores[-1] < predicted.value < 0.98, "in the objective's own units"
    assert predicted.interval80 is not None
    assert predicted.interval80.low is not None
    assert predicted.interval80.high is not None
    assert predicted.interval80.low <= predicted.value <= predicted.interval80.high


@pytest.mark.parametrize(
    ("fit_input", "type_", "reason"),
    [
        pytest.param(
            ladder(POWER[:1]), ConditionType.NOT_ENOUGH_POINTS, "TooFewSizes", id="one size"
        ),
        pytest.param(
            ladder([float("nan"), *POWER[1:]]),
            ConditionType.INVALID_POINTS,
            "NotFinite",
            id="NaN loss",
        ),
        pytest.param(
            ladder([-1.0, *POWER[1:]]),
            ConditionType.INVALID_POINTS,
            "NotPositive",
            id="negative loss",
        ),
        pytest.param(
            ladder([0.5, 0.9, 0.99, 0.999, 1.0], direction="maximize"),
            ConditionType.INVALID_POINTS,
            "NotPositive",
            id="a perfect score has no error to fit",
        ),
        pytest.param(
            ladder(list(reversed(POWER))),
            ConditionType.NOT_ENOUGH_POINTS,
            "DegenerateDesign",
            id="loss grows with size",
        ),
        pytest.param(
            ladder([5.0 / 2**at for at in range(6)]),
            ConditionType.NOT_ENOUGH_POINTS,
            None,
            id="E tends to 0",
        ),
        pytest.param(
            replace(isoflop(), points=isoflop().points[:7]),
            ConditionType.NOT_ENOUGH_POINTS,
            "OneBudget",
            id="one budget",
        ),
        pytest.param(
            replace(
                isoflop(),
                points=tuple(replace(p, flops=-5.3e18 + i) for i, p in enumerate(isoflop().points)),
            ),
            ConditionType.INVALID_POINTS,
            "NotPositive",
            id="FLOPs that overflowed int64",
        ),
        pytest.param(
            replace(
                ladder(POWER),
                points=tuple(replace(p, model_parameters=5e3) for p in ladder(POWER).points),
            ),
            ConditionType.NOT_ENOUGH_POINTS,
            "TooFewSizes",
            id="duplicates are one point, the best",
        ),
        pytest.param(
            replace(ladder(POWER), points=()),
            ConditionType.NOT_ENOUGH_POINTS,
            "TooFewSizes",
            id="no value at all",
        ),
        pytest.param(
            replace(
                ladder(POWER),
                spec=spec_of({"rungs": [{"a": 1, "b": 2}]}),
                points=tuple(
                    replace(p, model_parameters=None, scale=Scale(i, {"a": 1, "b": 2}))
                    for i, p in enumerate(ladder(POWER).points)
                ),
            ),
            ConditionType.NOT_ENOUGH_POINTS,
            "TooFewSizes",
            id="rungs whose N nobody counts",
        ),
    ],
)
def test_degenerate_trials_give_a_condition_and_no_number(
    fit_input: FitInput, type_: ConditionType, reason: str | None
) -> None:
    asked = fit_input.spec.model_dump(mode="json", exclude_unset=True)
    asked["scaling"]["targets"] = [{"parameters": 1e5}]
    view = fit(replace(fit_input, spec=ExperimentSpec.model_validate(asked))).view
    ready = view.conditions[0]
    assert (ready.type, ready.is_true) == (ConditionType.FIT_READY, False)
    named = [condition for condition in view.conditions if condition.type is type_]
    assert named
    if reason is not None:
        assert named[0].reason == reason
    status = view.status
    assert (status.form, status.objective, status.parameters) == (None, None, {})
    assert (status.intervals, status.hold_out, status.isoflop) == ({}, None, None)
    assert (view.recommendations, view.predictions) == ((), {})


def test_points_at_the_edge_of_a_search_are_left_out_unless_they_are_kept() -> None:
    fit_input = ladder(POWER)
    first, *later = fit_input.points
    fit_input = replace(fit_input, points=(replace(first, edges=("rate",)), *later))
    view = fit(fit_input).view
    assert view.status.points == 5
    assert [(point.scale, point.reason) for point in view.status.left_out] == [
        (0, "HyperparameterEdge")
    ]
    edge = next(c for c in view.conditions if c.type is ConditionType.HYPERPARAMETER_EDGE)
    assert "at scale 0; widen it; these scales are left out" in edge.message
    document = fit_input.spec.model_dump(mode="json", exclude_unset=True)
    document["scaling"]["fit"] = {"hyperparameterEdge": "keep"}
    kept = fit(replace(fit_input, spec=ExperimentSpec.model_validate(document))).view
    assert kept.status.points == 6
    assert ConditionType.HYPERPARAMETER_EDGE in types(kept)


def test_points_at_an_edge_that_transfer_has_made_are_named_and_kept() -> None:
    fit_input = ladder(POWER)
    first, *later = fit_input.points
    view = fit(replace(fit_input, points=(replace(first, narrow_edges=("rate",)), *later))).view
    assert view.status.points == 6
    edge = next(c for c in view.conditions if c.type is ConditionType.HYPERPARAMETER_EDGE)
    assert edge.reason == "BestAtNarrowedEdge"
    assert "raise transfer.shrink; their points are kept" in edge.message


def test_outliers_leave_by_the_declared_rule_alone_and_are_listed() -> None:
    view = fit(ladder([9.0, *POWER], fit={"dropWorst": 1})).view
    assert (view.status.points, view.status.drop_worst) == (6, 1)
    assert [(point.scale, point.reason) for point in view.status.left_out] == [(0, "DropWorst")]


def test_the_best_of_two_scales_of_one_size_counts() -> None:
    fit_input = ladder(POWER)
    twin = point(6, POWER[0] + 0.5, 1000.0, samples=1e4)
    view = fit(replace(fit_input, points=(*fit_input.points, twin))).view
    assert view.status.points == 6
    assert [(left_out.scale, left_out.reason) for left_out in view.status.left_out] == [
        (6, "NotTheBest")
    ]


def test_without_counted_parameters_the_ladder_s_own_number_is_the_size() -> None:
    fit_input = ladder(POWER, targets=[{"flops": 1e9}, {"parameters": 10}])
    points = tuple(
        replace(tuned, model_parameters=None, value=1.0 + 3.0 / (at + 1))
        for at, tuned in enumerate(fit_input.points)
    )
    view = fit(replace(fit_input, points=points)).view
    assert view.status.size == "n"
    flops, size = view.recommendations
    assert flops.reason == "UnknownFlops", "a width says nothing of compute"
    assert (size.parameters, size.size) == pytest.approx((10, 10))


def test_the_best_rate_has_an_exponent_with_its_interval() -> None:
    trend = fit(ladder(POWER)).view.status.hyperparameters["rate"]
    assert trend.exponent == pytest.approx(-0.25)
    assert trend.scales == 6
    assert trend.interval95 is not None


def test_an_exponent_needs_three_sizes_within_their_range() -> None:
    fit_input = ladder(POWER)
    edged = tuple(replace(tuned, edges=("rate",)) for tuned in fit_input.points[:4])
    trend = fit(
        replace(fit_input, points=(*edged, *fit_input.points[4:]))
    ).view.status.hyperparameters
    assert (trend["rate"].exponent, trend["rate"].scales) == (None, 2)


@pytest.mark.parametrize(
    ("fit_input", "type_"),
    [
        pytest.param(
            isoflop([{"flops": 1e30}]), ConditionType.FAR_EXTRAPOLATION, id="1e10 times beyond"
        ),
        pytest.param(
            ladder(POWER), ConditionType.EDGE_OPTIMUM, id="a ladder whose largest size is best"
        ),
    ],
)
def test_a_fit_says_what_to_beware_of(fit_input: FitInput, type_: ConditionType) -> None:
    view = fit(fit_input).view
    assert view.conditions[0].is_true
    assert type_ in types(view)


def test_methods_that_disagree_turn_the_answer_into_a_range() -> None:
    fit_input = isoflop([{"flops": 1e21}], form="tied")
    bent = with_one_rate(RUNS, kappa=0.03, rate_fits=float(RUNS.N.max()))
    values = bent.L * (bent.N / bent.N.min()) ** (0.002 * np.log(bent.N / 1e8))
    points = tuple(
        replace(tuned, value=float(value))
        for tuned, value in zip(fit_input.points, values, strict=True)
    )
    view = fit(replace(fit_input, points=points)).view
    assert ConditionType.METHODS_DISAGREE in types(view)
    assert view.recommendations[0].range is not None


@pytest.mark.slow
def test_noisy_runs_say_so() -> None:
    rng = np.random.default_rng(3)
    fit_input = isoflop([{"flops": 1e23}])
    noisy = tuple(
        replace(tuned, value=tuned.value * float(np.exp(0.05 * rng.standard_normal())))
        for tuned in fit_input.points
    )
    assert ConditionType.NOISE_TOO_HIGH in types(fit(replace(fit_input, points=noisy)).view)


def test_a_fit_of_scales_that_are_still_tuned_is_preliminary() -> None:
    view = fit(replace(ladder(POWER), tuning=(5,))).view
    assert view.conditions[0].reason == "Preliminary"
    assert "scale 5 not fully tuned yet" in view.conditions[0].message


UNTRIED = Scale(35, {"n": 2e9, "d": 4e10})


def test_a_rung_that_sets_n_and_d_is_foretold_and_checked_when_it_is_seen() -> None:
    view = fit(replace(isoflop(), untried=(UNTRIED,))).view
    predicted = view.predictions[35]
    truth = 1.81721810 + 477.82587 / 2e9**0.34731050 + 2143.41736 / 4e10**0.36717243
    assert predicted.value == pytest.approx(truth, rel=1e-5)
    assert (predicted.model_parameters, predicted.samples) == (2e9, 4e10)
    held = checked(predicted, truth * 1.2)
    assert (held.within, held.error) == ("outside", pytest.approx(0.2, abs=1e-4))
    assert checked(predicted, predicted.value).within == "80"


def test_a_size_of_the_built_in_trainer_is_counted_before_it_is_trained() -> None:
    spec = spec_of(
        {"parameter": "model.width", "sizes": [2, 4, 8, 16, 32, 64]},
        objective={"metric": "val_loss", "direction": "minimize"},
        search={},
        trainer={
            "builtIn": {
                "task": "classification",
                "dataset": {"name": "digits"},
                "model": {"name": "mlp", "depth": 1},
            }
        },
    )
    sizes = {width: (64 + 1) * width + (width + 1) * 10 for width in (2, 4, 8, 16, 32, 64)}
    points = tuple(
        TunedPoint(
            Scale(at, {"model.width": width}),
            f"{at}-0",
            0.1 + 5.0 / sizes[width] ** 0.5,
            {"model.width": width},
            float(sizes[width]),
        )
        for at, width in enumerate((2, 4, 8, 16, 32))
    )
    view = fit(FitInput(spec, points, untried=(Scale(5, {"model.width": 64}),))).view
    predicted = view.predictions[5]
    assert predicted.model_parameters == sizes[64]
    assert predicted.value == pytest.approx(0.1 + 5.0 / sizes[64] ** 0.5, rel=1e-3)


def test_several_points_of_one_run_are_resampled_together() -> None:
    assert RUNS.C is not None
    fit_input = isoflop()
    one_run = tuple(
        replace(tuned, scale=Scale(at % 7, {"n": at % 7}), flops=None)
        for at, tuned in enumerate(fit_input.points)
    )
    view = fit(replace(fit_input, points=one_run)).view
    assert view.status.bootstrap is not None
    assert view.status.bootstrap.resample == "cluster"


def test_a_status_of_a_hundred_scales_stays_small() -> None:
    assert RUNS.D is not None
    fit_input = isoflop(TARGETS)
    many = tuple(
        replace(tuned, scale=Scale(index, tuned.scale.parameters), trial=f"{index}-0")
        for index, tuned in enumerate(fit_input.points * 3)
    )
    view = fit(replace(fit_input, points=many[:100])).view
    size = len(view.status.model_dump_json()) + sum(
        len(recommendation.model_dump_json()) for recommendation in view.recommendations
    )
    assert size < 30_000
    assert FitStatus.model_validate_json(view.status.model_dump_json()) == view.status


def test_equal_compute_by_chance_is_no_reason_to_refuse() -> None:
    smallest = tuple(p for at, p in enumerate(isoflop().points) if at % 7 > 1)
    edged = replace(isoflop(), points=smallest)
    assert fit_isoflop(RUNS).power is not None
    view = fit(edged).view
    assert view.status.form == "chinchilla"
