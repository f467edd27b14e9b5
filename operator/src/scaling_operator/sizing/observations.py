"""What ended trials have taught: peaks, step times, and where memory ran out.

The size is constant however many trials end: of each scale the few measurements with the largest
peaks are kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, cast

from pydantic import BeforeValidator, PlainSerializer

from scaling_operator.api.names import Reason, TrialKey, TrialState
from scaling_operator.api.policy import PolicySpec
from scaling_operator.api.status import TrialStatus
from scaling_operator.api.trial import ScalingTrial
from scaling_operator.sizing.allocation import Allocation, from_status, shape_named
from scaling_operator.sizing.escalation import EndedAttempt, allocate, next_host_bytes
from scaling_operator.sizing.estimates import (
    STARTUP_SECONDS,
    UNCALIBRATED,
    Calibration,
    Estimates,
    MachineSetup,
    first_estimates,
    work_factor,
)
from scaling_operator.sizing.machines import (
    Constraints,
    NoMachine,
    capacity_bytes,
    host_cap_bytes,
    memory_bytes,
)
from scaling_operator.sizing.memory import (
    CONTEXT_BYTES,
    DeviceParts,
    HostParts,
    device_parts,
    host_parts,
)
from scaling_operator.sizing.need import Need

KEPT_PER_SCALE = 8


def _from_pairs(value: object) -> object:
    pairs = cast("list[tuple[Iterable[object], object]]", value)
    return {tuple(key): item for key, item in pairs} if isinstance(value, list) else value


def _to_pairs(factors: Mapping[tuple[int, str], float]) -> list[tuple[tuple[int, str], float]]:
    return list(factors.items())


ByScaleAndShape = Annotated[
    Mapping[tuple[int, str], float],
    BeforeValidator(_from_pairs),
    PlainSerializer(_to_pairs),  # a JSON object has no pairs as keys
]
# A shortage shows that at least so many times the memory that there was is needed.
_BEYOND = 1.05
_JUST_BELOW = 1 - 1e-9


@dataclass(frozen=True, slots=True)
class Measurement:
    """A trial that ended well: what the formulas say of its memory and what was measured, in bytes.

    `step_flops` are the FLOPs of a step on one accelerator. `startup_seconds` is how long the
    machine was held beside the training. None stands for what was not reported.
    """

    scale: int
    number: int
    setup: MachineSetup
    device: DeviceParts
    host: HostParts
    device_bytes: float | None
    host_bytes: float | None
    step_seconds: float | None = None
    step_flops: float | None = None
    startup_seconds: float | None = None
    hours: float | None = None

    @property
    def shape(self) -> str:
        """The name of the shape."""
        return self.setup[0]


@dataclass(frozen=True, slots=True)
class Observations:
    """What an experiment's trials have taught, and the calibration that follows.

    `oom_factors` holds, by scale and shape, the factor on the bare formulas at which memory is
    known to run out. `failed_host_bytes` holds, by scale, the host memory that was not enough.
    """

    measurements: tuple[Measurement, ...] = ()
    oom_factors: ByScaleAndShape = field(default_factory=dict[tuple[int, str], float])
    failed_host_bytes: Mapping[int, float] = field(default_factory=dict[int, float])
    calibration: Calibration = UNCALIBRATED


NONE_OBSERVED = Observations()


# --- Adding what a trial shows -------------------------------------------------------------------


def add_trial(
    before: Observations, trial: ScalingTrial, need: Need, policy: PolicySpec
) -> Observations:
    """Add what a trial shows: where memory ran out; of a success, peaks and times.

    The calibration stays as it was.
    """
    status, trial_key = trial.status, trial.spec.key
    observations = add_shortages(before, trial.spec.scale, need, status, policy)
    resources = status.attempts[-1].resources if status.attempts else None
    if status.state is not TrialState.SUCCEEDED or resources is None:
        return observations
    return add_measurement(observations, trial_key, need, from_status(resources, policy), status)


def add_shortages(
    before: Observations, scale: int, need: Need, status: TrialStatus, policy: PolicySpec
) -> Observations:
    """Add where attempts of a trial ran out of memory. Adding the same twice changes nothing."""
    factors, failed = dict(before.oom_factors), dict(before.failed_host_bytes)
    ended: list[EndedAttempt] = []
    for attempt in status.attempts:
        if attempt.reason is None or attempt.resources is None:
            continue
        allocation = from_status(attempt.resources, policy)
        ended.append(EndedAttempt(attempt.reason, allocation))
        shape = shape_named(policy, allocation.shape)
        if attempt.reason is Reason.ACCELERATOR_OOM and shape is not None:
            factor = _oom_factor(need, allocation, tuple(ended), policy)
            factors[scale, shape.name] = max(factors.get((scale, shape.name), 0.0), factor)
        if attempt.reason is Reason.OOM_KILLED and allocation.memory_bytes is not None:
            failed[scale] = max(failed.get(scale, 0.0), allocation.memory_bytes)
    return replace(before, oom_factors=factors, failed_host_bytes=failed)


def _oom_factor(
    need: Need, failed: Allocation, ended: tuple[EndedAttempt, ...], policy: PolicySpec
) -> float:
    """Give the factor with which siblings need no more than this trial's next attempt gets.

    Where the next attempt leaves the shape, nothing fits there any more.
    """
    shape = shape_named(policy, failed.shape)
    constraints = Constraints(policy, first_estimates(policy.first_margin_percent), math.inf)
    following = allocate(need, constraints, ended)
    if shape is None or not failed.device_bytes:
        return 0.0
    if isinstance(following, NoMachine):
        return memory_bytes(shape) / failed.device_bytes * _BEYOND
    if following.shape != failed.shape:
        return math.inf
    return capacity_bytes(shape, policy) / following.device_bytes * _JUST_BELOW


def add_measurement(
    before: Observations,
    trial_key: TrialKey,
    need: Need,
    allocation: Allocation,
    status: TrialStatus,
) -> Observations:
    """Add the peaks and times of a trial that succeeded on a machine."""
    if allocation.shape is None:
        return before
    execution, on_device = allocation.execution, allocation.count > 0
    # Where nothing tells the number of steps, the whole trial counts as one step.
    flops_per_step = need.flops / (need.steps or 1) if need.flops else None
    factor = work_factor(execution.recompute) / max(1, allocation.count)
    peak = status.peak_device_bytes
    startup_seconds, hours = _times_held(status)
    scale, number = trial_key
    measurement = Measurement(
        scale=scale,
        number=number,
        setup=(allocation.shape, allocation.count, execution.recompute),
        device=device_parts(need, execution) if on_device else DeviceParts(),
        host=host_parts(need, execution, on_device=on_device),
        # The peak that the trainer reports leaves out the context.
        device_bytes=peak + CONTEXT_BYTES if on_device and peak else None,
        host_bytes=status.peak_host_bytes,
        step_seconds=status.step_seconds if need.steps else status.seconds,
        step_flops=None if flops_per_step is None else flops_per_step * factor,
        startup_seconds=startup_seconds,
        hours=hours,
    )
    return replace(before, measurements=tuple(_kept((*before.measurements, measurement))))


def _times_held(status: TrialStatus) -> tuple[float | None, float | None]:
    """Give how long a machine was held beside the training, in seconds; and in all, in hours.

    A trial that was interrupted trained in pieces: its hours are those of an uninterrupted trial,
    estimated from the seconds of training.
    """
    only = status.attempts[0] if len(status.attempts) == 1 else None
    if only is None or only.start_time is None or only.completion_time is None:
        hours = None if status.seconds is None else (status.seconds + STARTUP_SECONDS) / 3600
        return None, hours
    seconds = max(0.0, (only.completion_time - only.start_time).total_seconds())
    startup_seconds = None if status.seconds is None else max(0.0, seconds - status.seconds)
    return startup_seconds, seconds / 3600


def _kept(measurements: tuple[Measurement, ...]) -> Iterator[Measurement]:
    for scale in sorted({measurement.scale for measurement in measurements}):
        own = [measurement for measurement in measurements if measurement.scale == scale]
        yield from sorted(own, key=_rank)[:KEPT_PER_SCALE]


def _rank(measurement: Measurement) -> tuple[float, float, int]:
    """Order by the largest peaks; then by number, as peaks are often equal and ends unordered."""
    return -(measurement.device_bytes or 0.0), -(measurement.host_bytes or 0.0), measurement.number


# --- What follows for the next trials ------------------------------------------------------------


def peak_bytes_at(observations: Observations, scale: int) -> tuple[float | None, float | None]:
    """Give the largest peaks of a scale's trials: on an accelerator, on the host."""
    own = [entry for entry in observations.measurements if entry.scale == scale]
    device = [entry.device_bytes for entry in own if entry.device_bytes is not None]
    host = [entry.host_bytes for entry in own if entry.host_bytes is not None]
    return max(device, default=None), max(host, default=None)


