"""How best values drift along a ladder, and what one scale passes to the next."""

from __future__ import annotations

import math

import pytest

from scaling_operator.api.fields import Scalar
from scaling_operator.api.scaling import Transfer
from scaling_operator.api.search import Search
from scaling_operator.api.status import BestTrial, Range
from scaling_operator.core.ladder import Scale
from scaling_operator.core.observed import ScaleView
from scaling_operator.core.tally import Tally
from scaling_operator.core.transfer import (
    Drift,
    axes_of,
    donor,
    drifts,
    fits,
    narrowed_ranges,
    top_points,
    transfer,
)

SEARCH = Search.model_validate(
    {
        "parameters": {
            "rate": {"type": "float", "low": 1e-4, "high": 1.0, "log": True},
            "drop": {"type": "float", "low": 0.0, "high": 0.5},
            "heads": {"type": "int", "low": 1, "high": 64, "log": True},
            "kind": {"type": "categorical", "choices": ["a", "b"]},
        }
    }
)


def best(scale: int, **parameters: Scalar) -> BestTrial:
    return BestTrial(
        trial=f"{scale}-0", scale=scale, number=0, parameters=parameters, values=(1.0,)
    )


def view(scale: Scale, *bests: BestTrial, is_open: bool = True) -> ScaleView:
    return ScaleView(scale, Tally(best=bests), open=is_open)


def ladder(*sizes: float, exponent: float) -> tuple[ScaleView, ...]:
    """Scales whose best rate is 0.5 size^exponent."""
    return tuple(
        view(Scale(index, {"size": size}), best(index, size=size, rate=0.5 * size**exponent))
        for index, size in enumerate(sizes)
    )


def exponent_of(line: Drift) -> float:
    (slope,) = line.slopes
    return slope


def test_one_scale_says_where_the_best_is_and_not_how_it_moves() -> None:
    line = drifts(ladder(4, exponent=-1), SEARCH)["rate"]
    assert exponent_of(line) == 0.0
    assert line.at(Scale(9, {"size": 1000})) == pytest.approx(0.125)


def test_two_scales_move_a_value_less_than_their_own_difference() -> None:
    line = drifts(ladder(1, 4, exponent=-1), SEARCH)["rate"]
    spread = 2 * math.log(2.0) ** 2
    assert exponent_of(line) == pytest.approx(-spread / (spread + 1.0))


def test_ten_scales_say_how_a_value_moves() -> None:
    sizes = tuple(2.0**octave for octave in range(10))
    line = drifts(ladder(*sizes, exponent=-1), SEARCH)["rate"]
    assert exponent_of(line) == pytest.approx(-1.0, abs=0.03)
    assert line.at(Scale(10, {"size": 1024})) == pytest.approx(0.5 / 1024, rel=0.2)


def test_only_numbers_on_a_logarithmic_scale_drift() -> None:
    scales = (view(Scale(0, {"size": 2}), best(0, rate=0.1, drop=0.2, heads=4, kind="a")),)
    assert set(drifts(scales, SEARCH)) == {"rate", "heads"}


def test_a_scale_without_a_best_trial_or_with_other_axes_says_nothing() -> None:
    scales = (
        *ladder(4, exponent=-1),
        view(Scale(1, {"size": 8})),
        view(Scale(2, {"width": 8}), best(2, rate=1.0)),
    )
    line = drifts(scales, SEARCH)["rate"]
    assert line.axes == ("size",)
    assert line.at(Scale(3, {"size": 4})) == pytest.approx(0.125)
    assert line.at(Scale(3, {"width": 4})) is None


def test_no_line_where_scales_set_no_number() -> None:
    assert not drifts((view(Scale(0, {"model": "tiny"}), best(0, rate=0.1)),), SEARCH)
    assert not drifts((), SEARCH)


@pytest.mark.parametrize(
    ("scale", "axes"),
    [
        pytest.param(Scale(0), (), id="nothing is set"),
        pytest.param(Scale(0, {"b": 2, "a": 1.5}), ("a", "b"), id="numbers, by name"),
        pytest.param(Scale(0, {"a": "x", "b": True, "c": 0}), (), id="no text, truth or zero"),
        pytest.param(Scale(0, {"a": 1}, samples=10.0), ("a", ":samples"), id="data"),
        pytest.param(Scale(0, {"a": 1}, budget_flops=1e9), ("a", ":budgetFlops"), id="a budget"),
    ],
)
def test_the_axes_of_a_scale(scale: Scale, axes: tuple[str, ...]) -> None:
    assert axes_of(scale) == axes


