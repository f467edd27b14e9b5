"""Who may ask for a machine: order, limits, no storms of pods, fair shares."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling_operator.api.names import Reason
from scaling_operator.api.policy import PolicyLimits, PolicySpec
from scaling_operator.api.quantities import GIBIBYTE
from scaling_operator.sizing.admission import (
    NOTHING,
    AdmissionRequest,
    Capacity,
    Demand,
    PeerUsage,
    admit,
    ordered,
)
from scaling_operator.sizing.machines import NodeView, not_offered


def limits(**by_owner: dict[str, Any]) -> PolicyLimits:
    return PolicyLimits.model_validate(by_owner)


def requests(*demands: Demand, order: int = 0) -> list[AdmissionRequest]:
    return [
        AdmissionRequest((order, number), demand, order) for number, demand in enumerate(demands)
    ]


ONE = Demand(gpus=1, cores=2, memory_bytes=8 * GIBIBYTE, shape="h100")


def test_the_largest_memory_of_a_scale_goes_first_and_the_cheapest_scale_before_all() -> None:
    small, large = Demand(device_bytes=1), Demand(device_bytes=2)
    trials = [*requests(large, order=1), *requests(small, large, small, order=0)]

    assert [request.key for request in ordered(trials)] == [(0, 1), (0, 0), (0, 2), (1, 0)]


CAPACITIES: list[Any] = [
    pytest.param(Capacity(limits()), 3, "", id="no limit"),
    pytest.param(
        Capacity(limits(experiment={"gpus": 2})), 2, "limits.experiment.gpus allows 2, 2 are held",
        id="accelerators of the experiment",
    ),
    pytest.param(
        Capacity(limits(experiment={"gpus": 2}), held=ONE),
        1,
        "allows 2, 2 are held",
        id="one is held",
    ),
    pytest.param(
        Capacity(limits(experiment={"memory": "20Gi"})), 2, "memory allows 20Gi, 16Gi are held",
        id="host memory",
    ),
    pytest.param(
        Capacity(limits(experiment={"cpu": "5"})), 2, "cpu allows 5, 4 are held", id="cores"
    ),
    pytest.param(
        Capacity(limits(namespace={"gpus": 4}), peers=(PeerUsage(ONE + ONE, is_waiting=False),)),
        2,
        "limits.namespace.gpus allows 4, 4 are held",
        id="what a neighbour leaves",
    ),
    pytest.param(
        Capacity(limits(namespace={"gpus": 4}), peers=(PeerUsage(NOTHING, is_waiting=True),)),
        1,
        "another experiment waits and holds less",
        id="a neighbour that waits and holds nothing",
    ),
    pytest.param(
        Capacity(limits(), waiting=(("h100", "0/3 nodes"),)), 0,
        "waits behind another trial on h100: 0/3 nodes", id="no node has room for this shape",
    ),
    pytest.param(
        Capacity(limits(), waiting=(("a100", "0/3 nodes"),)), 3, "", id="nor for another one"
    ),
]  # fmt: skip


@pytest.mark.parametrize(("capacity", "admitted", "words"), CAPACITIES)
def test_there_is_room_for_so_many(capacity: Capacity, admitted: int, words: str) -> None:
    admission = admit(requests(ONE, ONE, ONE), capacity)

    assert len(admission.admitted) == admitted
    assert all(words in rejected.message for rejected in admission.rejected)


def test_a_trial_that_does_not_fit_lets_a_smaller_one_by() -> None:
    large = Demand(gpus=4, device_bytes=9)
    admission = admit(requests(large, ONE), Capacity(limits(experiment={"gpus": 2})))

    assert admission.admitted == ((0, 1),)
    assert [rejected.reason for rejected in admission.rejected] == [Reason.QUOTA_EXCEEDED]


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 8)), max_size=12),
    st.integers(0, 12),
    st.integers(0, 12),
)
def test_no_more_is_held_than_a_limit_allows(
    wanted: list[tuple[int, int]], limit: int, held: int
) -> None:
    trials = [
        AdmissionRequest((order, number), Demand(gpus=gpus), order)
        for number, (order, gpus) in enumerate(wanted)
    ]
    capacity = Capacity(limits(experiment={"gpus": limit}), held=Demand(gpus=held))

    admission = admit(trials, capacity)

    taken = sum(trial.demand.gpus for trial in trials if trial.key in admission.admitted)
    assert taken == 0 or held + taken <= limit
    assert len(admission.admitted) + len(admission.rejected) == len(trials)


@given(st.integers(1, 16), st.integers(1, 4), st.integers(1, 4))
def test_two_experiments_share_a_namespace_fairly(limit: int, first: int, second: int) -> None:
    """Each takes one trial after the other, as often as it is admitted; neither lacks for long."""
    sizes, held = (first, second), [0, 0]
    has_changed = True
    while has_changed:
        has_changed = False
        for own in (0, 1):
            peer = 1 - own
            demand = Demand(gpus=sizes[own])
            is_waiting = held[peer] + sizes[peer] + held[own] <= limit
            capacity = Capacity(
                limits(namespace={"gpus": limit}),
                held=Demand(gpus=held[own]),
                peers=(PeerUsage(Demand(gpus=held[peer]), is_waiting=is_waiting),),
            )
            if admit(requests(demand), capacity).admitted:
                held[own] += sizes[own]
                has_changed = True

    assert sum(held) <= limit
    assert limit - sum(held) < max(first, second), "nothing is left idle that the next could take"
    if limit >= first + second:
        assert abs(held[0] - held[1]) <= max(first, second) + min(first, second)


NODES = (
    NodeView({"gpu": "h100"}, {"cpu": "8", "nvidia.com/gpu": "8"}),
    NodeView({"gpu": "none"}, {"cpu": "8", "amd.com/gpu": "0"}),
)
SHAPES: list[Any] = [
    pytest.param({"name": "cpu"}, True, id="any node is a machine"),
    pytest.param({"name": "gpu", "resource": "nvidia.com/gpu"}, True, id="a node has it"),
    pytest.param({"name": "gpu", "resource": "amd.com/gpu"}, False, id="a node has none left"),
    pytest.param({"name": "gpu", "resource": "gpu.intel.com/i915"}, False, id="no node has it"),
    pytest.param(
        {"name": "gpu", "resource": "nvidia.com/gpu", "nodeSelector": {"gpu": "none"}},
        False,
        id="a node has the label, another one the resource",
    ),
]


@pytest.mark.parametrize(("shape", "is_offered"), SHAPES)
def test_a_shape_that_no_node_offers_is_named(shape: dict[str, Any], *, is_offered: bool) -> None:
    memory = {"memory": "40Gi"} if "resource" in shape else {}
    spec = PolicySpec.model_validate({"shapes": [{**shape, **memory}]})

    assert not_offered(spec, NODES) == (() if is_offered else (shape["name"],))
