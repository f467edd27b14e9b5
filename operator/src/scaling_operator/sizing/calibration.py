"""Measured peaks and step times correct the formulas: non-negative least squares.

measured = c·fixed + s·states + a·(activations + buffers) + o·outputs, each coefficient at least 0,
fitted to relative errors, for each shape and over all of them. A weak pull towards 1 keeps the
formulas where the measurements do not tell the parts apart: one scale alone cannot.
"""

from __future__ import annotations

from collections.abc import Sequence
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
from scaling_operator.sizing.observations import Measurement

_PULL = 0.03
_PERCENTILE = 95


def calibrate(measurements: Sequence[Measurement], policy: PolicySpec) -> Calibration:
    """Fit what the measurements allow; without any, the formulas stay as they are."""
    on_device = [each for each in measurements if each.device_bytes]
    on_host = [each for each in measurements if each.host_bytes]
    shapes = dict.fromkeys(each.setup[0] for each in measurements)
    corrections = {
        shape: _device([each for each in on_device if each.setup[0] == shape])
        for shape in shapes
        if any(each.setup[0] == shape for each in on_device)
    }
    host = _host(on_host)
    return Calibration(
        corrections=corrections,
        pooled=_device(on_device),
        host=host,
        residual=_residual(
            [each.device_bytes or 0.0 for each in on_device],
            [corrections[each.setup[0]].corrected(each.device) for each in on_device],
        ),
        host_residual=_residual(
            [each.host_bytes or 0.0 for each in on_host],
            [host.corrected(each.host) for each in on_host],
        ),
        step_times={
            shape: time
            for shape in shapes
            if (time := _step_time(shape, measurements, policy)) is not None
        },
        startup_seconds=_startup_seconds(measurements),
    )


def _device(measurements: Sequence[Measurement]) -> Correction:
    rows = [_device_row(each.device) for each in measurements]
    fixed, states, activations, outputs = _fit(
        rows, [each.device_bytes for each in measurements], 4
    )
    return Correction(fixed, states, activations, outputs)


def _device_row(parts: DeviceParts) -> list[float]:
    return [parts.fixed, parts.states, parts.activations + parts.buffers, parts.outputs]


def _host(measurements: Sequence[Measurement]) -> HostCorrection:
    rows = [_host_row(each.host) for each in measurements]
    process, rest = _fit(rows, [each.host_bytes for each in measurements], 2)
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
    return [float(each) for each in solution]


def _residual(measured: Sequence[float], predicted: Sequence[float]) -> float | None:
    """Give the 95th percentile of the shares by which peaks exceed their estimates."""
    shares = [
        max(0.0, peak / estimate - 1)
        for peak, estimate in zip(measured, predicted, strict=True)
        if estimate > 0
    ]
    return float(np.percentile(shares, _PERCENTILE, method="higher")) if shares else None


def _step_time(
    shape: str, measurements: Sequence[Measurement], policy: PolicySpec
) -> StepTime | None:
    """Fit seconds = overhead + FLOPs x rate, pulled towards the policy's figures.

    These are first made as much slower or faster as trials really were. Where the policy has no
    peak, the fastest step stands for it.
    """
    known = [
        (each.step_flops, each.step_seconds)
        for each in measurements
        if each.setup[0] == shape and each.step_flops and each.step_seconds
    ]
    found = shape_named(policy, shape)
    if not known or found is None:
        return None
    overhead = CPU_STEP_SECONDS if found.resource is None else DEVICE_STEP_SECONDS
    fastest = min(seconds / flops for flops, seconds in known)
    rate = fastest if found.flops is None else 1 / (found.flops * found.utilization)
    slower = median(seconds / (overhead + flops * rate) for flops, seconds in known)
    overhead, rate = overhead * slower, rate * slower
    rows = [[overhead, flops * rate] for flops, _ in known]
    first, second = _fit(rows, [seconds for _, seconds in known], 2)
    return StepTime(first * overhead, second * rate)


def _startup_seconds(measurements: Sequence[Measurement]) -> dict[str, float]:
    """Give by shape for how long a machine is held beside the training, as a rule."""
    found: dict[str, list[float]] = {}
    for each in measurements:
        if each.startup_seconds is not None:
            found.setdefault(each.setup[0], []).append(each.startup_seconds)
    return {shape: median(seconds) for shape, seconds in found.items()}
