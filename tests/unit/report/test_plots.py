"""Numbers as a reader sees them, axes, thinning and figures."""

import json
import math
from typing import Any, cast

import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]  # it ships no types
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_operator.api.experiment import Objective
from scaling_operator.api.search import FloatParameter, IntParameter
from scaling_operator.report import formatting, plots, theme
from scaling_operator.report.axes import at_edge, value_axis, with_footer
from scaling_operator.report.data import evenly

LESS = Objective(metric="val_loss", direction="minimize")
MORE = Objective(metric="val_accuracy", direction="maximize")
finite = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e12, max_value=1e12)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param(0.0, "0", id="zero is a plain digit"),
        pytest.param(0.0123456, "0.01235", id="four digits are kept"),
        pytest.param(-0.5, "-0.5", id="a sign stays"),
        pytest.param(64.0, "64", id="a whole number has no point"),
        pytest.param(12345.6, "12,346", id="thousands are set apart"),
        pytest.param(1.2e-7, "1.2e-7", id="a tiny one is a power of ten"),
        pytest.param(5e24, "5e24", id="a huge one is too"),
    ],
)
def test_number_is_written_for_a_reader(value: float, text: str) -> None:
    assert formatting.number(value) == text


@given(finite)
def test_number_keeps_four_digits(value: float) -> None:
    shown = float(formatting.number(value).replace(",", ""))
    assert shown == pytest.approx(value, rel=6e-4, abs=1e-300)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        pytest.param(0.4219, "0.422 s", id="part of a second"),
        pytest.param(59.97, "1 min", id="almost a minute is one"),
        pytest.param(245, "4 min 5 s", id="minutes and seconds"),
        pytest.param(4980, "1 h 23 min", id="hours and minutes"),
        pytest.param(183_600, "2 d 3 h", id="days and hours"),
    ],
)
def test_duration_is_written_in_the_units_that_matter(seconds: float, text: str) -> None:
    assert formatting.duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        pytest.param(12_345, "", "12.3 k", id="thousands"),
        pytest.param(2.5e12, "FLOP", "2.5 TFLOP", id="a unit follows its prefix"),
        pytest.param(96, "", "96", id="small numbers stay"),
    ],
)
def test_quantity_has_a_prefix(value: float, unit: str, text: str) -> None:
    assert formatting.quantity(value, unit) == text


@given(st.text(max_size=60), st.integers(min_value=3, max_value=30))
def test_shortened_text_is_never_longer_than_asked(text: str, length: int) -> None:
    assert len(formatting.shortened(text, length)) <= length
    assert len(text) > length or formatting.shortened(text, length) == text


def test_names_are_short_only_where_they_stay_distinct() -> None:
    names = ("optimizer.learning_rate", "model.width", "head.width")
    assert tuple(formatting.short_names(names).values()) == (
        "learning_rate",
        "model.width",
        "head.width",
    )


@given(st.lists(finite, min_size=1, max_size=40), st.sampled_from([LESS, MORE]), st.booleans())
def test_axis_always_shows_the_best_and_counts_what_it_leaves_out(
    values: list[float],
    objective: Objective,
    log: bool,  # noqa: FBT001  # Hypothesis passes it by name
) -> None:
    chosen = value_axis(objective, values, log=log)
    assert chosen.axis.range is not None
    low, high = chosen.axis.range
    best = min(values) if objective is LESS else max(values)
    assert low <= best <= high
    assert sum(not low <= value <= high for value in values) <= chosen.beyond
    assert chosen.beyond <= len(values) // 4 + 1
    assert not chosen.axis.log or low > 0