def estimates_of(observations: Observations, scale: int, policy: PolicySpec) -> Estimates:
    """Say what the next trials of a scale are expected to need."""
    calibration = observations.calibration
    host_margin = _margin(calibration.host_residual, policy)
    return Estimates(
        margin=_margin(calibration.residual, policy),
        host_margin=host_margin,
        calibration=calibration,
        oom_factors={
            shape: factor
            for (scale_of_factor, shape), factor in observations.oom_factors.items()
            if scale_of_factor == scale
        },
        host_floor_bytes=_host_floor(observations, scale, policy, host_margin),
        hours=_mean_hours(observations, scale),
    )


def _margin(residual: float | None, policy: PolicySpec) -> float:
    """Give the first margin where nothing was measured, else the residual, within 2 to 10 %."""
    if residual is None:
        return policy.first_margin_percent / 100
    return min(max(residual, 0.02), policy.margin_percent / 100)


def _host_floor(observations: Observations, scale: int, policy: PolicySpec, margin: float) -> float:
    """Give the least host memory after an OOM: one step more, or what a trial has used since."""
    failed = observations.failed_host_bytes.get(scale)
    if failed is None:
        return 0.0
    floor = next_host_bytes(failed, policy.escalation)
    _, peak = peak_bytes_at(observations, scale)
    if peak is not None:
        floor = min(floor, max(peak * (1 + margin), failed * _BEYOND))
    return min(floor, host_cap_bytes(None, policy))


def _mean_hours(observations: Observations, scale: int) -> dict[MachineSetup, float]:
    by_setup: dict[MachineSetup, list[float]] = {}
    for measurement in observations.measurements:
        if measurement.scale == scale and measurement.hours is not None:
            by_setup.setdefault(measurement.setup, []).append(measurement.hours)
    return {setup: math.fsum(hours) / len(hours) for setup, hours in by_setup.items()}