@pytest.mark.parametrize(
    ("scales", "donor_index"),
    [
        pytest.param(((0, 1, True), (1, 4, True), (2, 16, False)), 1, id="the nearest open one"),
        pytest.param(((0, 1, True), (1, 4, False), (2, 16, False)), 0, id="no closed one"),
        pytest.param(((0, 4, True), (1, 64, True), (2, 16, False)), 1, id="of two the last"),
        pytest.param(((0, 1, False), (1, 4, False), (2, 16, False)), None, id="none is open"),
    ],
)
def test_who_passes_points_on(
    scales: tuple[tuple[int, int, bool], ...], donor_index: int | None
) -> None:
    views = tuple(
        view(Scale(index, {"size": size}), is_open=is_open) for index, size, is_open in scales
    )
    chosen = donor(views[-1], views)
    assert (None if chosen is None else chosen.scale.index) == donor_index


def test_the_best_points_have_searched_parameters_alone_and_each_point_once() -> None:
    bests = (
        best(0, size=4, rate=0.1),
        best(0, size=8, rate=0.1),
        best(0, size=4),
        best(0, rate=0.2),
        best(0, rate=0.3),
    )
    assert top_points(bests, SEARCH, 2) == ({"rate": 0.1}, {"rate": 0.2})


def test_narrowed_ranges_shrink_about_the_point_within_the_files_range() -> None:
    point = {"rate": 1e-2, "drop": 0.49, "kind": "a"}
    ranges = dict(narrowed_ranges(SEARCH, {}, point, 0.5))
    assert set(ranges) == {"rate", "drop"}, "not what the point lacks, and no categorical"
    assert ranges["rate"].low == pytest.approx(1e-3)
    assert ranges["rate"].high == pytest.approx(1e-1)
    assert (ranges["drop"].low, ranges["drop"].high) == (pytest.approx(0.25), 0.5)


def test_a_range_keeps_a_fifth_of_the_files_and_stays_where_the_point_lacks_it() -> None:
    before = {"drop": Range(low=0.2, high=0.22), "heads": Range(low=2, high=8)}
    ranges = dict(narrowed_ranges(SEARCH, before, {"drop": 0.21}, 0.5))
    assert ranges["drop"].high - ranges["drop"].low == pytest.approx(0.1)
    assert ranges["heads"] == before["heads"]


@pytest.mark.parametrize(
    ("point", "is_inside"),
    [
        pytest.param({"rate": 0.1, "kind": "a"}, True, id="within"),
        pytest.param({"rate": 0.5}, True, id="at the end"),
        pytest.param({"rate": 0.51}, False, id="beyond the end"),
        pytest.param({"kind": "a"}, True, id="a parameter that the point lacks"),
    ],
)
def test_a_point_fits_ranges(point: dict[str, Scalar], *, is_inside: bool) -> None:
    assert fits(point, {"rate": Range(low=0.01, high=0.5)}) is is_inside


def test_the_first_scale_starts_with_nothing() -> None:
    closed = view(Scale(0, {"size": 1}), is_open=False)
    transferred = transfer(closed, (closed,), SEARCH, Transfer(top_k=2))
    assert (dict(transferred.ranges), transferred.points) == ({}, ())


def test_the_next_scale_starts_where_the_line_puts_the_best_point_in_whole_numbers() -> None:
    scales = tuple(
        view(Scale(index, {"size": size}), best(index, size=size, rate=0.5 / size, heads=size))
        for index, size in enumerate((1, 4, 16))
    )
    following = view(Scale(3, {"size": 64}), is_open=False)
    transferred = transfer(following, (*scales, following), SEARCH, Transfer(top_k=1))
    (point,) = transferred.points
    assert 0.5 / 64 < float(point["rate"]) < 0.5 / 16, "drawn towards where it was"
    assert isinstance(point["heads"], int)
    assert 16 < point["heads"] < 64
    assert transferred.ranges["rate"].low < float(point["rate"]) < transferred.ranges["rate"].high