@pytest.mark.parametrize(
    ("objective", "values", "log", "beyond"),
    [
        pytest.param(LESS, (0.5, 0.6, 0.7, 0.8), False, 0, id="near values are linear"),
        pytest.param(LESS, (0.001, 0.01, 0.1, 1.0), True, 0, id="decades are logarithmic"),
        pytest.param(LESS, (0.5, 0.6, 0.6, 0.7, 1e9), True, 1, id="one that blew up is left out"),
        pytest.param(
            LESS, (0.5, 0.6, 0.7, 0.8, 1e308, -1e308), False, 2, id="nor is what no axis can hold"
        ),
        pytest.param(LESS, (-1.0, 1.0, 20.0), False, 0, id="below zero there is no logarithm"),
        pytest.param(MORE, (0.01, 0.5, 0.9), False, 0, id="a score stays linear"),
    ],
)
def test_axis_of_an_objective_fits_its_values(
    objective: Objective,
    values: tuple[float, ...],
    log: bool,  # noqa: FBT001  # a column of the table
    beyond: int,
) -> None:
    chosen = value_axis(objective, values)
    assert (chosen.axis.log, chosen.beyond) == (log, beyond)


def test_kept_values_are_never_beyond_the_axis() -> None:
    chosen = value_axis(LESS, (1.0, 1.1, 1.2, 1.3), keep=(50.0,))
    assert chosen.axis.range is not None
    assert chosen.axis.range[1] > 50


def test_marks_without_a_value_lie_below_all_values() -> None:
    chosen = value_axis(LESS, (0.01, 0.1, 1.0, 10.0))
    wider, marks = with_footer(chosen.axis)
    assert wider.range is not None
    assert chosen.axis.range is not None
    assert 0 < wider.range[0] < marks < chosen.axis.range[0]


@pytest.mark.parametrize(
    ("value", "edge"),
    [
        pytest.param(1e-4, True, id="the lower end"),
        pytest.param(0.97, True, id="near the upper end"),
        pytest.param(0.01, False, id="the middle of a logarithmic range"),
    ],
)
def test_edge_is_measured_as_the_range_is_searched(
    value: float,
    edge: bool,  # noqa: FBT001  # a column of the table
) -> None:
    assert at_edge(FloatParameter(type="float", low=1e-4, high=1, log=True), value) is edge


def test_range_of_one_value_has_no_edge() -> None:
    assert not at_edge(IntParameter(type="int", low=3, high=3), 3)


@given(st.lists(st.integers(), max_size=200), st.integers(min_value=1, max_value=50))
def test_even_sample_keeps_order_and_limit(items: list[int], limit: int) -> None:
    places = list(enumerate(items))
    sample = evenly(places, limit)
    assert len(sample) == min(len(items), limit)
    assert list(sample) == sorted(sample)
    assert len(set(sample)) == len(sample)


@settings(deadline=None)  # the first example imports plotly
@given(
    st.lists(st.tuples(st.one_of(st.none(), finite), st.one_of(st.none(), finite)), max_size=20),
    st.text(max_size=30),
)
def test_any_series_is_a_figure_that_plotly_accepts(
    points: list[tuple[float | None, float | None]], text: str
) -> None:
    style = plots.Style(theme.BLUE, width=1)
    line = plots.Series(
        text, [x for x, _ in points], [y for _, y in points], style, [text] * len(points)
    )
    figure = plots.xy([line], plots.Axis(text), plots.Axis(text), [plots.Divider(0, text)])
    cast("Any", go.Figure)(figure)
    assert "<" not in json.dumps(figure, allow_nan=False).replace("<br>", "").replace(
        "<extra></extra>", ""
    )


@pytest.mark.parametrize("count", [1, 2, 3, 7, 100])
def test_ladder_colours_are_distinct_and_in_range(count: int) -> None:
    colours = [theme.ladder_colour(position, count) for position in range(count)]
    assert len(set(colours)) == count
    parts = [int(part) for colour in colours for part in colour[4:-1].split(",")]
    assert all(0 <= part <= 255 for part in parts)


def test_log_axis_range_is_given_to_plotly_in_decades() -> None:
    axis = plots.Axis("x", log=True, range=(0.01, 100.0))
    figure = plots.xy([], axis, plots.Axis("y"))
    assert figure["layout"]["xaxis"]["range"] == [math.log10(0.01), 2.0]
