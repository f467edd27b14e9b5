import itertools
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_operator.api.fields import equality_key
from scaling_operator.api.search import Search
from scaling_operator.validation.grid import (
    MOST_POINTS,
    MOST_STEPS,
    Grid,
    TooEntangled,
    grid_size,
)
from scaling_operator.validation.space import make_space

FLAGS = [True, False]
ONE_AND_TRUE = [1, True]


def grid(**parameters: dict[str, Any]) -> Search:
    return Search.model_validate({"parameters": parameters, "algorithm": {"name": "grid"}})


def point_of(search: Search, number: int) -> dict[str, Any]:
    return {**Grid(search).point(number)}


def choice(*choices: Any, **more: Any) -> dict[str, Any]:
    return {"type": "categorical", "choices": list(choices), **more}


def test_numbers_count_like_a_product_with_the_last_parameter_fastest() -> None:
    search = grid(
        a=choice("x", "y"),
        b={"type": "int", "low": 2, "high": 6, "step": 2},
        c={"type": "float", "low": 0.1, "high": 0.3, "step": 0.1},
    )
    expected = [
        {"a": a, "b": b, "c": c}
        for a, b, c in itertools.product(["x", "y"], [2, 4, 6], [0.1, 0.2, 0.3])
    ]
    assert [point_of(search, number) for number in range(grid_size(search))] == expected


