"""Memory that runs out: a passing configuration within three attempts, and no second time for many.

Played as a simulation: a machine of a true limit, and an operator that knows the formulas alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_operator.api.estimate import Estimate
from scaling_operator.api.experiment import FixedResources
from scaling_operator.api.names import Reason
from scaling_operator.api.policy import PolicySpec, UnknownNeeds
from scaling_operator.api.quantities import GIBIBYTE
from scaling_operator.api.status import Attempt, TrialStatus
from scaling_operator.sizing.allocation import Allocation, fixed_allocation, to_status
from scaling_operator.sizing.escalation import EndedAttempt, allocate, more_host_memory
from scaling_operator.sizing.machines import Constraints, NoMachine
from scaling_operator.sizing.memory import device_parts, micro_batch_of
from scaling_operator.sizing.need import Need, own_need
from scaling_operator.sizing.observations import Observations, add_shortages, estimates_of

A40 = {"name": "a40", "resource": "nvidia.com/gpu", "memory": "40Gi", "pricePerHour": 1}
H100 = {"name": "h100", "resource": "nvidia.com/gpu", "memory": "80Gi", "pricePerHour": 4}
CPU = {"name": "cpu", "hostMemory": "64Gi"}


def policy(*shapes: dict[str, Any], **rest: Any) -> PolicySpec:
    return PolicySpec.model_validate({"shapes": shapes, **rest})


BOTH = policy(A40, H100)


def gpt(batch: int = 16, **rest: Any) -> Need:
    model: dict[str, Any] = {
        "parameters": 3.548e8,
        "precision": "bf16-fp32-gradients",
        "batchSize": batch,
        "layers": 24,
        "width": 1024,
        "heads": 16,
        "context": 1024,
        "vocabulary": 50257,
        "hostMemory": "8Gi",
        "honours": ["microBatch", "recompute"],
        **rest,
    }
    need = own_need(Estimate.model_validate(model), {}, None, UnknownNeeds())
    assert isinstance(need, Need)
    return need


def constraints(spec: PolicySpec, observations: Observations | None = None) -> Constraints:
    estimates = estimates_of(observations or Observations(), 0, spec)
    return Constraints(spec, estimates, 86400.0)


def allocated(outcome: Allocation | NoMachine) -> Allocation:
    assert isinstance(outcome, Allocation), outcome
    return outcome


def play(
    need: Need,
    spec: PolicySpec,
    fits: Callable[[Allocation], bool],
    observations: Observations | None = None,
) -> list[Allocation]:
    """Run attempts until one fits or nothing is left; the last one is what passed."""
    ended: list[EndedAttempt] = []
    tried: list[Allocation] = []
    while True:
        allocation = allocate(need, constraints(spec, observations), tuple(ended))
        if isinstance(allocation, NoMachine):
            return tried
        tried.append(allocation)
        if fits(allocation):
            return tried
        ended.append(EndedAttempt(Reason.ACCELERATOR_OOM, allocation))


def truth(need: Need, factor: float) -> Callable[[Allocation], bool]:
    """A machine on which a trial uses so many times what the formulas say."""
    memory = {"a40": 40 * GIBIBYTE, "h100": 80 * GIBIBYTE}

    def fits(allocation: Allocation) -> bool:
        used = device_parts(need, allocation.execution).total * factor
        return used <= memory[str(allocation.shape)]

    return fits


def batch_of(need: Need, allocation: Allocation) -> int:
    execution = allocation.execution
    return micro_batch_of(need, execution) * execution.accumulation * execution.devices


@pytest.mark.parametrize("factor", [1.0, 1.2, 1.5, 1.8, 2.2, 2.6])
def test_a_passing_configuration_is_found_within_three_attempts(factor: float) -> None:
    need = gpt(8)
    tried = play(need, BOTH, truth(need, factor))

    assert truth(need, factor)(tried[-1])
    assert len(tried) <= 3
    assert {batch_of(need, allocation) for allocation in tried} == {8}


def test_the_ladder_is_half_the_micro_batch_then_recomputation_then_the_next_shape() -> None:
    need = gpt(8)
    steps = [
        (
            allocation.shape,
            micro_batch_of(need, allocation.execution),
            allocation.execution.accumulation,
            allocation.execution.recompute,
        )
        for allocation in play(need, BOTH, lambda _: False)
    ]

    assert steps == [
        ("a40", 8, 1, "none"),
        ("a40", 4, 2, "none"),
        ("a40", 4, 2, "full"),
        ("h100", 8, 1, "none"),
        ("h100", 4, 2, "none"),
        ("h100", 4, 2, "full"),
        ("h100", 2, 4, "full"),
        ("h100", 1, 8, "full"),
    ]


def test_with_nothing_left_the_reason_is_said() -> None:
    need = gpt(1, honours=[])
    outcome = allocate(need, constraints(policy(A40)), (EndedAttempt(Reason.ACCELERATOR_OOM),))

    assert str(outcome) == "an accelerator's memory ran out, and nothing is left that needs less"


@pytest.mark.parametrize(
    ("escalation", "second"),
    [
        pytest.param({"microBatch": False}, ("a40", 1, "full"), id="no smaller micro-batch"),
        pytest.param({"recompute": False}, ("a40", 2, "none"), id="no recomputation"),
        pytest.param(
            {"microBatch": False, "recompute": False}, ("h100", 1, "none"), id="a larger one alone"
        ),
    ],
)
def test_a_policy_chooses_the_steps(
    escalation: dict[str, Any], second: tuple[str, int, str]
) -> None:
    allocation = play(gpt(8), policy(A40, H100, escalation=escalation), lambda _: False)[1]

    assert (
        allocation.shape,
        allocation.execution.accumulation,
        allocation.execution.recompute,
    ) == second


def as_trial(tried: list[Allocation], reason: Reason = Reason.ACCELERATOR_OOM) -> TrialStatus:
    return TrialStatus(
        attempts=tuple(
            Attempt(number=number, reason=reason, resources=to_status(allocation))
            for number, allocation in enumerate(tried)
        )
    )


@settings(max_examples=100, deadline=None)
@given(
    batch=st.sampled_from([4, 6, 8, 12, 16, 30]),
    factor=st.floats(1.0, 2.4),
    layers=st.integers(6, 30),
    recomputes=st.booleans(),
)
def test_one_shortage_is_enough_for_all_siblings(
    *, batch: int, factor: float, layers: int, recomputes: bool
) -> None:
    honours = ["microBatch", "recompute"] if recomputes else ["microBatch"]
    need = gpt(batch, layers=layers, honours=honours)
    first = play(need, BOTH, truth(need, factor))
    if not first or not truth(need, factor)(first[-1]):
        return
    observations = add_shortages(Observations(), 0, need, as_trial(first[:-1]), BOTH)

    second = play(need, BOTH, truth(need, factor), observations)

    assert len(second) == 1, "no second shortage at the same scale and shape"
    assert batch_of(need, second[0]) == batch


def test_siblings_of_another_scale_are_not_touched() -> None:
    observations = add_shortages(
        Observations(), 1, gpt(), as_trial(play(gpt(), BOTH, lambda _: False)), BOTH
    )

    assert allocate(gpt(), constraints(BOTH, observations)) == allocate(gpt(), constraints(BOTH))


INTERRUPTIONS = [Reason.EVICTED, Reason.PREEMPTED, Reason.NODE_LOST, Reason.POD_DELETED]


@pytest.mark.parametrize("reason", INTERRUPTIONS)
def test_an_interruption_repeats_with_the_same_resources(reason: Reason) -> None:
    first = allocated(allocate(gpt(), constraints(BOTH)))
    more = allocated(
        allocate(gpt(), constraints(BOTH), (EndedAttempt(Reason.ACCELERATOR_OOM, first),))
    )

    assert allocate(gpt(), constraints(BOTH), (EndedAttempt(reason),)) == first
    assert (
        allocate(
            gpt(),
            constraints(BOTH),
            (EndedAttempt(Reason.ACCELERATOR_OOM, first), EndedAttempt(reason, None)),
        )
        == more
    )


HOST = [
    pytest.param(8 * GIBIBYTE, {}, 12 * GIBIBYTE, id="half as much again"),
    pytest.param(1 * GIBIBYTE, {}, 2 * GIBIBYTE, id="at least 1 GiB more"),
    pytest.param(50 * GIBIBYTE, {}, 64 * GIBIBYTE, id="up to what a node of the shape has"),
    pytest.param(
        50 * GIBIBYTE, {"limits": {"trial": {"memory": "60Gi"}}}, 60 * GIBIBYTE, id="the limit"
    ),
    pytest.param(50 * GIBIBYTE, {"escalation": {"memoryCap": "55Gi"}}, 55 * GIBIBYTE, id="the cap"),
    pytest.param(8 * GIBIBYTE, {"escalation": {"memoryFactor": 3}}, 24 * GIBIBYTE, id="the factor"),
]


@pytest.mark.parametrize(("had_bytes", "rest", "expected"), HOST)
def test_host_memory_grows(had_bytes: float, rest: dict[str, Any], expected: float) -> None:
    spec = policy(CPU, **rest)

    allocation = allocated(more_host_memory(constraints(spec), Allocation("cpu", 0, had_bytes)))

    assert allocation.memory_bytes == expected


def test_host_memory_at_its_most_is_the_end() -> None:
    outcome = more_host_memory(constraints(policy(CPU)), Allocation("cpu", 0, 64 * GIBIBYTE))

    assert str(outcome) == "host memory ran out at the most that is allowed, 64Gi"


def test_fixed_memory_is_not_raised() -> None:
    fixed = fixed_allocation(FixedResources.model_validate({"memory": "4Gi"}))

    assert "spec.resources.fixed.memory" in str(more_host_memory(constraints(policy(CPU)), fixed))


def test_siblings_start_with_what_the_host_was_found_to_need_and_shrink_to_what_was_used() -> None:
    need = own(memory="4Gi")
    short = allocated(allocate(need, constraints(policy(CPU))))
    assert short.memory_bytes is not None
    observations = add_shortages(
        Observations(), 0, need, as_trial([short], Reason.OOM_KILLED), policy(CPU)
    )

    sibling = allocated(allocate(need, constraints(policy(CPU), observations)))

    assert short.memory_bytes == 5 * GIBIBYTE
    assert sibling.memory_bytes == 7.5 * GIBIBYTE


def own(memory: str) -> Need:
    estimate = Estimate.model_validate({"hostMemory": memory})
    need = own_need(estimate, {}, None, UnknownNeeds())
    assert isinstance(need, Need)
    return need


@settings(max_examples=200, deadline=None)
@given(
    batch=st.sampled_from([1, 2, 6, 8, 12, 30, 64]),
    reasons=st.lists(
        st.sampled_from([Reason.ACCELERATOR_OOM, Reason.OOM_KILLED, *INTERRUPTIONS]), max_size=8
    ),
    are_recorded=st.booleans(),
)
def test_global_batch_and_precision_never_change(
    *, batch: int, reasons: list[Reason], are_recorded: bool
) -> None:
    need = gpt(batch)
    ended: list[EndedAttempt] = []
    for reason in reasons:
        allocation = allocate(need, constraints(BOTH), tuple(ended))
        if isinstance(allocation, NoMachine):
            return
        assert batch_of(need, allocation) == batch
        # What a trainer is told has no learning rate, no precision and no batch to change.
        assert set(allocation.execution.__slots__) == {
            "micro_batch", "accumulation", "recompute", "devices", "sharding"
        }  # fmt: skip
        ended.append(EndedAttempt(reason, allocation if are_recorded else None))


def test_memory_once_found_to_be_needed_stays_with_a_larger_shape() -> None:
    need = gpt(1, honours=[])
    first = allocated(allocate(need, constraints(BOTH)))
    raised = replace(first, memory_bytes=99 * GIBIBYTE)

    allocation = allocated(
        allocate(need, constraints(BOTH), (EndedAttempt(Reason.ACCELERATOR_OOM, raised),))
    )

    assert (allocation.shape, allocation.memory_bytes) == ("h100", 99 * GIBIBYTE)
