"""Best values at an end of what was tried, and sizes that continue a ladder."""

from typing import Any

import pytest

from scaling_operator.api.experiment import Objective
from scaling_operator.api.scaling import Scaling
from scaling_operator.api.search import Search
from scaling_operator.api.status import BestTrial, Range
from scaling_operator.core.edges import SizeEdge, parameters_at_edge, size_edges, sized_loss
from scaling_operator.core.ladder import Scale
from scaling_operator.core.observed import ScaleView
from scaling_operator.core.progress import beyond
from scaling_operator.core.tally import Tally

SEARCH = Search.model_validate(
    {
        "parameters": {
            "rate": {"type": "float", "low": 1e-4, "high": 1.0, "log": True},
            "dropout": {"type": "float", "low": 0, "high": 0.5},
            "layers": {"type": "int", "low": 1, "high": 4},
            "act": {"type": "categorical", "choices": ["relu", "gelu"]},
        }
    }
)


def best(value: float = 1.0, size: float | None = None, **parameters: Any) -> BestTrial:
    return BestTrial(
        trial="0-0",
        scale=0,
        number=0,
        parameters=parameters,
        values=(value,),
        model_parameters=size,
    )


@pytest.mark.parametrize(
    ("parameters", "ranges", "edges"),
    [
        pytest.param({"rate": 1.1e-4}, {}, ("rate",), id="near the low end of a log range"),
        pytest.param({"rate": 0.95}, {}, ("rate",), id="near the high end"),
        pytest.param({"rate": 1e-3}, {}, (), id="a quarter of the decades is well inside"),
        pytest.param({"dropout": 0.0}, {}, (), id="a range that begins at 0 ends there by nature"),
        pytest.param({"dropout": 0.5}, {}, ("dropout",), id="but not at its high end"),
        pytest.param({"layers": 4, "rate": 1.0}, {}, ("rate", "layers"), id="several at once"),
        pytest.param({"act": "relu"}, {}, (), id="a choice has no edge"),
        pytest.param(
            {"rate": 0.02},
            {"rate": Range(low=0.0199, high=0.2)},
            ("rate",),
            id="the edge of a range that transfer has narrowed",
        ),
        pytest.param(
            {"rate": 0.02}, {"rate": Range(low=0.02, high=0.02)}, (), id="a range of one value"
        ),
    ],
)
def test_a_best_value_within_2_percent_of_its_range_lies_at_the_edge(
    parameters: dict[str, Any], ranges: dict[str, Range], edges: tuple[str, ...]
) -> None:
    assert parameters_at_edge(best(**parameters), SEARCH, ranges) == edges


def views(*losses: float, samples: float | None = None) -> tuple[ScaleView, ...]:
    return tuple(
        ScaleView(
            Scale(index, {"size": 2**index}, samples),
            Tally(best=(best(loss, float(2**index)),)),
        )
        for index, loss in enumerate(losses)
    )


def edges_of(scales: tuple[ScaleView, ...], objective: Objective) -> tuple[SizeEdge, ...]:
    sizes = (sized_loss(view, objective) for view in scales)
    return size_edges(size for size in sizes if size is not None)


LESS, MORE = (Objective(metric="m", direction=way) for way in ("minimize", "maximize"))


@pytest.mark.parametrize(
    ("values", "objective", "sides"),
    [
        pytest.param((3.0, 2.0, 1.0), LESS, ["largest"], id="the largest is best"),
        pytest.param((1.0, 2.0, 3.0), LESS, ["smallest"], id="the smallest is best"),
        pytest.param((3.0, 1.0, 2.0), LESS, [], id="the best lies inside"),
        pytest.param((1.0, 3.0, 2.0), MORE, [], id="more is better"),
        pytest.param((0.1, 0.2), MORE, [], id="two sizes have no inside"),
    ],
)
def test_a_ladder_knows_at_which_end_its_best_lies(
    values: tuple[float, ...], objective: Objective, sides: list[str]
) -> None:
    assert [edge.side for edge in edges_of(views(*values), objective)] == sides


def test_each_amount_of_data_has_an_edge_of_its_own() -> None:
    both = (*views(3.0, 1.0, 2.0, samples=10.0), *views(3.0, 2.0, 1.0, samples=20.0))
    assert [(edge.samples, edge.side) for edge in edges_of(both, LESS)] == [(20.0, "largest")]


@pytest.mark.parametrize(
    ("sizes", "side", "added"),
    [
        pytest.param((2, 4, 8), "largest", (16, 16), id="the ratio goes on"),
        pytest.param((16, 32, 64), "smallest", (8,), id="downwards: 0 is no size"),
        pytest.param((6, 12, 20), "largest", (33, 34), id="else a multiple of what they share"),
        pytest.param((1, 2, 3), "smallest", (), id="nothing lies below 1"),
        pytest.param((0.5, 1.0), "largest", (2.0,), id="a number with a fraction"),
        pytest.param((5,), "largest", (), id="one size has no ratio"),
    ],
)
def test_a_ladder_goes_on_by_the_ratio_of_its_last_two_sizes(
    sizes: tuple[float, ...], side: str, added: tuple[float, ...]
) -> None:
    assert beyond(sizes, side, Scaling(parameter="size", sizes=sizes)) == added
