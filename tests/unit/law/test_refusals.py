"""Degenerate input gives a named condition and no number (F9)."""

from dataclasses import replace

import numpy as np
import pytest
from simulated_runs import IsoFlopDesign, chinchilla_law, simulated

from scaling_operator.api.names import ConditionType
from scaling_operator.api.scaling import Target
from scaling_operator.law.fit_points import fit_points
from scaling_operator.law.law import loss
from scaling_operator.law.points import (
    Array,
    Points,
    as_error,
    error_of_score,
    grouped,
    keep_best,
    points_from_flops,
    points_from_sizes,
    points_from_tokens,
    seed_noise,
    select,
)
from scaling_operator.law.published_results import to_json
from scaling_operator.law.refusals import invalid_points
from scaling_operator.law.results import FitOptions

LAW = chinchilla_law()
GOOD = simulated(LAW, IsoFlopDesign(5, 7))


def _changed(column: str, index: int, value: float) -> Points:
    values: Array = getattr(GOOD, column).copy()
    values[index] = value
    return replace(GOOD, **{column: values})


def _one_size() -> Points:
    size, tokens = np.full(20, 1e8), np.geomspace(1e8, 1e11, 20)
    return points_from_tokens(size, tokens, loss(LAW, size, tokens)[0])


def _budget(count: int) -> Points:
    return simulated(LAW, IsoFlopDesign(count, 12, 1e18, 1e18 * 10 ** (count - 1)))


def _no_floor() -> Points:
    size, tokens = np.repeat(np.geomspace(1e6, 1e9, 6), 6), np.tile(np.geomspace(1e8, 1e11, 6), 6)
    return points_from_tokens(size, tokens, 400 / size**0.35 + 2000 / tokens**0.37)


def _ladder_without_floor() -> Points:
    size = np.geomspace(1e6, 1e9, 8)
    return points_from_sizes(size, 30 / size**0.2)


def _rising() -> Points:
    size = np.geomspace(1e6, 1e9, 8)
    return points_from_sizes(size, 2 + 1e-4 * size**0.5)


def _wrapped() -> Points:
    size = np.repeat(np.array([7, 8, 9, 10, 11, 12]) * 10**9, 6)
    tokens = np.tile(np.array([4, 8, 16, 32, 64, 128]) * 10**9, 6)
    with np.errstate(over="ignore"):
        flops = np.abs(6 * size * tokens)
    floats = size.astype(np.float64), tokens.astype(np.float64)
    return points_from_tokens(size, tokens, loss(LAW, *floats)[0], flops=flops)


def _on_edge() -> Points:
    wide = simulated(LAW, IsoFlopDesign(4, 13, 1e18, 1e21))
    return select(wide, np.arange(len(wide)) % 13 < 6)


def _line() -> Points:
    size = np.geomspace(1e6, 1e9, 20)
    return points_from_tokens(size, 20 * size, loss(LAW, size, 20 * size)[0])


CHINCHILLA = FitOptions(form="chinchilla", bootstrap=100)
AUTO = FitOptions(bootstrap=100)
BAD = ConditionType.INVALID_POINTS
FEW = ConditionType.NOT_ENOUGH_POINTS
EDGE = ConditionType.EDGE_OPTIMUM


