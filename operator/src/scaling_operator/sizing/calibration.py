"""Measured peaks and step times correct the formulas: non-negative least squares.

measured = c·fixed + s·states + a·(activations + buffers) + o·outputs. Each coefficient is at least
0; all are fitted to relative errors, for each shape and over all shapes. A weak pull towards 1
keeps the formulas where the measurements cannot tell the parts apart, as those of a single scale
cannot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import median

import numpy as np
from scipy.optimize import nnls

from scaling_operator.api.policy import PolicySpec
from scaling_operator.sizing.allocation import shape_named
from scaling_operator.sizing.estimates import (
    CPU_STEP_SECONDS,
    DEVICE_STEP_SECONDS,
    Calibration,
    Correction,
    HostCorrection,
    StepTime,
)
from scaling_operator.sizing.memory import DeviceParts, HostParts
from scaling_operator.sizing.observations import Measurement, Observations

_PULL = 0.03
_PERCENTILE = 95


def calibrated(observations: Observations, policy: PolicySpec) -> Observations:
    """Give the observations with the calibration that follows from their measurements."""
    return replace(observations, calibration=calibrate(observations.measurements, policy))


def calibrate(measurements: Sequence[Measurement], policy: PolicySpec) -> Calibration:
    """Fit what the measurements allow; without any, the formulas stay as they are."""
    device_peaks = [entry for entry in measurements if entry.device_bytes]
    host_peaks = [entry for entry in measurements if entry.host_bytes]
    shapes = dict.fromkeys(entry.shape for entry in measurements)
    corrections = {
        shape: _device_correction(of_shape)
        for shape in shapes
        if (of_shape := [entry for entry in device_peaks if entry.shape == shape])
    }
    host = _host_correction(host_peaks)
    return Calibration(
        corrections=corrections,
        pooled=_device_correction(device_peaks),
        host=host,
        residual=_residual(
            [entry.device_bytes or 0.0 for entry in device_peaks],
            [corrections[entry.shape].corrected(entry.device) for entry in device_peaks],
        ),
        host_residual=_residual(
            [entry.host_bytes or 0.0 for entry in host_peaks],
            [host.corrected(entry.host) for entry in host_peaks],
        ),
        step_times={
            shape: step_time
            for shape in shapes
            if (step_time := _step_time(shape, measurements, policy)) is not None
        },
        startup_seconds=_startup_seconds(measurements),
    )


def _device_correction(measurements: Sequence[Measurement]) -> Correction:
    rows = [_device_row(entry.device) for entry in measurements]
    peaks = [entry.device_bytes for entry in measurements]
    fixed, states, activations, outputs = _fit(rows, peaks, 4)
    return Correction(fixed, states, activations, outputs)


def _device_row(parts: DeviceParts) -> list[float]:
    return [parts.fixed, parts.states, parts.activations + parts.buffers, parts.outputs]


def _host_correction(measurements: Sequence[Measurement]) -> HostCorrection:
    rows = [_host_row(entry.host) for entry in measurements]
    process, rest = _fit(rows, [entry.host_bytes for entry in measurements], 2)
    return HostCorrection(process, rest)


def _host_row(parts: HostParts) -> list[float]:
    return [parts.process, parts.total - parts.process - parts.shared]


def _fit(
    rows: Sequence[Sequence[float]], measured: Sequence[float | None], unknowns: int
) -> list[float]:
    """Solve for the coefficients, by relative errors, pulled towards 1."""
    if not rows:
        return [1.0] * unknowns
    sizes = np.asarray(measured, dtype=float)
    weighted = np.asarray(rows, dtype=float) / sizes[:, None]
    design = np.vstack([weighted, _PULL * np.eye(unknowns)])
    wanted = np.concatenate([np.ones(len(rows)), _PULL * np.ones(unknowns)])
    solution, _ = nnls(design, wanted)
    return [float(coefficient) for coefficient in solution]


def _residual(measured: Sequence[float], predicted: Sequence[float]) -> float | None:
    """Give the 95th percentile of the shares by which peaks exceed their estimates."""
    shares = [
        max(0.0, peak / estimate - 1)
        for peak, estimate in zip(measured, predicted, strict=True)
        if estimate > 0
    ]
    return float(np.percentile(shares, _PERCENTILE, method="higher")) if shares else None


def _step_time(
    shape_name: str, measurements: Sequence[Measurement], policy: PolicySpec
) -> StepTime | None:
    """Fit seconds = overhead + FLOPs x rate, pulled towards the policy's figures.

    The policy's figures are first made as much slower or faster as trials really were. Where the
    policy has no peak, the fastest step replaces the peak.
    """
    steps = [
        (entry.step_flops, entry.step_seconds)
        for entry in measurements
        if entry.shape == shape_name and entry.step_flops and entry.step_seconds
    ]
    shape = shape_named(policy, shape_name)
    if not steps or shape is None:
        return None
    overhead = CPU_STEP_SECONDS if shape.resource is None else DEVICE_STEP_SECONDS
    fastest = min(seconds / flops for flops, seconds in steps)
    rate = fastest if shape.flops is None else 1 / (shape.flops * shape.utilization)
    slowdown = median(seconds / (overhead + flops * rate) for flops, seconds in steps)
    overhead, rate = overhead * slowdown, rate * slowdown
    rows = [[overhead, flops * rate] for flops, _ in steps]
    overhead_factor, rate_factor = _fit(rows, [seconds for _, seconds in steps], 2)
    return StepTime(overhead_factor * overhead, rate_factor * rate)


def _startup_seconds(measurements: Sequence[Measurement]) -> dict[str, float]:
    """Give, by shape, the median of how long a machine is held beside the training."""
    by_shape: dict[str, list[float]] = {}
    for measurement in measurements:
        if measurement.startup_seconds is not None:
            by_shape.setdefault(measurement.shape, []).append(measurement.startup_seconds)
    return {shape: median(seconds) for shape, seconds in by_shape.items()}
