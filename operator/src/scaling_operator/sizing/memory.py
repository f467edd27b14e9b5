"""Memory of one trial on an accelerator and on the host, part by part."""

from __future__ import annotations

from dataclasses import dataclass

from scaling_operator.sizing.memory_formulas import (
    COLLECTIVE_BYTES,
    CONTEXT_BYTES,
    GIB,
    gathered,
    sharded,
)
from scaling_operator.sizing.need import Need
from scaling_trainer.contract import Execution

# A process with PyTorch, scikit-learn and pandas, measured on Linux: 0.88 GiB on a CPU. With CUDA's
# libraries loaded it is more; that figure is from memory.
CPU_PROCESS_BYTES = 0.9 * GIB
GPU_PROCESS_BYTES = 3.0 * GIB
FULL = "full"
ZERO3 = "zero3"


@dataclass(frozen=True, slots=True)
class DeviceParts:
    """Bytes on one accelerator."""

    weights: float = 0.0
    gradients: float = 0.0
    optimizer: float = 0.0
    activations: float = 0.0
    outputs: float = 0.0
    buffers: float = 0.0
    fixed: float = 0.0

    @property
    def states(self) -> float:
        """Weights, gradients and optimizer."""
        return self.weights + self.gradients + self.optimizer

    @property
    def total(self) -> float:
        """All of them."""
        return self.states + self.activations + self.outputs + self.buffers + self.fixed


@dataclass(frozen=True, slots=True)
class HostParts:
    """Bytes on the host. `model` is the trial itself, where there is no accelerator."""

    process: float = 0.0
    model: float = 0.0
    data: float = 0.0
    checkpoint: float = 0.0
    shared: float = 0.0

    @property
    def total(self) -> float:
        """All of them; shared memory counts against the pod's limit too."""
        return self.process + self.model + self.data + self.checkpoint + self.shared


def micro_batch_of(need: Need, execution: Execution) -> int:
    """Give the rows that an accelerator has at once; the last micro-batch may have fewer."""
    if execution.micro_batch is not None:
        return execution.micro_batch
    share = need.batch / (execution.accumulation * execution.devices)
    return max(1, -int(-share // 1))


def device_parts(need: Need, execution: Execution) -> DeviceParts:
    """Estimate the parts on one accelerator."""
    devices = execution.devices
    fixed = CONTEXT_BYTES + (COLLECTIVE_BYTES if devices > 1 else 0.0)
    if need.whole_device_bytes is not None:
        return DeviceParts(activations=need.whole_device_bytes)
    states = sharded(need.bytes_per_parameter, devices, 3 if execution.sharding == ZERO3 else 0)
    rows, per_row = micro_batch_of(need, execution), need.bytes_per_row
    activations = rows * (
        per_row.recomputed + per_row.block if execution.recompute == FULL else per_row.kept
    )
    outputs = rows * per_row.outputs
    # An evaluation comes when the activations of a step are gone.
    buffers = max(rows * per_row.passing, need.evaluated_bytes - activations - outputs, 0.0)
    if execution.sharding == ZERO3:
        buffers += gathered(need.largest_unit)
    return DeviceParts(
        weights=need.parameters * states.weights,
        gradients=need.parameters * states.gradients,
        optimizer=need.parameters * states.optimizer,
        activations=activations,
        outputs=outputs,
        buffers=buffers,
        fixed=fixed,
    )


def host_parts(need: Need, execution: Execution, *, on_device: bool) -> HostParts:
    """Estimate the parts on the host; without an accelerator the model lies there too."""
    whole, shared = need.whole_host_bytes, need.shared_bytes
    saved = need.parameters * (
        need.bytes_per_parameter.weights + need.bytes_per_parameter.optimizer
    )
    if on_device and whole is not None:
        return HostParts(process=whole, shared=shared)
    if on_device:
        return HostParts(GPU_PROCESS_BYTES, 0.0, need.data_bytes, saved, shared)
    device = device_parts(need, execution)
    # A checkpoint is copied to be written when no activations are about.
    passing = device.activations + device.outputs + device.buffers
    model = device.states + max(passing, saved)
    if whole is not None:
        return HostParts(process=whole, model=model, shared=shared)
    return HostParts(CPU_PROCESS_BYTES, model, need.data_bytes, 0.0, shared)
