"""What is expected of a trial on a machine: memory and time, by formulas that measurements correct.

T = C(1 + r/3) / (n·peak·utilization·efficiency), at least an overhead per step, times what
interruptions cost; r is 1 with full recomputation. The throughput of several accelerators is that
of Qiao 2021 (Pollux) without overlap: T_step = T_comp + T_net, where T_net moves the gradients.
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
    """What measurements say of the parts: measured = constant + factor x part, summed up.

    The default takes the formulas as they are.
    """

    fixed: float = 1.0
    states: float = 1.0
    activations: float = 1.0
    outputs: float = 1.0

    def corrected(self, parts: DeviceParts) -> float:
        """Give the total as measured trials say it is."""
        return (
            self.fixed * parts.fixed
            + self.states * parts.states
            + self.activations * (parts.activations + parts.buffers)
            + self.outputs * parts.outputs
        )


@dataclass(frozen=True, slots=True)
class HostCorrection:
    """The same for the host: a factor for the bare process and one for what a trial adds."""

    process: float = 1.0
    rest: float = 1.0

    def corrected(self, parts: HostParts) -> float:
        """Give the total as measured trials say it is; shared memory is what was asked for."""
        rest = parts.total - parts.process - parts.shared
        return self.process * parts.process + self.rest * rest + parts.shared


AS_COMPUTED = Correction()
HOST_AS_COMPUTED = HostCorrection()


@dataclass(frozen=True, slots=True)
class StepTime:
    """Seconds of a step: a part that is always there, and one by its FLOPs."""

    overhead_seconds: float
    seconds_per_flop: float


MachineSetup = tuple[str, int, str]
"""A shape, how many of it, and the recomputation."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Measurements in a form that predicts: see `scaling_operator.sizing.calibration`.

    `residual` is the share by which measured peaks exceed the corrected estimates, at the 95th
    percentile.
    """

    corrections: Mapping[str, Correction] = field(default_factory=dict[str, Correction])
    pooled: Correction = AS_COMPUTED
    host: HostCorrection = HOST_AS_COMPUTED
    residual: float | None = None
    host_residual: float | None = None
    step_times: Mapping[str, StepTime] = field(default_factory=dict[str, StepTime])
    startup_seconds: Mapping[str, float] = field(default_factory=dict[str, float])

    def correction_for(self, shape: str) -> Correction:
        """Give the correction for a shape, or the one over all shapes."""
        return self.corrections.get(shape, self.pooled)


@dataclass(frozen=True, slots=True)
class Estimates:
    """What to reckon with for the next trials of a scale.

    `margin` and `host_margin` are shares of the estimate. `corrections` and `step_times` are by
    shape, `raised` too: by how much the formulas must be multiplied since a trial of this scale ran
    out of memory there. `host_floor_bytes` is the least host memory since one did so on a host.
    `startup_seconds` is, by shape, how long a machine is held beside the training. `hours` are
    those of a trial of this very scale, by place, where some have ended.
    """

    margin: float
    host_margin: float
    corrections: Mapping[str, Correction] = field(default_factory=dict[str, Correction])
    pooled: Correction = AS_COMPUTED
    host: HostCorrection = HOST_AS_COMPUTED
    oom_factors: Mapping[str, float] = field(default_factory=dict[str, float])
    host_floor_bytes: float = 0.0
    step_times: Mapping[str, StepTime] = field(default_factory=dict[str, StepTime])
    startup_seconds: Mapping[str, float] = field(default_factory=dict[str, float])
    hours: Mapping[MachineSetup, float] = field(default_factory=dict[MachineSetup, float])

    def correction(self, shape: str) -> Correction:
        """Give the correction for a shape, or the one over all shapes."""
        return self.corrections.get(shape, self.pooled)


def first_estimates(margin_percent: float) -> Estimates:
    """Take the formulas as they are, with the margin of what nothing was measured for."""
    return Estimates(margin_percent / 100, margin_percent / 100)


def required_bytes(need: Need, shape: Shape, execution: Execution, estimates: Estimates) -> float:
    """Give what must be there: the corrected estimate with its margin, or what an OOM has shown."""
    if shape.resource is None:
        parts = host_parts(need, execution, on_device=False)
        whole = estimates.host.corrected(parts) * (1 + estimates.host_margin)
        return max(whole, estimates.host_floor_bytes)
    parts = device_parts(need, execution)
    corrected = estimates.correction(shape.name).corrected(parts) * (1 + estimates.margin)
    return max(corrected, parts.total * estimates.oom_factors.get(shape.name, 0.0))


# Not measured on a GPU: launching the kernels of a small model's step.
DEVICE_STEP_SECONDS = 2e-3
CPU_STEP_SECONDS = 5e-4
STARTUP_SECONDS = 10.0
"""How long a machine is held beside the training, until measured: imports, data, the end."""
_GRADIENT_BYTES = 2.0


def efficiency(need: Need, shape: Shape, count: int) -> float:
    """Give the share of its work alone that each of several accelerators does."""
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
    time = estimates.step_times.get(shape.name) or _assumed(shape, need)
    if time is None:
        return None
    work = need.flops * work_factor(recompute)
    devices = max(1, count) * efficiency(need, shape, max(1, count))
    steps = need.steps or 1.0
    seconds = steps * time.overhead_seconds + work * time.seconds_per_flop / devices
    seconds *= 1 + shape.interruption_percent / 100
    return (seconds + estimates.startup_seconds.get(shape.name, STARTUP_SECONDS)) / 3600


def work_factor(recompute: str) -> float:
    """Give the FLOPs of a step relative to those without recomputation: one forward pass more."""
    return 4 / 3 if recompute == FULL else 1.0


def _assumed(shape: Shape, need: Need) -> StepTime | None:
    if shape.flops is None:
        return None
    if shape.resource is None:
        per_flop = 1 / (shape.flops * shape.utilization * max(need.cores, 1e-3))
        return StepTime(CPU_STEP_SECONDS, per_flop)
    return StepTime(DEVICE_STEP_SECONDS, 1 / (shape.flops * shape.utilization))


def price_per_hour(need: Need, shape: Shape, count: int) -> float:
    """Give the price of the machine: by accelerator, or by core where there is none."""
    return shape.price_per_hour * (count if shape.resource is not None else need.cores)