@pytest.mark.parametrize(
    ("points", "options", "type_", "reason"),
    [
        pytest.param(_one_size(), CHINCHILLA, FEW, "TooFewSizes", id="one size"),
        pytest.param(_budget(1), AUTO, FEW, "OneBudget", id="one budget"),
        pytest.param(
            replace(_budget(1), group=None), AUTO, FEW, "OneBudget", id="one budget, undeclared"
        ),
        pytest.param(_budget(2), AUTO, FEW, "TooFewBudgets", id="two budgets"),
        pytest.param(_line(), CHINCHILLA, FEW, "OneLine", id="a ladder has no second variable"),
        pytest.param(
            select(GOOD, np.arange(35) % 7 < 4), AUTO, FEW, "TooFewCurves", id="four sizes a budget"
        ),
        pytest.param(
            points_from_sizes([1e6, 1e7, 1e8], [3.0, 2.5, 2.2]),
            AUTO,
            FEW,
            "TooFewSizes",
            id="three points",
        ),
        pytest.param(points_from_sizes([], []), AUTO, FEW, "TooFewSizes", id="no points at all"),
        pytest.param(_changed("L", 3, np.nan), AUTO, BAD, "NotFinite", id="NaN loss"),
        pytest.param(_changed("L", 3, np.inf), AUTO, BAD, "NotFinite", id="infinite loss"),
        pytest.param(_changed("L", 3, -0.5), AUTO, BAD, "NotPositive", id="negative loss"),
        pytest.param(_changed("L", 3, 0.0), AUTO, BAD, "NotPositive", id="zero loss"),
        pytest.param(_changed("N", 3, 0.0), AUTO, BAD, "NotPositive", id="a model of nothing"),
        pytest.param(_changed("N", 3, 5e-324), AUTO, BAD, "OutOfRange", id="of next to nothing"),
        pytest.param(_changed("L", 3, 1e300), AUTO, BAD, "OutOfRange", id="a loss that blew up"),
        pytest.param(
            _changed("C", 3, -5.3e18), AUTO, BAD, "NotPositive", id="C wrapped below zero"
        ),
        pytest.param(_wrapped(), AUTO, BAD, "FlopsOverflow", id="int64 overflow of 6 N D"),
        pytest.param(
            replace(GOOD, N=GOOD.N[[0, *range(34)]], D=None, C=None, group=None),
            AUTO,
            BAD,
            "DuplicatePoints",
            id="duplicates",
        ),
        pytest.param(_no_floor(), AUTO, FEW, None, id="E tends to 0"),
        pytest.param(_ladder_without_floor(), AUTO, FEW, None, id="E tends to 0 on a ladder"),
        pytest.param(_rising(), AUTO, FEW, "DegenerateDesign", id="loss grows with size"),
        pytest.param(_on_edge(), AUTO, EDGE, "MinimumOnEdge", id="every minimum on the edge"),
        pytest.param(
            replace(GOOD, group=None),
            FitOptions(method="isoflop"),
            FEW,
            "NoBudgets",
            id="IsoFLOP without budgets",
        ),
        pytest.param(
            GOOD, FitOptions(drop_worst=40), FEW, "TooFewSizes", id="the rule drops everything"
        ),
        pytest.param(
            GOOD, FitOptions(drop_worst=34), FEW, "TooFewSizes", id="the rule drops all but one"
        ),
    ],
)
def test_degenerate_points_give_a_condition_and_no_number(
    points: Points, options: FitOptions, type_: ConditionType, reason: str | None
) -> None:
    asked = replace(options, targets=(Target(flops=1e21),), predict=((1e9, 1e10),))
    report = fit_points(points, asked)
    ready, *further = report.conditions
    assert (ready.type, ready.is_true) == (ConditionType.FIT_READY, False)
    named = [condition for condition in further if condition.type is type_]
    assert named
    assert all(condition.message for condition in report.conditions)
    if reason is not None:
        assert reason in [condition.reason for condition in named]
    document = to_json(report)
    numbers = ("form", "E", "A", "B", "alpha", "beta", "a", "objective", "isoflop")
    assert [document[name] for name in numbers] == [None] * len(numbers)
    assert (document["recommendation"], document["predictions"]) == ([], [])
    assert document["intervals"] == {}


def test_refusal_names_the_rows_and_the_column() -> None:
    (condition,) = invalid_points(_changed("L", 3, float("nan")))
    assert condition.message == "L (loss) is not a finite number in 1 point (row 3)"


def test_whole_numbers_are_cast_before_they_are_multiplied() -> None:
    size, tokens = np.array([1_400_000_000]), np.array([1_100_000_000])
    points = points_from_tokens(size, tokens, [2.5])
    assert points.C is not None
    assert points.C[0] == pytest.approx(9.24e18)