def test_an_inactive_parameter_multiplies_nothing() -> None:
    search = grid(
        dropout={"type": "float", "low": 0, "high": 0.5, "step": 0.25, "when": {"act": ["gelu"]}},
        act=choice("relu", "gelu"),
        flag=choice(*FLAGS),
    )
    points = [point_of(search, number) for number in range(grid_size(search))]
    assert len(points) == (1 + 3) * 2
    assert {tuple(point) for point in points} == {("act", "flag"), ("act", "dropout", "flag")}


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        pytest.param(
            {"a.b": {"type": "float", "low": 0, "high": 1}},
            "parameters.a.b: a grid needs a step",
            id="a float without a step",
        ),
        pytest.param(
            {"a": choice(1, when={"b": [1]}), "b": choice(1, when={"a": [1]})},
            "go in a circle",
            id="conditions that go in a circle",
        ),
        pytest.param(
            {"a": choice(1, when={"b": [1]})},
            "parameters.a.when names b, which is not searched",
            id="a condition on nothing",
        ),
    ],
)
def test_what_cannot_be_enumerated_is_named(parameters: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        grid_size(grid(**parameters))


@pytest.mark.parametrize("number", [-1, 2])
def test_there_is_no_point_beyond_the_grid(number: int) -> None:
    with pytest.raises(ValueError, match="the grid has 2 points"):
        point_of(grid(a=choice(1, 2)), number)


def test_a_float_that_has_one_value_needs_no_step() -> None:
    assert point_of(grid(a={"type": "float", "low": 1, "high": 1}), 0) == {"a": 1.0}


def test_one_and_true_are_different_values() -> None:
    search = grid(a=choice(*ONE_AND_TRUE), b=choice("p", "q", when={"a": [True]}))
    points = [point_of(search, number) for number in range(grid_size(search))]
    assert [tuple(point.items()) for point in points] == [
        (("a", 1),),
        (("a", True), ("b", "p")),
        (("a", True), ("b", "q")),
    ]


def test_a_huge_grid_is_counted_and_read_without_listing_it() -> None:
    chain: dict[str, Any] = {"p0": {"type": "int", "low": 0, "high": 10**15}}
    for index in range(1, 60):
        chain[f"p{index}"] = {
            "type": "int",
            "low": 0,
            "high": 10**6,
            "when": {f"p{index - 1}": [3, 10**6, 5]},
        }
    search = grid(**chain)
    start = time.perf_counter()
    size = grid_size(search)
    last = point_of(search, size - 1)
    assert time.perf_counter() - start < 2
    assert size > 10**15
    assert last == {"p0": 10**15}


def entangled(children: int) -> dict[str, Any]:
    """Many switches, and behind all of them as many parameters that hang on two each."""
    controllers = {f"c{at:02}": choice(0, 1) for at in range(children)}
    hanging = {
        f"d{at:02}": choice(0, 1, when={f"c{at:02}": [0], f"c{(at + 7) % children:02}": [1]})
        for at in range(children)
    }
    return {**controllers, **hanging}


def test_conditions_that_are_too_entangled_are_refused_instead_of_counted_for_ever() -> None:
    with pytest.raises(TooEntangled, match="too entangled"):
        grid_size(grid(**entangled(30)))


@pytest.mark.parametrize("parents", [1, 2, 10])
@pytest.mark.parametrize("length", [28, 60, 100])
def test_the_longest_chains_are_counted_in_few_steps(length: int, parents: int) -> None:
    chain = {
        f"p{at:03}": choice(
            "a", "b", when={f"p{above:03}": ["a"] for above in range(max(at - parents, 0), at)}
        )
        for at in range(length)
    }
    counted = Grid(grid(**chain))
    assert counted.size == length + 1 if parents == 1 else counted.size > length
    assert counted.steps <= 4 * length * 2**parents


def test_counting_never_takes_more_than_its_steps() -> None:
    counted = Grid(grid(**entangled(50)))
    with pytest.raises(TooEntangled):
        _ = counted.size
    assert counted.steps <= MOST_STEPS


def test_a_number_of_points_beyond_reckoning_is_given_as_the_largest() -> None:
    wide = {"type": "float", "low": -1e100, "high": 1e100, "step": 1e94}
    assert grid_size(grid(**{f"p{at}": wide for at in range(60)})) == MOST_POINTS


@st.composite
def small_spaces(draw: st.DrawFn) -> Search:
    names = ["a", "b", "c", "d"][: draw(st.integers(1, 4))]
    parameters: dict[str, Any] = {}
    for name in names:
        kind = draw(st.sampled_from(["int", "float", "categorical"]))
        if kind == "categorical":
            choices = draw(
                st.lists(st.sampled_from([0, 1, True, "u", 2.5]), min_size=1, max_size=3)
            )
            distinct = [
                value for at, value in enumerate(choices) if not _among(value, choices[:at])
            ]
            parameters[name] = choice(*distinct)
        else:
            low, steps = draw(st.integers(-2, 2)), draw(st.integers(0, 2))
            step = draw(st.sampled_from([1, 2] if kind == "int" else [0.1, 0.5, 1]))
            parameters[name] = {"type": kind, "low": low, "high": low + steps * step, "step": step}
    for below, above in itertools.combinations(draw(st.permutations(names)), 2):
        if draw(st.booleans()):
            wanted = draw(st.lists(st.sampled_from([0, 1, True, "u", 2.5, 0.1]), min_size=1))
            parameters[below].setdefault("when", {})[above] = wanted[:5]
    return grid(**parameters)


def _among(value: Any, values: list[Any]) -> bool:
    return equality_key(value) in map(equality_key, values)


def _by_brute_force(search: Search) -> set[tuple[tuple[str, str], ...]]:
    """Every combination of all values, reduced to what is active, without repetition."""
    space = make_space(search)
    values = [
        [point_of(grid(x=parameter.model_dump(exclude={"when"})), at)["x"] for at in range(size)]
        for parameter in space.parameters.values()
        for size in [grid_size(grid(x=parameter.model_dump(exclude={"when"})))]
    ]
    assignments: set[tuple[tuple[str, str], ...]] = set()
    for combination in itertools.product(*values):
        whole = dict(zip(space.parameters, combination, strict=True))
        active: dict[str, Any] = {}
        for name in space.active_names(active):
            active[name] = whole[name]
        assignments.add(_text(active))
    return assignments


def _text(point: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, repr(value)) for name, value in point.items()))


@settings(max_examples=200, deadline=None)
@given(small_spaces())
def test_every_active_assignment_comes_exactly_once(search: Search) -> None:
    points = [_text(point_of(search, number)) for number in range(grid_size(search))]
    assert len(set(points)) == len(points)
    assert set(points) == _by_brute_force(search)
