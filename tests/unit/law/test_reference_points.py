"""The Chinchilla points, against the figures of the published replication (F1-F4, F6)."""

import csv
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from scipy import optimize

from scaling_operator.api.names import ConditionType
from scaling_operator.api.scaling import Target
from scaling_operator.law.bootstrap import bootstrap_law, draw_counts, intervals
from scaling_operator.law.fit_points import fit_points
from scaling_operator.law.forms import OBJECTIVE_FACTOR, Form, coordinates, problem_of, weighted
from scaling_operator.law.holdout import HoldOut, hold_out
from scaling_operator.law.law import Law, law_of
from scaling_operator.law.optimum import allocate, flat_range
from scaling_operator.law.parametric_fit import Fitted, NotFitted, descend, fit_law
from scaling_operator.law.points import Points, RunPath, clustered, drop_worst, points_from_flops
from scaling_operator.law.results import FitOptions

DATA = Path(__file__).parents[3].parent / "shared" / "data" / "chinchilla_points.csv"
pytestmark = pytest.mark.skipif(not DATA.exists(), reason="chinchilla_points.csv is not here")

# As the replication's source has them, in logarithms.
HOFFMANN = law_of(
    (float(np.exp(6.0073404)), float(np.exp(6.0179186)), float(np.exp(0.5267228))),
    (0.33917084, 0.2849083),
)
ROUNDED = law_of((406.4, 410.7, 1.69), (0.34, 0.28))
GOPHER_FLOPS = 5.76e23


@pytest.fixture(scope="module")
def every() -> Points:
    with DATA.open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = ("Model Size", "Training FLOP", "loss")
    return points_from_flops(*([float(row[name]) for row in rows] for name in names))


@pytest.fixture(scope="module")
def points(every: Points) -> Points:
    return drop_worst(every, 5)[0]


@pytest.fixture(scope="module")
def fitted(points: Points) -> Fitted:
    return _fit(points)


def _fit(points: Points, seed: int = 0) -> Fitted:
    fitted = fit_law(points, "chinchilla", seed=seed)
    assert not isinstance(fitted, NotFitted)
    return fitted


def _assert_reference(fitted: Fitted) -> None:
    law = fitted.law
    assert law.A[0] == pytest.approx(477.83, abs=0.5)
    assert law.B[0] == pytest.approx(2143.4, abs=5)
    assert law.E[0] == pytest.approx(1.81722, abs=5e-4)
    assert law.alpha[0] == pytest.approx(0.34731, abs=5e-4)
    assert law.beta[0] == pytest.approx(0.36717, abs=5e-4)
    assert fitted.objective <= 1.01828e-3


def objective_at(points: Points, form: Form, law: Law) -> float:
    """Return the sum-Huber objective (delta 1e-3, without a factor) of a law given by hand."""
    problem = problem_of(points, form)
    value, _ = weighted(problem)(coordinates(problem, law), np.zeros(1, dtype=np.intp))
    return float(value[0]) / OBJECTIVE_FACTOR


def size_clusters(points: Points, tolerance: float = 0.05) -> Points:
    """Label runs by size: a gap of more than `tolerance` in ln N begins the next cluster."""
    order = np.argsort(points.N)
    steps = np.diff(np.log(points.N[order])) > tolerance
    labels = np.empty(len(points))
    labels[order] = np.concatenate([[0.0], np.cumsum(steps)])
    return clustered(points, labels)


def test_outlier_rule_drops_the_five_worst_of_245_rows(every: Points, points: Points) -> None:
    assert (len(every), len(points)) == (245, 240)


@pytest.mark.slow
def test_240_rows_give_the_reference_for_50_seeds_of_50(points: Points) -> None:
    for seed in range(50):
        _assert_reference(_fit(points, seed))


def test_a_fit_takes_less_than_two_seconds(points: Points) -> None:
    start = time.process_time()
    _fit(points)
    assert time.process_time() - start < 2.0


def test_hoffmanns_values_as_the_only_start_reach_the_reference(points: Points) -> None:
    problem = problem_of(points, "chinchilla")
    _, value = descend(problem, coordinates(problem, HOFFMANN))
    assert value / 1e3 <= 1.01828e-3


def test_hoffmanns_values_as_the_users_start_change_nothing(points: Points) -> None:
    fitted = fit_law(points, "chinchilla", start=HOFFMANN)
    assert not isinstance(fitted, NotFitted)
    _assert_reference(fitted)


def test_objective_at_hoffmanns_values_is_the_published_one(points: Points) -> None:
    assert objective_at(points, "chinchilla", HOFFMANN) == pytest.approx(1.231163e-3, rel=1e-4)
    assert objective_at(points, "chinchilla", ROUNDED) == pytest.approx(4.121009e-3, rel=1e-4)


def test_residuals_have_the_spread_of_the_reference(fitted: Fitted) -> None:
    assert np.std(fitted.residuals) == pytest.approx(0.00752, abs=2e-4)
    assert np.abs(fitted.residuals).max() == pytest.approx(0.0503, abs=5e-4)


def test_245_rows_give_the_law_that_the_outliers_bend(every: Points) -> None:
    law = _fit(every).law
    assert law.alpha[0] == pytest.approx(0.3493, abs=1e-3)
    assert law.beta[0] == pytest.approx(0.4531, abs=1e-3)
    assert law.E[0] == pytest.approx(1.8913, abs=1e-3)


