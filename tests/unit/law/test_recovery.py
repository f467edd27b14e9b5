"""Known laws are found again (F8), and one learning rate for all sizes bends them (S1)."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_runs import (
    IsoFlopDesign,
    chinchilla_law,
    simulated,
    with_one_rate,
)

from scaling_operator.api.scaling import Target
from scaling_operator.law.bootstrap import Resample
from scaling_operator.law.fit_points import fit_points
from scaling_operator.law.law import Law, law_of, loss
from scaling_operator.law.optimum import allocate
from scaling_operator.law.parametric_fit import NotFitted, fit_law
from scaling_operator.law.points import RunPath, points_from_tokens
from scaling_operator.law.results import FitOptions, FitReport

TRUTH = chinchilla_law()
FAR = Target(flops=1e22)
BEST = allocate(TRUTH, FAR, RunPath())
DESIGN = IsoFlopDesign(5, 7)


def _answer(report: FitReport) -> float:
    """Return N* over its true value."""
    return report.recommendation[0].parameters / float(BEST.parameters[0])


def _law(report: FitReport) -> Law:
    assert report.fitted is not None, report.conditions
    return report.fitted.law


@pytest.mark.parametrize("design", [IsoFlopDesign(3, 5), DESIGN, IsoFlopDesign(7, 9)])
def test_noise_free_runs_give_the_law_back(design: IsoFlopDesign) -> None:
    report = fit_points(simulated(TRUTH, design), FitOptions(targets=(FAR,), bootstrap=0))
    law = _law(report)
    for name in ("A", "B", "E", "alpha", "beta"):
        assert getattr(law, name)[0] == pytest.approx(getattr(TRUTH, name)[0], rel=1e-4), name
    assert _answer(report) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.slow
def test_noisy_ladders_give_the_size_within_the_reference_error() -> None:
    rng = np.random.default_rng(0)
    errors: list[float] = []
    excess: list[float] = []
    for _ in range(40):
        fitted = fit_law(simulated(TRUTH, DESIGN, noise=0.005, rng=rng), "chinchilla", noise=0.005)
        assert not isinstance(fitted, NotFitted)
        size = allocate(fitted.law, FAR, RunPath()).parameters
        reached = loss(TRUTH, size, FAR.value / (6.0 * size))[0, 0]
        errors.append(float(abs(size[0] / BEST.parameters[0] - 1.0)))
        excess.append(float(reached / BEST.loss[0]) - 1.0)
    assert np.median(errors) <= 0.08
    assert np.quantile(errors, 0.9) <= 0.15
    assert np.quantile(excess, 0.9) <= 2e-4


@pytest.mark.slow
@pytest.mark.parametrize("resample", ["pairs", "stratified"])
def test_intervals_hold_the_truth_about_as_often_as_they_say(resample: Resample) -> None:
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(16):
        points = simulated(TRUTH, DESIGN, noise=0.005, rng=rng)
        options = FitOptions(method="parametric", bootstrap=200, noise=0.005, resample=resample)
        low, high = fit_points(points, options).intervals["a"][90]
        held += low <= TRUTH.a[0] <= high
    assert held >= 12


@pytest.mark.parametrize(
    ("kappa", "position", "ratio"),
    [
        pytest.param(0.01, 0.0, 0.45, id="right for the smallest size: N* comes out at .45"),
        pytest.param(0.01, 0.5, 0.74, id="right for the middle: .74"),
        pytest.param(0.01, 1.0, 1.18, id="right for the largest: 1.18"),
        pytest.param(0.002, 0.0, 0.83, id="a flatter valley bends less: .83"),
        pytest.param(0.02, 0.0, 0.22, id="a steeper one more: .22"),
        pytest.param(0.02, 1.0, 1.36, id="and the other way round: 1.36"),
    ],
)
def test_one_rate_for_all_sizes_bends_the_law(kappa: float, position: float, ratio: float) -> None:
    points = simulated(TRUTH, DESIGN)
    fits = float(np.exp(np.quantile(np.log(points.N), position)))
    bent = with_one_rate(points, kappa=kappa, rate_fits=fits)
    report = fit_points(bent, FitOptions(targets=(FAR,), bootstrap=0))
    assert _answer(report) == pytest.approx(ratio, abs=0.01)


def test_one_rate_right_for_the_smallest_size_shows_another_exponent_and_tuning_heals_it() -> None:
    points = simulated(TRUTH, DESIGN)
    bent = with_one_rate(points, kappa=0.01, rate_fits=float(points.N.min()))
    assert _law(fit_points(bent, FitOptions(bootstrap=0))).a[0] == pytest.approx(0.446, abs=1e-3)
    tuned = fit_points(points, FitOptions(targets=(FAR,), bootstrap=0))
    assert abs(_law(tuned).a[0] - 0.514) < 0.02
    assert _answer(tuned) == pytest.approx(1.0, abs=0.15)


def test_fewer_than_twelve_points_tie_the_exponents() -> None:
    tied = law_of((300.0, 500.0, 1.5), (0.3, 0.3))
    size, tokens = np.repeat(np.geomspace(1e6, 1e8, 5), 2), np.tile([1e9, 1e10], 5)
    points = points_from_tokens(size, tokens, loss(tied, size, tokens)[0])
    report = fit_points(points, FitOptions(targets=(Target(flops=1e19),), bootstrap=100))
    assert report.form == "tied"
    assert _law(report).alpha[0] == pytest.approx(0.3, rel=1e-4)
    assert _law(report).a[0] == pytest.approx(0.5)


def test_ladder_on_one_line_is_fitted_in_one_variable() -> None:
    size = np.geomspace(1e6, 1e8, 6)
    points = points_from_tokens(size, 20 * size, 1.8 + 300 / size**0.3)
    targets = (Target(flops=1.2e18), Target(loss=2.2), Target(parameters=1e9))
    report = fit_points(points, FitOptions(targets=targets, predict=((1e9, None),), bootstrap=200))
    law = _law(report)
    assert report.form == "power"
    assert (law.A[0], law.E[0], law.alpha[0]) == pytest.approx((300.0, 1.8, 0.3), rel=1e-4)
    by_flops, by_loss, by_size = report.recommendation
    assert by_flops.parameters == pytest.approx(1e8, rel=1e-6)
    assert by_flops.flat_range is None
    assert by_loss.parameters == pytest.approx((300 / 0.4) ** (1 / 0.3), rel=1e-3)
    assert by_size.loss == pytest.approx(1.8 + 300 / 1e9**0.3, rel=1e-4)
    assert report.predictions[0].loss == pytest.approx(by_size.loss, rel=1e-9)


@settings(deadline=None, max_examples=40)
@given(
    alpha=st.floats(0.15, 0.7),
    beta=st.floats(0.15, 0.7),
    log_flops=st.floats(36.0, 60.0),
    floor=st.floats(0.01, 3.0),
)
def test_closed_form_optimum_is_least_and_its_inversions_agree(
    alpha: float, beta: float, log_flops: float, floor: float
) -> None:
    law = law_of((400.0, 2000.0, floor), (alpha, beta))
    flops = float(np.exp(log_flops))
    best = allocate(law, Target(flops=flops), RunPath())
    for factor in (0.9, 1.1):
        size = best.parameters * factor
        assert loss(law, size, flops / (6 * size))[0, 0] >= best.loss[0]
    for kind, value in (("parameters", best.parameters[0]), ("loss", best.loss[0])):
        again = allocate(law, Target.model_validate({kind: float(value)}), RunPath())
        assert again.flops[0] == pytest.approx(flops, rel=1e-2)


@settings(deadline=None, max_examples=10)
@given(alpha=st.floats(0.2, 0.6), beta=st.floats(0.2, 0.6), floor=st.floats(0.5, 3.0))
def test_any_noise_free_surface_is_recovered(alpha: float, beta: float, floor: float) -> None:
    law = law_of((300.0, 800.0, floor), (alpha, beta))
    size, tokens = (
        grid.ravel() for grid in np.meshgrid(np.geomspace(1e6, 1e9, 6), np.geomspace(1e8, 1e11, 6))
    )
    fitted = fit_law(points_from_tokens(size, tokens, loss(law, size, tokens)[0]), "chinchilla")
    assert not isinstance(fitted, NotFitted)
    assert fitted.law.a[0] == pytest.approx(law.a[0], rel=1e-4)
