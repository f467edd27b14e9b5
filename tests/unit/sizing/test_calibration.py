"""Cheap scales calibrate dear ones: measured peaks correct the formulas and shrink the margin."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_operator.api.estimate import Estimate
from scaling_operator.api.names import Reason
from scaling_operator.api.policy import PolicySpec, UnknownNeeds
from scaling_operator.api.quantities import GIBIBYTE
from scaling_operator.api.status import Attempt, TrialStatus
from scaling_operator.sizing.allocation import Allocation, allocation_of, to_status
from scaling_operator.sizing.calibration import calibrate, calibrated
from scaling_operator.sizing.estimates import Calibration, Correction
from scaling_operator.sizing.machines import Choice, Constraints, choose
from scaling_operator.sizing.memory import CONTEXT_BYTES, device_parts, host_parts
from scaling_operator.sizing.need import Need, own_need
from scaling_operator.sizing.observations import (
    KEPT_PER_SCALE,
    Measurement,
    Observations,
    add_measurement,
    add_shortages,
    estimates_of,
    peak_bytes_at,
)

POLICY = PolicySpec.model_validate(
    {
        "shapes": [
            {
                "name": "h100",
                "resource": "nvidia.com/gpu",
                "memory": "80Gi",
                "flops": 989e12,
                "pricePerHour": 4,
            }
        ]
    }
)
LADDER = ((12, 768, 12, 12), (24, 1024, 16, 8), (36, 1280, 20, 4), (48, 1600, 25, 2))
# A run whose parts are not what the formulas say.
TRUTH = Correction(fixed=1.6, states=1.02, activations=1.3, outputs=0.7)


def gpt(layers: int, width: int, heads: int, batch: int) -> Need:
    estimate = Estimate.model_validate(
        {
            "parameters": 12.0 * layers * width**2 + 13.0 * layers * width + 51283.0 * width,
            "precision": "bf16-fp32-gradients",
            "batchSize": batch,
            "layers": layers,
            "width": width,
            "heads": heads,
            "context": 1024,
            "vocabulary": 50257,
            "samples": 1e9,
            "hostMemory": "8Gi",
            "honours": ["microBatch"],
        }
    )
    need = own_need(estimate, {}, None, UnknownNeeds())
    assert isinstance(need, Need)
    return need


def machine(need: Need) -> Allocation:
    choice = choose(need, Constraints(POLICY, estimates_of(Observations(), 0, POLICY), 1e9))
    assert isinstance(choice, Choice)
    return allocation_of(choice, 1.0)


def ended(need: Need, allocation: Allocation, noise: float = 1.0, **rest: Any) -> TrialStatus:
    peak = TRUTH.corrected(device_parts(need, allocation.execution)) * noise - CONTEXT_BYTES
    return TrialStatus(peak_device_bytes=peak, peak_host_bytes=6 * GIBIBYTE, **rest)


def observed(scales: int, per_scale: int = 3, noise: float = 0.0) -> Observations:
    observations = Observations()
    for scale in range(scales):
        for number in range(per_scale):
            layers, width, heads, batch = LADDER[scale]
            need = gpt(layers, width, heads, max(1, batch // (number + 1)))
            allocation = machine(need)
            observations = add_measurement(
                observations,
                (scale, number),
                need,
                allocation,
                ended(need, allocation, 1 + noise * (-1) ** number),
            )
    return observations


def predicted(calibration: Calibration, scale: int) -> tuple[float, float]:
    need = gpt(*LADDER[scale])
    parts = device_parts(need, machine(need).execution)
    return calibration.correction("h100").corrected(parts), TRUTH.corrected(parts)


@pytest.mark.parametrize("scale", [2, 3])
def test_two_scales_predict_the_next_ones_within_10_percent(scale: int) -> None:
    calibrated_bytes, true_bytes = predicted(calibrate(observed(2).measurements, POLICY), scale)
    formula_bytes, _ = predicted(Calibration(), scale)

    assert calibrated_bytes == pytest.approx(true_bytes, rel=0.10)
    assert abs(calibrated_bytes - true_bytes) < abs(formula_bytes - true_bytes)


def test_noise_of_a_few_percent_does_not_carry_far() -> None:
    calibrated_bytes, true_bytes = predicted(
        calibrate(observed(2, noise=0.03).measurements, POLICY), 3
    )

    assert calibrated_bytes == pytest.approx(true_bytes, rel=0.10)


def test_without_measurements_the_formulas_stand() -> None:
    calibration = calibrate((), POLICY)

    assert calibration == Calibration()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0.3, 3), min_size=1, max_size=6))
def test_no_coefficient_is_ever_negative(noises: list[float]) -> None:
    observations = Observations()
    for number, noise in enumerate(noises):
        need = gpt(*LADDER[number % 4])
        allocation = machine(need)
        observations = add_measurement(
            observations, (number % 4, number), need, allocation, ended(need, allocation, noise)
        )

    correction = calibrate(observations.measurements, POLICY).pooled

    assert min(correction.fixed, correction.states, correction.activations, correction.outputs) >= 0


def test_the_margin_is_25_percent_first_and_at_most_10_later() -> None:
    first = estimates_of(Observations(), 0, POLICY)
    observations = observed(1)
    later = estimates_of(calibrated(observations, POLICY), 1, POLICY)
    noisy = observed(2, noise=0.2)
    worst = estimates_of(calibrated(noisy, POLICY), 2, POLICY)

    assert first.margin == 0.25
    assert 0.02 <= later.margin < 0.1
    assert worst.margin == 0.1


def test_over_asking_is_taken_back() -> None:
    need = gpt(*LADDER[0])
    allocation = machine(need)
    observations = Observations()
    for _ in range(3):
        status = TrialStatus(peak_device_bytes=5 * GIBIBYTE, peak_host_bytes=3 * GIBIBYTE)
        observations = add_measurement(
            observations, (0, len(observations.measurements)), need, allocation, status
        )
    estimates = estimates_of(calibrated(observations, POLICY), 0, POLICY)

    choice = choose(need, Constraints(POLICY, estimates, 1e9))

    assert isinstance(choice, Choice)
    assert allocation.memory_bytes == 10 * GIBIBYTE
    assert 3 * GIBIBYTE < choice.request_bytes < 3 * GIBIBYTE * 1.11
    assert 5.5 * GIBIBYTE < choice.device_bytes * (1 + choice.margin) < 5.5 * GIBIBYTE * 1.12


def test_host_memory_after_a_shortage_shrinks_to_what_was_used_but_not_below_what_failed() -> None:
    need = gpt(*LADDER[0])
    allocation = machine(need)
    short = replace(allocation, memory_bytes=4 * GIBIBYTE)
    attempt = Attempt(number=0, reason=Reason.OOM_KILLED, resources=to_status(short))
    observations = add_shortages(Observations(), 0, need, TrialStatus(attempts=(attempt,)), POLICY)

    assert estimates_of(observations, 0, POLICY).host_floor_bytes == 6 * GIBIBYTE
    for used, expected in ((4.5, 4.5 * 1.02), (3.0, 4 * 1.05)):
        status = TrialStatus(peak_host_bytes=used * GIBIBYTE)
        after = add_measurement(
            observations, (0, len(observations.measurements)), need, allocation, status
        )
        exact = replace(after, calibration=Calibration(host_residual=0.0))
        floor = estimates_of(exact, 0, POLICY).host_floor_bytes
        assert floor == pytest.approx(expected * GIBIBYTE)


def test_step_times_give_the_next_scale_its_hours() -> None:
    """An overhead of 20 ms and 30 % of the peak, where the policy says 40 %."""
    observations = Observations()
    for scale in (0, 1):
        need = gpt(*LADDER[scale])
        allocation = machine(need)
        assert need.flops is not None
        assert need.steps is not None
        step = 0.02 + need.flops / need.steps / (989e12 * 0.3)
        observations = add_measurement(
            observations,
            (scale, 0),
            need,
            allocation,
            ended(need, allocation, step_seconds=step, seconds=step * need.steps),
        )
    need = gpt(*LADDER[2])
    estimates = estimates_of(calibrated(observations, POLICY), 2, POLICY)

    choice = choose(need, Constraints(POLICY, estimates, 1e9))

    assert isinstance(choice, Choice)
    assert choice.hours is not None
    assert need.flops is not None
    assert need.steps is not None
    true_hours = (need.steps * 0.02 + need.flops / (989e12 * 0.3)) / 3600
    assert choice.hours == pytest.approx(true_hours, rel=0.2)


@pytest.mark.parametrize(
    "slower",
    [
        pytest.param(100.0, id="a policy whose peak no trainer comes near"),
        pytest.param(0.01, id="a policy whose peak is far too low"),
    ],
)
def test_one_scale_is_enough_to_put_the_policys_peak_right(slower: float) -> None:
    need = gpt(*LADDER[0])
    step = step_seconds(need) * slower
    allocation = machine(need)
    observations = add_measurement(
        Observations(), (0, 0), need, allocation, ended(need, allocation, step_seconds=step)
    )

    calibration = calibrate(observations.measurements, POLICY)
    following = gpt(*LADDER[1])

    assert predicted_step(calibration, need) == pytest.approx(step, rel=0.01)
    assert predicted_step(calibration, following) == pytest.approx(
        step_seconds(following) * slower, rel=0.01
    )


def step_seconds(need: Need) -> float:
    """Reckon a step as the policy has it: 40 % of the peak, and 2 ms."""
    assert need.flops is not None
    assert need.steps is not None
    return 2e-3 + need.flops / need.steps / (989e12 * 0.4)


def predicted_step(calibration: Calibration, need: Need) -> float:
    assert need.flops is not None
    assert need.steps is not None
    time = calibration.step_times["h100"]
    return time.overhead_seconds + time.seconds_per_flop * need.flops / need.steps


def test_a_trainer_whose_steps_are_not_known_is_timed_as_a_whole() -> None:
    """An own script: its estimate names FLOPs and no batch, so nothing tells how many steps."""
    first, second = (replace(gpt(*LADDER[0]), flops=flops, steps=None) for flops in (1e15, 4e15))
    status = TrialStatus(seconds=100.0, step_seconds=0.1, attempts=held(130.0))
    observations = add_measurement(Observations(), (0, 0), first, machine(first), status)

    estimates = estimates_of(calibrated(observations, POLICY), 1, POLICY)
    choice = choose(second, Constraints(POLICY, estimates, 1e9))

    assert isinstance(choice, Choice)
    assert choice.hours is not None
    assert choice.hours * 3600 == pytest.approx(30 + 400, rel=0.01)


def test_a_shape_without_a_peak_has_hours_once_a_scale_was_measured() -> None:
    bare = POLICY.model_copy(
        update={"shapes": (POLICY.shapes[0].model_copy(update={"flops": None}),)}
    )
    observations = Observations()
    for scale in (0, 1):
        need = gpt(*LADDER[scale])
        allocation = machine(need)
        observations = add_measurement(
            observations,
            (scale, 0),
            need,
            allocation,
            ended(need, allocation, step_seconds=step_seconds(need)),
        )
    need = gpt(*LADDER[2])

    first = choose(need, Constraints(bare, estimates_of(Observations(), 2, bare), 1e9))
    estimates = estimates_of(calibrated(observations, bare), 2, bare)
    later = choose(need, Constraints(bare, estimates, 1e9))

    assert isinstance(first, Choice)
    assert isinstance(later, Choice)
    assert first.hours is None
    assert later.hours is not None
    assert need.steps is not None
    assert later.hours * 3600 == pytest.approx(step_seconds(need) * need.steps, rel=0.1)


def held(seconds: float, *, times: int = 1) -> tuple[Attempt, ...]:
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    return tuple(
        Attempt(number=number, start_time=begin, completion_time=begin + timedelta(seconds=seconds))
        for number in range(times)
    )


def test_what_a_machine_is_held_beside_the_training_is_learnt_too() -> None:
    """A trial of 100 s holds its machine for 130: the image, the imports, the data."""
    need = gpt(*LADDER[0])
    allocation = machine(need)
    status = TrialStatus(seconds=100.0, step_seconds=step_seconds(need), attempts=held(130.0))
    observations = add_measurement(Observations(), (0, 0), need, allocation, status)

    estimates = estimates_of(calibrated(observations, POLICY), 0, POLICY)
    without_hours = replace(estimates_of(calibrated(observations, POLICY), 1, POLICY), hours={})
    choice = choose(need, Constraints(POLICY, without_hours, 1e9))

    assert list(estimates.hours.values()) == [130.0 / 3600]
    assert estimates.calibration.startup_seconds == {"h100": 30.0}
    assert isinstance(choice, Choice)
    assert choice.hours is not None
    assert need.steps is not None
    assert choice.hours * 3600 == pytest.approx(30 + need.steps * step_seconds(need), rel=0.01)


def test_a_trainer_that_says_no_time_is_known_by_how_long_it_held_its_machine() -> None:
    observations = add_measurement(
        Observations(),
        (0, 0),
        gpt(*LADDER[0]),
        machine(gpt(*LADDER[0])),
        TrialStatus(attempts=held(7200)),
    )

    assert list(estimates_of(observations, 0, POLICY).hours.values()) == [2.0]


def test_a_trial_that_was_interrupted_does_not_tell_how_long_a_machine_is_held() -> None:
    need = gpt(*LADDER[0])
    status = TrialStatus(seconds=7190.0, attempts=held(5000.0, times=2))
    observations = add_measurement(Observations(), (0, 0), need, machine(need), status)

    estimates = estimates_of(calibrated(observations, POLICY), 0, POLICY)

    assert list(estimates.hours.values()) == [2.0]
    assert estimates.calibration.startup_seconds == {}


def test_hours_of_a_scale_that_was_measured_are_those_measured() -> None:
    need = gpt(*LADDER[0])
    allocation = machine(need)
    observations = add_measurement(
        Observations(), (0, 0), need, allocation, TrialStatus(seconds=7190.0)
    )

    choice = choose(need, Constraints(POLICY, estimates_of(observations, 0, POLICY), 1e9))

    assert isinstance(choice, Choice)
    assert choice.hours == 2.0
    assert choice.cost == 8.0


def test_what_is_known_does_not_grow_with_the_trials() -> None:
    need = gpt(*LADDER[0])
    allocation = machine(need)
    observations = Observations()
    for gibibytes in range(50):
        observations = add_measurement(
            observations,
            (0, len(observations.measurements)),
            need,
            allocation,
            TrialStatus(peak_device_bytes=gibibytes * GIBIBYTE),
        )

    assert len(observations.measurements) == KEPT_PER_SCALE
    assert peak_bytes_at(observations, 0)[0] == 49 * GIBIBYTE + CONTEXT_BYTES
    assert peak_bytes_at(observations, 1) == (None, None)


def test_a_trial_with_fixed_resources_teaches_nothing() -> None:
    observations = add_measurement(
        Observations(), (0, 0), gpt(*LADDER[0]), Allocation(None, 1, GIBIBYTE), TrialStatus()
    )

    assert observations == Observations()


def test_a_trial_on_a_cpu_corrects_the_host_alone() -> None:
    need = gpt(*LADDER[0])
    allocation = Allocation("cpu", 0, 8 * GIBIBYTE)
    observations = add_measurement(
        Observations(), (0, 0), need, allocation, TrialStatus(peak_host_bytes=6 * GIBIBYTE)
    )

    (entry,) = observations.measurements

    assert isinstance(entry, Measurement)
    assert entry.device_bytes is None
    assert entry.host == host_parts(need, allocation.execution, on_device=False)
