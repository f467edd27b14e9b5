"""The machine that is chosen: the cheapest that fits, never less for a larger model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_operator.api.estimate import Estimate
from scaling_operator.api.policy import PolicySpec, UnknownNeeds
from scaling_operator.api.quantities import GIBIBYTE
from scaling_operator.sizing.estimates import Estimates, first_estimates, required_bytes
from scaling_operator.sizing.machines import Choice, Constraints, NoMachine, choose, divisors_below
from scaling_operator.sizing.need import Need, own_need

H100 = {
    "name": "h100",
    "resource": "nvidia.com/gpu",
    "memory": "80Gi",
    "flops": 989e12,
    "pricePerHour": 4,
    "maxPerPod": 8,
}
SLICE = {
    "name": "slice",
    "resource": "nvidia.com/mig-1g.18gb",
    "memory": "18Gi",
    "flops": 120e12,
    "pricePerHour": 0.6,
}
CPU = {"name": "cpu", "hostMemory": "64Gi", "flops": 6.4e10, "pricePerHour": 0.04}
DAY = 86400.0
EVERYTHING = ("microBatch", "recompute", "sharding")


def policy(*shapes: dict[str, Any], **rest: Any) -> PolicySpec:
    return PolicySpec.model_validate({"shapes": shapes, **rest})


def gpt(layers: int, width: int, heads: int, batch: int, **rest: Any) -> Need:
    model = {
        "parameters": 12.0 * layers * width**2 + 13.0 * layers * width + (50257 + 1026) * width,
        "precision": "bf16-fp32-gradients",
        "batchSize": batch,
        "layers": layers,
        "width": width,
        "heads": heads,
        "context": 1024,
        "vocabulary": 50257,
        "hostMemory": "8Gi",
        "samples": 1e9,
        "honours": EVERYTHING,
        **rest,
    }
    need = own_need(Estimate.model_validate(model), {}, None, UnknownNeeds())
    assert isinstance(need, Need)
    return need


def constraints(spec: PolicySpec, deadline_seconds: float = DAY, **rest: Any) -> Constraints:
    return Constraints(spec, first_estimates(spec.first_margin_percent), deadline_seconds, **rest)


def chosen(need: Need, spec: PolicySpec, **rest: Any) -> Choice:
    choice = choose(need, constraints(spec, **rest))
    assert isinstance(choice, Choice), choice
    return choice


def refused(need: Need, spec: PolicySpec, **rest: Any) -> str:
    refusal = choose(need, constraints(spec, **rest))
    assert isinstance(refusal, NoMachine), refusal
    return str(refusal)


def test_124_million_parameters_at_batch_12_get_one_slice_or_one_gpu() -> None:
    small = gpt(12, 768, 12, 12)

    assert chosen(small, policy(SLICE, H100)).count == 1
    assert chosen(small, policy(SLICE)).shape.name == "slice"
    on_slice = chosen(small, policy(SLICE))
    assert on_slice.execution.accumulation == 1
    assert 11.42 * GIBIBYTE < on_slice.device_bytes < 12.5 * GIBIBYTE


def test_7_billion_parameters_need_at_least_2_shards_of_80_gigabytes() -> None:
    large = gpt(32, 4096, 32, 64, samples=1e8, largestUnit=2.1e8)

    choice = chosen(large, policy(H100))

    assert choice.count >= 2
    assert choice.execution.sharding == "zero3"
    assert choice.execution.devices == choice.count


def test_175_billion_parameters_are_refused_with_the_closest_offer() -> None:
    huge = gpt(96, 12288, 96, 64, largestUnit=1.8e9)

    reason = refused(huge, policy(SLICE, H100))

    assert "h100 x 8: needs" in reason
    assert "at micro-batch 1 with recomputation and sharding, 72.0 GiB can be had" in reason
    assert "slice x 1: needs" in reason


ROWS: list[Any] = [
    pytest.param({}, {}, "h100", 1, id="a gpu pays where a slice takes longer for its price"),
    pytest.param(
        {"samples": 1e6}, {}, "slice", 1, id="a slice is cheapest where starting is all it does"
    ),
    pytest.param({"batchSize": 48}, {}, "h100", 1, id="a larger batch that the slice lacks"),
    pytest.param({"honours": []}, {}, "h100", 1, id="a trainer that honours nothing"),
]


@pytest.mark.parametrize(("changes", "rest", "shape", "count"), ROWS)
def test_the_cheapest_that_fits_is_chosen(
    changes: dict[str, Any], rest: dict[str, Any], shape: str, count: int
) -> None:
    choice = chosen(gpt(12, 768, 12, 12, **changes), policy(SLICE, H100), **rest)

    assert (choice.shape.name, choice.count) == (shape, count)


def test_a_small_model_that_a_cpu_trains_for_less_gets_no_accelerator() -> None:
    small = gpt(2, 64, 2, 8, vocabulary=256, parameters=1e5, samples=1e6)

    choice = chosen(small, policy(H100, CPU))

    assert (choice.shape.name, choice.count) == ("cpu", 0)
    assert choice.device_bytes == 0
    assert choice.host.model > 0


def test_a_deadline_asks_for_more_accelerators() -> None:
    need = gpt(24, 1024, 16, 64, samples=1e10)
    alone = chosen(need, policy(H100))
    assert alone.hours is not None

    choice = chosen(need, policy(H100), deadline_seconds=alone.hours * 3600 / 3)

    assert alone.count == 1
    assert choice.count == 4
    assert choice.meets_deadline


def test_what_no_machine_ends_in_time_gets_the_fastest_and_says_so() -> None:
    choice = chosen(gpt(24, 1024, 16, 64, samples=1e10), policy(H100), deadline_seconds=3600)

    assert choice.count == 8
    assert not choice.meets_deadline


def test_what_takes_ten_times_too_long_is_refused() -> None:
    reason = refused(gpt(24, 1024, 16, 64, samples=1e10), policy(H100), deadline_seconds=60)

    assert "h100: takes about 2 h a trial, trials.timeout allows 0.0 h" in reason


def test_accelerators_that_would_mostly_wait_are_not_added() -> None:
    slow = {**H100, "bandwidth": 1e9}
    need = gpt(24, 1024, 16, 64, samples=1e10)

    fast = chosen(need, policy({**H100, "bandwidth": 4e11}), deadline_seconds=3600 * 5)
    choice = chosen(need, policy(slow), deadline_seconds=3600 * 5)

    assert fast.count == 4
    assert choice.count == 1
    assert not choice.meets_deadline


REFUSALS: list[Any] = [
    pytest.param({"limits": {"trial": {"gpus": 0}}}, "allows no accelerator", id="no gpus"),
    pytest.param(
        {"limits": {"trial": {"memory": "4Gi"}}},
        "needs 10.0 GiB of host memory, 4.0 GiB can be had",
        id="too little host memory",
    ),
    pytest.param({"limits": {"trial": {"cpu": "500m"}}}, "needs 1 CPU", id="less than a core"),
    pytest.param({"headroomPercent": 99}, "184 MiB can be had", id="no room"),
]


@pytest.mark.parametrize(("rest", "words"), REFUSALS)
def test_a_limit_that_binds_is_named(rest: dict[str, Any], words: str) -> None:
    assert words in refused(gpt(12, 768, 12, 12), policy(SLICE, **rest))


def test_a_shared_shape_serves_plain_search_where_the_policy_allows_it() -> None:
    shared = {**SLICE, "shared": True}
    need = gpt(12, 768, 12, 12)

    assert "is shared" in refused(need, policy(shared))
    assert chosen(need, policy(shared, sharing="hpoOnly")).shape.name == "slice"
    assert "is shared" in refused(need, policy(shared, sharing="hpoOnly"), is_ladder=True)


def test_an_estimate_of_device_memory_asks_for_an_accelerator() -> None:
    estimate = Estimate.model_validate({"deviceMemory": "10Gi", "hostMemory": "1Gi"})
    need = own_need(estimate, {}, None, UnknownNeeds())
    assert isinstance(need, Need)

    assert chosen(need, policy(CPU, SLICE)).shape.name == "slice"
    assert "cpu: has no accelerator" in refused(need, policy(CPU))


def test_a_trainer_that_nothing_is_known_of_gets_what_the_policy_says() -> None:
    spec = policy(CPU, H100, unknown={"cpu": "2", "memory": "3Gi"})
    need = own_need(Estimate(), {}, None, spec.unknown)
    assert isinstance(need, Need)

    choice = chosen(need, spec, deadline_seconds=60)

    assert choice.shape.name == "cpu"
    assert need.cores == 2
    assert choice.host_bytes == 3 * GIBIBYTE


LADDER = policy(
    CPU,
    SLICE,
    {**H100, "maxPerPod": 8},
    {**H100, "name": "b200", "memory": "180Gi", "flops": 2.2e15, "pricePerHour": 9},
)
sizes = st.integers(1, 40), st.integers(1, 64), st.sampled_from([1, 2, 3, 4, 6, 8, 12, 30, 64, 96])


def sized(layers: int, heads: int, batch: int, samples: float = 1e8) -> Need:
    return gpt(layers, 64 * heads, heads, batch, samples=samples)


@settings(max_examples=200, deadline=None)
@given(*sizes, st.integers(0, 8), st.integers(0, 16))
def test_a_larger_model_never_gets_less(
    layers: int, heads: int, batch: int, more_layers: int, more_heads: int
) -> None:
    small = choose(sized(layers, heads, batch), constraints(LADDER))
    large = choose(sized(layers + more_layers, heads + more_heads, batch), constraints(LADDER))

    if isinstance(small, NoMachine):
        assert isinstance(large, NoMachine)
    elif isinstance(large, Choice):
        assert memory_of(large) >= memory_of(small)
        assert large.shape.price_per_hour >= small.shape.price_per_hour


def memory_of(choice: Choice) -> float:
    return {"cpu": 0, "slice": 18, "h100": 80, "b200": 180}[choice.shape.name] * choice.count


@settings(max_examples=200, deadline=None)
@given(*sizes)
def test_the_global_batch_is_kept_whatever_is_chosen(layers: int, heads: int, batch: int) -> None:
    choice = choose(sized(layers, heads, batch), constraints(LADDER))

    if isinstance(choice, Choice):
        execution = choice.execution
        rows = execution.micro_batch or batch // (execution.accumulation * execution.devices)
        assert rows * execution.accumulation * execution.devices == batch


@settings(max_examples=200, deadline=None)
@given(*sizes, st.floats(0.5, 3))
def test_what_is_chosen_fits_with_headroom_and_margin(
    layers: int, heads: int, batch: int, oom_factor: float
) -> None:
    estimates = replace(first_estimates(25), oom_factors={"h100": oom_factor})
    choice = choose(sized(layers, heads, batch), Constraints(LADDER, estimates, DAY))

    if isinstance(choice, Choice) and choice.on_device:
        memory = {"slice": 18, "h100": 80, "b200": 180}[choice.shape.name] * GIBIBYTE
        assert choice.device_bytes * 1.25 <= memory * 0.9
        if choice.shape.name == "h100":
            assert choice.device.total * oom_factor <= memory * 0.9


@given(st.integers(1, 5000))
def test_divisors_are_all_and_descend(number: int) -> None:
    assert list(divisors_below(number)) == [
        divisor for divisor in range(number - 1, 0, -1) if number % divisor == 0
    ]


def test_a_margin_is_added_to_the_estimate() -> None:
    need = gpt(12, 768, 12, 12)
    choice = chosen(need, policy(H100))

    required = required_bytes(need, choice.shape, choice.execution, Estimates(0.1, 0.1))

    assert required == pytest.approx(choice.device.total * 1.1)
