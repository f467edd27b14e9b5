"""What ended trials have taught: peaks, step times, and where memory ran out.

Constant size however many trials: a few measurements of each scale are kept, those that used most.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, cast

from pydantic import BeforeValidator, PlainSerializer

from scaling_operator.api.names import Reason
from scaling_operator.api.policy import PolicySpec
from scaling_operator.api.status import TrialStatus
from scaling_operator.sizing.admission import Slot
from scaling_operator.sizing.allocation import Allocation, from_status, shape_named
from scaling_operator.sizing.escalation import EndedAttempt, allocate
from scaling_operator.sizing.estimates import (
    STARTUP_SECONDS,
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
from scaling_operator.sizing.memory import DeviceParts, HostParts, device_parts, host_parts
from scaling_operator.sizing.memory_formulas import CONTEXT_BYTES
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
# An estimate that has run out is taken as at least so much beyond the memory that there was.
_BEYOND = 1.05


@dataclass(frozen=True, slots=True)
class Measurement:
    """One trial that ended well: what the formulas say of it and what was measured, in bytes.

    `step_flops` are those of a step on one accelerator; `startup_seconds` is how long the machine
    was held beside the training. What was not reported is None.
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


@dataclass(frozen=True, slots=True)
class Observations:
    """What is known of an experiment's trials.

    `raised` holds, by scale and shape, the factor on the bare formulas at which memory is known to
    run out; `failed_host_bytes`, by scale, the host memory that was not enough.
    """

    measurements: tuple[Measurement, ...] = ()
    oom_factors: ByScaleAndShape = field(default_factory=dict[tuple[int, str], float])
    failed_host_bytes: Mapping[int, float] = field(default_factory=dict[int, float])


def add_shortages(
    known: Observations, scale: int, need: Need, status: TrialStatus, policy: PolicySpec
) -> Observations:
    """Add where attempts of a trial ran out of memory. Adding the same twice changes nothing."""
    raised, failed = dict(known.oom_factors), dict(known.failed_host_bytes)
    ended: list[EndedAttempt] = []
    for attempt in status.attempts:
        if attempt.reason is None or attempt.resources is None:
            continue
        shape = shape_named(policy, attempt.resources.shape)
        had = from_status(attempt.resources, None if shape is None else shape.resource)
        ended.append(EndedAttempt(attempt.reason, had))
        if attempt.reason is Reason.ACCELERATOR_OOM and shape is not None:
            factor = _raise(need, had, tuple(ended), policy)
            raised[scale, shape.name] = max(raised.get((scale, shape.name), 0.0), factor)
        if attempt.reason is Reason.OOM_KILLED and had.memory_bytes is not None:
            failed[scale] = max(failed.get(scale, 0.0), had.memory_bytes)
    return replace(known, oom_factors=raised, failed_host_bytes=failed)


def _raise(
    need: Need, had: Allocation, ended: tuple[EndedAttempt, ...], policy: PolicySpec
) -> float:
    """Give the factor with which siblings need no more than this trial's next attempt.

    Where the next attempt leaves the shape, nothing fits there any more.
    """
    shape = shape_named(policy, had.shape)
    constraints = Constraints(policy, first_estimates(policy.first_margin_percent), math.inf)
    following = allocate(need, constraints, ended)
    if shape is None or not had.device_bytes:
        return 0.0
    if isinstance(following, NoMachine):
        return memory_bytes(shape) / had.device_bytes * _BEYOND
    if following.shape != had.shape:
        return math.inf
    return capacity_bytes(shape, policy) / following.device_bytes * (1 - 1e-9)


def add_measurement(
    known: Observations, slot: Slot, need: Need, had: Allocation, status: TrialStatus
) -> Observations:
    """Add the peaks and times of a trial that succeeded on a machine."""
    if had.shape is None:
        return known
    on_device = had.count > 0
    # Where nothing tells the steps, the whole trial counts as one.
    per_step = need.flops / (need.steps or 1) if need.flops else None
    factor = work_factor(had.execution.recompute) / max(1, had.count)
    peak = status.peak_device_bytes
    startup, hours = _held(status)
    entry = Measurement(
        scale=slot[0],
        number=slot[1],
        setup=(had.shape, had.count, had.execution.recompute),
        device=device_parts(need, had.execution) if on_device else DeviceParts(),
        host=host_parts(need, had.execution, on_device=on_device),
        # What the trainer reports leaves out the context.
        device_bytes=peak + CONTEXT_BYTES if on_device and peak else None,
        host_bytes=status.peak_host_bytes,
        step_seconds=status.step_seconds if need.steps else status.seconds,
        step_flops=None if per_step is None else per_step * factor,
        startup_seconds=startup,
        hours=hours,
    )
    return replace(known, measurements=tuple(_kept((*known.measurements, entry))))


