"""How long a trial takes on a machine, and what that costs.

T = C(1 + r/3) / (n·peak·utilization·efficiency), at least an overhead per step, times what
interruptions cost; r is 1 with full recomputation. The throughput of several accelerators is that
of Qiao 2021 (Pollux) without overlap: T_step = T_comp + T_net, where T_net moves the gradients.
"""

from __future__ import annotations

from scaling_operator.api.policy import Shape
from scaling_operator.sizing.belief import Estimates, StepTime
from scaling_operator.sizing.need import Need
from scaling_operator.sizing.parts import FULL

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