def test_1000_pairs_give_the_intervals_of_the_reference(points: Points, fitted: Fitted) -> None:
    start = time.process_time()
    draws = bootstrap_law(points, fitted, count=1000, seed=7)
    assert time.process_time() - start < 20.0
    law = draws.law
    expected = {
        "alpha": (law.alpha, (0.316, 0.372), 0.006, 0.3478),
        "beta": (law.beta, (0.333, 0.416), 0.008, 0.3659),
        "E": (law.E, (1.771, 1.872), 0.006, 1.8169),
        "a": (law.a, (0.482, 0.556), 0.008, 0.513),
    }
    for name, (drawn, ends, tolerance, published) in expected.items():
        low, high = intervals(drawn)[95]
        assert (low, high) == pytest.approx(ends, abs=tolerance), name
        assert low < published < high, name
    assert np.std(law.a) == pytest.approx(0.0195, abs=0.002)
    assert intervals(law.beta)[95][0] > 0.2849
    assert intervals(law.E)[95][0] > 1.693


def test_38_size_clusters_give_the_wider_errors_of_the_reference(
    points: Points, fitted: Fitted
) -> None:
    sizes = size_clusters(points)
    law = bootstrap_law(sizes, fitted, count=1000, seed=1).law
    assert np.std(law.alpha) == pytest.approx(0.0184, abs=0.004)
    assert np.std(law.a) == pytest.approx(0.0213, abs=0.004)


def test_tokens_per_parameter_at_gophers_budget(points: Points, fitted: Fitted) -> None:
    target = Target(flops=GOPHER_FLOPS)
    best = allocate(fitted.law, target, RunPath())
    assert best.tokens[0] / best.parameters[0] == pytest.approx(17.9, abs=0.2)
    drawn = allocate(bootstrap_law(points, fitted, count=1000, seed=3).law, target, RunPath())
    low, high = intervals(drawn.tokens / drawn.parameters)[80]
    assert (low, high) == pytest.approx((10.2, 28.7), abs=1.5)
    assert low < 20.0 < high


@pytest.mark.parametrize(
    ("flops", "size", "tokens"),
    [
        (1e18, 8.02e7, 2.08e9),
        (1e20, 8.55e8, 1.95e10),
        (1e22, 9.12e9, 1.83e11),
        (1e26, 1.04e12, 1.61e13),
    ],
)
def test_optimal_sizes_are_those_of_the_reference(
    fitted: Fitted, flops: float, size: float, tokens: float
) -> None:
    best = allocate(fitted.law, Target(flops=flops), RunPath())
    assert best.parameters[0] == pytest.approx(size, rel=5e-3)
    assert best.tokens[0] == pytest.approx(tokens, rel=5e-3)


def test_loss_at_half_the_best_size_is_as_flat_as_the_reference_says(fitted: Fitted) -> None:
    flat = flat_range(fitted.law, 1e21, 6.0, 0.65)
    assert flat is not None
    assert flat[0] / 2.79e9 == pytest.approx(0.5, abs=0.01)
    assert flat[1] / 2.79e9 == pytest.approx(2.0, abs=0.02)


@pytest.mark.parametrize(
    ("cut", "below", "error"),
    [(1e20, 136, 0.0089), (3e20, 177, 0.0100), (6e20, 198, 0.0104), (1e21, 217, 0.0105)],
)
def test_hold_out_error_is_that_of_the_reference(
    points: Points, cut: float, below: int, error: float
) -> None:
    score = hold_out(points, "chinchilla", cut=cut)
    assert isinstance(score, HoldOut)
    assert (score.below, score.above) == (below, 240 - below)
    assert score.error == pytest.approx(error, abs=2e-4)
    assert 0.038 < score.line_error < 0.041


def test_fit_far_below_the_target_says_so(points: Points) -> None:
    assert points.C is not None
    mask = points.C <= 1e20
    options = FitOptions(targets=(Target(flops=GOPHER_FLOPS),), bootstrap=200)
    small = points_from_flops(points.N[mask], points.C[mask], points.L[mask])
    report = fit_points(small, options)
    types = [condition.type for condition in report.conditions]
    assert ConditionType.FAR_EXTRAPOLATION in types


def test_outliers_and_their_rule_are_visible_in_the_report(every: Points) -> None:
    report = fit_points(every, FitOptions(drop_worst=5, bootstrap=0))
    assert report.dropped == (0, 1, 2, 3, 4)
    assert report.fitted is not None
    _assert_reference(report.fitted)


def test_batched_descent_reaches_what_scipy_reaches(points: Points, fitted: Fitted) -> None:
    problem = fitted.problem
    counts = draw_counts(points, "pairs", count=12, rng=np.random.default_rng(5))
    draws = bootstrap_law(points, fitted, count=12, seed=5)
    reached, _ = weighted(problem, counts)(
        coordinates(problem, draws.law), np.arange(12, dtype=np.intp)
    )
    minimize = cast("Callable[..., Any]", optimize.minimize)
    for index in range(12):
        objective = weighted(problem, counts[index : index + 1])

        def scalar(x: np.ndarray, evaluate: Any = objective) -> tuple[float, np.ndarray]:
            value, gradient = evaluate(x[None, :], np.zeros(1, dtype=np.intp))
            return float(value[0]), gradient[0]

        ends = [
            minimize(scalar, coordinates(problem, law)[0], jac=True, method="BFGS").fun
            for law in (fitted.law, fitted.other)
        ]
        assert reached[index] <= min(ends) * (1 + 1e-8)
