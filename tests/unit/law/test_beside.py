"""Beside the law: the envelope of curves, trends of hyperparameters, sizes that are to serve."""

import numpy as np
import pytest
from pydantic import ValidationError
from simulated_runs import chinchilla_law

from scaling_operator.api.scaling import Target
from scaling_operator.law.envelope import Course, Envelope, TrainingCurve, fit_envelope
from scaling_operator.law.hyperparameter_trends import fit_trend
from scaling_operator.law.law import Law, law_of, loss
from scaling_operator.law.optimum import allocate, allocate_served
from scaling_operator.law.parametric_fit import NotFitted
from scaling_operator.law.points import Array, RunPath

LAW = chinchilla_law()


def curves(count: int = 13) -> list[TrainingCurve]:
    trained: list[TrainingCurve] = []
    for size in np.geomspace(1e7, 1e10, count):
        flops = np.geomspace(1e17, 1e21, 60)
        trained.append(TrainingCurve(float(size), flops, _curve(float(size), flops)))
    return trained


def _curve(size: float, flops: Array) -> Array:
    return loss(LAW, np.full_like(flops, size), flops / (6 * size))[0]


@pytest.mark.parametrize("course", ["constant", "wsd"])
def test_the_envelope_of_whole_curves_finds_the_exponent(course: Course) -> None:
    envelope = fit_envelope(curves(), course)
    assert isinstance(envelope, Envelope)
    assert envelope.a == pytest.approx(float(LAW.a[0]), abs=0.01)
    assert len(envelope.parameters) >= 5


@pytest.mark.parametrize(
    ("training_curves", "course", "reason"),
    [
        pytest.param(curves(), "cosine", "CurvesNotComparable", id="a cosine cut short"),
        pytest.param(curves()[:4], "wsd", "TooFewSizes", id="four sizes"),
        pytest.param(curves()[-6:], "wsd", "EdgeOptimum", id="the smallest is lowest everywhere"),
        pytest.param(
            [*curves()[:6], TrainingCurve(1e9, np.array([1e18, 1e17, 1e19]), np.ones(3))],
            "wsd",
            "InvalidCurve",
            id="a curve that goes back",
        ),
        pytest.param(
            [*curves()[:6], TrainingCurve(1e9, np.array([1e17, 1e18, 1e19]), np.full(3, np.nan))],
            "constant",
            "InvalidCurve",
            id="NaN",
        ),
    ],
)
def test_curves_that_do_not_allow_an_envelope_are_refused(
    training_curves: list[TrainingCurve], course: Course, reason: str
) -> None:
    refusal = fit_envelope(training_curves, course)
    assert isinstance(refusal, NotFitted)
    assert refusal.reason == reason
    assert refusal.message


def test_a_trend_has_the_exponent_and_an_interval_that_holds_it() -> None:
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(200):
        sizes = np.geomspace(1e6, 1e9, 6)
        values = sizes**-0.3 * np.exp(0.3 * rng.standard_normal(6))
        line = fit_trend(sizes, values)
        assert line is not None
        low, high = line.intervals[80]
        held += low <= -0.3 <= high
    assert 0.72 < held / 200 < 0.88


def test_two_sizes_have_no_trend() -> None:
    assert fit_trend(np.array([1e6, 1e7, 1e7]), np.array([1.0, 2.0, 3.0])) is None


@pytest.mark.parametrize("served", [1e9, 1e11, 1e13])
def test_the_size_that_serves_is_no_worse_than_its_neighbours(served: float) -> None:
    best = allocate_served(LAW, Target(flops=1e22, inference_tokens=served), RunPath())
    spent = 6 * best.parameters * best.tokens + 2 * best.parameters * served
    assert spent[0] == pytest.approx(1e22, rel=1e-6)
    for factor in (0.97, 1.03):
        size = best.parameters * factor
        tokens = 1e22 / (6 * size) - served / 3
        if tokens[0] > 0:
            assert loss(LAW, size[:, None], tokens[:, None])[0, 0] >= best.loss[0]


@pytest.mark.parametrize("served", [1e9, 1e12])
def test_a_loss_is_reached_at_the_least_cost_of_training_and_serving(served: float) -> None:
    best = allocate_served(LAW, Target(loss=2.1, inference_tokens=served), RunPath())
    assert best.loss[0] == pytest.approx(2.1, rel=1e-6)
    total = best.flops[0] + 2 * best.parameters[0] * served
    for factor in (0.97, 1.03):
        size = best.parameters[0] * factor
        gap = 2.1 - LAW.E[0] - LAW.A[0] / size ** LAW.alpha[0]
        tokens = (LAW.B[0] / gap) ** (1 / LAW.beta[0])
        assert 6 * size * tokens + 2 * size * served >= total


def test_what_cannot_be_served_has_no_answer() -> None:
    target = Target(loss=1.5, inference_tokens=1e9)
    assert np.isnan(allocate_served(LAW, target, RunPath()).parameters[0])
    with pytest.raises(ValidationError):
        Target(parameters=1e9, inference_tokens=1e9)


def test_along_a_ladder_a_budget_pays_for_both() -> None:
    line = Law(*(np.array([v]) for v in (np.log(300.0), -np.inf, np.log(1.8), 0.3, np.nan)))
    path = RunPath(6.0, (np.log(20.0), 1.0), (np.log(120.0), 2.0))
    best = allocate_served(line, Target(flops=1e18, inference_tokens=1e9), path)
    size = best.parameters[0]
    assert 120 * size**2 + 2 * size * 1e9 == pytest.approx(1e18, rel=1e-6)
    alone = allocate(line, Target(loss=2.2), path)
    served = allocate_served(line, Target(loss=2.2, inference_tokens=1e9), path)
    assert served.parameters[0] == alone.parameters[0], "one size on the line has that loss"


def test_a_size_by_hand_agrees_with_the_closed_form_when_nobody_is_served() -> None:
    law = law_of((400.0, 2000.0, 1.5), (0.3, 0.4))
    best = allocate(law, Target(flops=1e20), RunPath())
    almost = allocate_served(law, Target(flops=1e20, inference_tokens=1.0), RunPath())
    assert almost.parameters[0] == pytest.approx(best.parameters[0], rel=1e-4)
