"""What is expected of a trial on a machine: memory and time, by formulas that measurements correct.

T = C(1 + r/3) / (n·peak·utilization·efficiency), plus an overhead per step, times what
interruptions cost; r is 1 with full recomputation. The throughput of several accelerators follows
Qiao 2021 (Pollux) without overlap: T_step = T_comp + T_net, where T_net moves the gradients.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from scaling_operator.api.policy import Shape
from scaling_operator.sizing.memory import FULL, DeviceParts, HostParts, device_parts, host_parts
from scaling_operator.sizing.need import Need
from scaling_trainer.contract import Execution


@dataclass(frozen=True, slots=True)
class Correction:
    """What measurements say of an accelerator: measured = factor x part, summed over the parts.

    The default leaves the formulas as they are.
    """

    fixed: float = 1.0
    states: float = 1.0
    activations: float = 1.0
    outputs: float = 1.0

    def corrected(self, parts: DeviceParts) -> float:
        """Give the total, corrected by measured trials."""
        return (
            self.fixed * parts.fixed
            + self.states * parts.states
            + self.activations * (parts.activations + parts.buffers)
            + self.outputs * parts.outputs
        )


@dataclass(frozen=True, slots=True)
class HostCorrection:
    """What measurements say of the host: a factor for the bare process, and one for the rest.

    The default leaves the formulas as they are.
    """

    process: float = 1.0
    rest: float = 1.0

    def corrected(self, parts: HostParts) -> float:
        """Give the total, corrected by measured trials; shared memory is used as requested."""
        rest = parts.total - parts.process - parts.shared
        return self.process * parts.process + self.rest * rest + parts.shared


@dataclass(frozen=True, slots=True)
class StepTime:
    """Seconds of a step: a constant overhead, and a part in proportion to the FLOPs."""

    overhead_seconds: float
    seconds_per_flop: float


MachineSetup = tuple[str, int, str]
"""The name of a shape, how many accelerators of the shape, and the kind of recomputation."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """All measurements of an experiment, in a form that predicts; by `sizing.calibration`.

    The mappings are by the name of a shape; `pooled` is the correction over all shapes. `residual`
    and `host_residual` are the shares by which measured peaks exceed the corrected estimates, at
    the 95th percentile. `startup_seconds` is how long a machine is held beside the training.
    """

    corrections: Mapping[str, Correction] = field(default_factory=dict[str, Correction])
    pooled: Correction = Correction()
    host: HostCorrection = HostCorrection()
    residual: float | None = None
    host_residual: float | None = None
    step_times: Mapping[str, StepTime] = field(default_factory=dict[str, StepTime])
    startup_seconds: Mapping[str, float] = field(default_factory=dict[str, float])

    def correction(self, shape: str) -> Correction:
        """Give the correction for a shape; the one over all shapes where none was measured."""
        return self.corrections.get(shape, self.pooled)


UNCALIBRATED = Calibration()
"""Before any measurement: the formulas as they are."""


@dataclass(frozen=True, slots=True)
class Estimates:
    """What the next trials of a scale are expected to need.

    `margin` and `host_margin` are shares of the estimate. `oom_factors` are by the name of a shape:
    the factor on the bare formulas since a trial of this scale ran out of memory on that shape.
    `host_floor_bytes` is the least host memory since a trial of this scale ran out of host memory.
    `hours` are the measured hours of a trial of this very scale, by machine setup.
    """

    margin: float
    host_margin: float
    calibration: Calibration = UNCALIBRATED
    oom_factors: Mapping[str, float] = field(default_factory=dict[str, float])
    host_floor_bytes: float = 0.0
    hours: Mapping[MachineSetup, float] = field(default_factory=dict[MachineSetup, float])


def first_estimates(margin_percent: float) -> Estimates:
    """Take the formulas as they are, with the margin for a scale without any measurement."""
    return Estimates(margin_percent / 100, margin_percent / 100)


# --- Memory --------------------------------------------------------------------------------------


def required_bytes(need: Need, shape: Shape, execution: Execution, estimates: Estimates) -> float:
    """Give the memory to provide: the corrected estimate with its margin, or more after an OOM.

    It is the memory of one accelerator, or of the host where the shape has no accelerator.
    """
    calibration = estimates.calibration
    if shape.resource is None:
        host = host_parts(need, execution, on_device=False)
        with_margin = calibration.host.corrected(host) * (1 + estimates.host_margin)
        return max(with_margin, estimates.host_floor_bytes)
    device = device_parts(need, execution)
    with_margin = calibration.correction(shape.name).corrected(device) * (1 + estimates.margin)
    return max(with_margin, device.total * estimates.oom_factors.get(shape.name, 0.0))


# --- Hours and their price -----------------------------------------------------------------------

# The time to launch the kernels of a small model's step; not measured on a GPU.
DEVICE_STEP_SECONDS = 2e-3
CPU_STEP_SECONDS = 5e-4
STARTUP_SECONDS = 10.0
"""How long a machine is held beside the training, until measured: imports, data, the shutdown."""
_GRADIENT_BYTES = 2.0


def efficiency(need: Need, shape: Shape, count: int) -> float:
    """Give the throughput of each of several accelerators, as a share of that of one alone."""
    if count == 1 or shape.bandwidth is None or shape.flops is None or not need.steps:
        return 1.0
    alone = (need.flops or 0.0) / need.steps / (shape.flops * shape.utilization)
    moved = 2 * (count - 1) / count * need.parameters * _GRADIENT_BYTES / shape.bandwidth
    together = alone / count + moved
    return 1.0 if together == 0 else alone / (count * together)


def hours_of(
    need: Need, shape: Shape, count: int, estimates: Estimates, recompute: str
) -> float | None:
    """Give the hours of one trial; None where its FLOPs or the shape's are not known."""
    measured = estimates.hours.get((shape.name, count, recompute))
    if measured is not None:
        return measured
    if need.flops is None:
        return None
    calibration = estimates.calibration
    step_time = calibration.step_times.get(shape.name) or _assumed_step_time(shape, need)
    if step_time is None:
        return None
    work = need.flops * work_factor(recompute)
    devices = max(1, count) * efficiency(need, shape, max(1, count))
    steps = need.steps or 1.0
    seconds = steps * step_time.overhead_seconds + work * step_time.seconds_per_flop / devices
    seconds *= 1 + shape.interruption_percent / 100
    return (seconds + calibration.startup_seconds.get(shape.name, STARTUP_SECONDS)) / 3600


def work_factor(recompute: str) -> float:
    """Give the factor of recomputation on the FLOPs of a step: one forward pass more."""
    return 4 / 3 if recompute == FULL else 1.0


def _assumed_step_time(shape: Shape, need: Need) -> StepTime | None:
    if shape.flops is None:
        return None
    if shape.resource is None:
        per_flop = 1 / (shape.flops * shape.utilization * max(need.cores, 1e-3))
        return StepTime(CPU_STEP_SECONDS, per_flop)
    return StepTime(DEVICE_STEP_SECONDS, 1 / (shape.flops * shape.utilization))


def price_per_hour(need: Need, shape: Shape, count: int) -> float:
    """Give the price of the machine: by accelerator, or by core where the shape has none."""
    return shape.price_per_hour * (count if shape.resource is not None else need.cores)