def test_columns_of_other_lengths_are_a_programming_error() -> None:
    with pytest.raises(ValueError, match="column L has 1 rows where N has 2"):
        points_from_sizes([1e6, 1e7], [3.0])
    with pytest.raises(ValueError, match="column D has 1 rows where N has 2"):
        points_from_tokens([1e6, 1e7], [1e9], [3.0, 2.0])
    with pytest.raises(ValueError, match="drop_worst is -1"):
        fit_points(GOOD, FitOptions(drop_worst=-1))


def test_score_is_fitted_as_its_error_and_a_perfect_one_is_refused_by_name() -> None:
    errors = error_of_score([0.9, 0.95, 1.0])
    assert errors.tolist() == pytest.approx([0.1, 0.05, 0.0])
    (condition,) = invalid_points(as_error(points_from_sizes([1e5, 1e6, 1e7], errors)))
    assert (condition.reason, condition.message[:9]) == ("NotPositive", "1 - score")


def test_repeated_runs_can_be_reduced_to_the_best_by_declaration() -> None:
    rng = np.random.default_rng(0)
    twice = Points(
        N=np.tile(GOOD.N, 3),
        L=np.tile(GOOD.L, 3) * np.exp(0.004 * rng.standard_normal(105)),
        row=np.arange(105),
        D=None if GOOD.D is None else np.tile(GOOD.D, 3),
        C=None if GOOD.C is None else np.tile(GOOD.C, 3),
    )
    assert seed_noise(twice) == pytest.approx(0.004, rel=0.2)
    best, left_out = keep_best(twice)
    assert (len(best), len(left_out)) == (35, 70)
    report = fit_points(twice, FitOptions(duplicates="best", bootstrap=0))
    assert report.fitted is not None
    assert report.fitted.problem.delta == pytest.approx(1.345 * 0.004, rel=0.2)
    assert report.dropped == left_out


def test_seed_noise_is_unknown_without_repeats() -> None:
    assert seed_noise(GOOD) is None


def test_one_edge_among_interior_minima_is_named_and_left_out() -> None:
    wide = simulated(LAW, IsoFlopDesign(5, 13, 1e18, 1e22))
    lopsided = select(wide, (np.arange(65) >= 13) | (np.arange(65) % 13 < 6))
    report = fit_points(lopsided, AUTO)
    (edge,) = [condition for condition in report.conditions if condition.type is EDGE]
    assert "at 1e+18 FLOPs the largest size is best: add one near" in edge.message
    assert report.isoflop is not None
    assert report.isoflop.power is not None
    assert report.conditions[0].is_true


def test_parametric_method_alone_reports_edges_but_fits() -> None:
    report = fit_points(_on_edge(), FitOptions(method="parametric", bootstrap=0))
    assert report.fitted is not None
    assert EDGE in [condition.type for condition in report.conditions]


def test_flops_counted_otherwise_than_6nd_are_kept() -> None:
    assert GOOD.D is not None
    assert GOOD.C is not None
    counted = points_from_tokens(GOOD.N, GOOD.D, GOOD.L, flops=1.5 * GOOD.C)
    report = fit_points(counted, FitOptions(targets=(Target(flops=1.5e21),), bootstrap=0))
    plain = fit_points(GOOD, FitOptions(targets=(Target(flops=1e21),), bootstrap=0))
    assert report.path.flops_factor == pytest.approx(9.0)
    assert report.recommendation[0].parameters == pytest.approx(plain.recommendation[0].parameters)


def test_labels_that_are_no_budgets_still_group_runs() -> None:
    labelled = grouped(
        points_from_flops(GOOD.N, GOOD.C if GOOD.C is not None else [], GOOD.L),
        np.repeat(np.arange(1.0, 6.0), 7),
    )
    report = fit_points(labelled, FitOptions(bootstrap=0))
    assert report.isoflop is not None
    assert report.isoflop.optima[-1].budget_flops == pytest.approx(1e20, rel=1e-9)