def _held(status: TrialStatus) -> tuple[float | None, float | None]:
    """Give for how long the machine was held beside the training, in seconds; and in all, in hours.

    A trial that was interrupted trained in pieces: what it would have taken at once is reckoned.
    """
    first = status.attempts[0] if len(status.attempts) == 1 else None
    if first is None or first.start_time is None or first.completion_time is None:
        hours = None if status.seconds is None else (status.seconds + STARTUP_SECONDS) / 3600
        return None, hours
    held = max(0.0, (first.completion_time - first.start_time).total_seconds())
    startup = None if status.seconds is None else max(0.0, held - status.seconds)
    return startup, held / 3600


def _kept(measurements: tuple[Measurement, ...]) -> Iterator[Measurement]:
    scales = sorted({each.scale for each in measurements})
    for scale in scales:
        own = [each for each in measurements if each.scale == scale]
        yield from sorted(own, key=_rank)[:KEPT_PER_SCALE]


def _rank(measurement: Measurement) -> tuple[float, float, int]:
    """Order by what was used, most first; peaks are often equal, and trials end in any order."""
    return -(measurement.device_bytes or 0.0), -(measurement.host_bytes or 0.0), measurement.number


def peak_bytes_at(known: Observations, scale: int) -> tuple[float | None, float | None]:
    """Give the most that a trial of a scale has used: on an accelerator, on the host."""
    own = [each for each in known.measurements if each.scale == scale]
    device = [each.device_bytes for each in own if each.device_bytes is not None]
    host = [each.host_bytes for each in own if each.host_bytes is not None]
    return max(device, default=None), max(host, default=None)


def estimates_of(
    known: Observations, calibration: Calibration, scale: int, policy: PolicySpec
) -> Estimates:
    """Say what to reckon with for the next trials of a scale."""
    host_margin = _margin(calibration.host_residual, policy)
    return Estimates(
        margin=_margin(calibration.residual, policy),
        host_margin=host_margin,
        corrections=calibration.corrections,
        pooled=calibration.pooled,
        host=calibration.host,
        oom_factors={
            shape: factor for (at, shape), factor in known.oom_factors.items() if at == scale
        },
        host_floor_bytes=_floor(known, scale, policy, host_margin),
        step_times=calibration.step_times,
        startup_seconds=calibration.startup_seconds,
        hours=_hours(known, scale),
    )


def _margin(residual: float | None, policy: PolicySpec) -> float:
    """Give the first margin where nothing was measured, else the residual, within 2 to 10 %."""
    if residual is None:
        return policy.first_margin_percent / 100
    return min(max(residual, 0.02), policy.margin_percent / 100)


def _floor(known: Observations, scale: int, policy: PolicySpec, margin: float) -> float:
    """Give the least host memory after an OOM: more, or what a trial has really used since."""
    failed = known.failed_host_bytes.get(scale)
    if failed is None:
        return 0.0
    more = max(failed * policy.escalation.memory_factor, failed + 2**30)
    _, used = peak_bytes_at(known, scale)
    if used is not None:
        more = min(more, max(used * (1 + margin), failed * _BEYOND))
    return min(more, host_cap_bytes(None, policy))


def _hours(known: Observations, scale: int) -> dict[MachineSetup, float]:
    found: dict[MachineSetup, list[float]] = {}
    for each in known.measurements:
        if each.scale == scale and each.hours is not None:
            found.setdefault(each.setup, []).append(each.hours)
    return {place: math.fsum(hours) / len(hours) for place, hours in found.items()}


@dataclass(frozen=True, slots=True)
class Lessons:
    """What earlier trials have taught."""

    knowledge: Observations = field(default_factory=Observations)
    calibration: Calibration = field(default_factory=Calibration)
