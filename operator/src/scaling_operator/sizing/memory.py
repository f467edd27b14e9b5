"""Memory of one trial on an accelerator and on the host, part by part."""

from __future__ import annotations

from dataclasses import dataclass

from scaling_operator.api.quantities import GIBIBYTE
from scaling_operator.sizing.memory_formulas import gathered_bytes, sharded
from scaling_operator.sizing.need import Need
from scaling_trainer.contract import Execution

# The CUDA context, and NCCL's buffers: remembered from many runs, not measured here.
CONTEXT_BYTES = 0.5 * GIBIBYTE
COLLECTIVE_BYTES = 0.75 * GIBIBYTE
# A process with PyTorch, scikit-learn and pandas takes 0.88 GiB on a CPU, measured on Linux. It
# takes more with CUDA's libraries loaded; that figure is remembered, not measured.
CPU_PROCESS_BYTES = 0.9 * GIBIBYTE
GPU_PROCESS_BYTES = 3.0 * GIBIBYTE
FULL = "full"
ZERO3 = "zero3"


@dataclass(frozen=True, slots=True)
class DeviceParts:
    """Bytes on one accelerator, by part."""

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
        """Bytes of all parts."""
        return self.states + self.activations + self.outputs + self.buffers + self.fixed


@dataclass(frozen=True, slots=True)
class HostParts:
    """Bytes on the host, by part. `model` is what is trained, where there is no accelerator."""

    process: float = 0.0
    model: float = 0.0
    data: float = 0.0
    checkpoint: float = 0.0
    shared: float = 0.0

    @property
    def total(self) -> float:
        """Bytes of all parts; shared memory counts against the pod's limit too."""
        return self.process + self.model + self.data + self.checkpoint + self.shared


def micro_batch_of(need: Need, execution: Execution) -> int:
    """Give the rows that an accelerator has at once; the last micro-batch may have fewer."""
    if execution.micro_batch is not None:
        return execution.micro_batch
    share = need.batch / (execution.accumulation * execution.devices)
    return max(1, -int(-share // 1))


def device_parts(need: Need, execution: Execution) -> DeviceParts:
    """Estimate the parts on one accelerator."""
    if need.whole_device_bytes is not None:
        return DeviceParts(activations=need.whole_device_bytes)
    devices, is_sharded = execution.devices, execution.sharding == ZERO3
    per_parameter = sharded(need.bytes_per_parameter, devices, 3 if is_sharded else 0)
    rows, per_row = micro_batch_of(need, execution), need.bytes_per_row
    activations = rows * (
        per_row.recomputed + per_row.block if execution.recompute == FULL else per_row.kept
    )
    outputs = rows * per_row.outputs
    # An evaluation starts when the activations of a step are freed.
    buffers = max(rows * per_row.passing, need.evaluated_bytes - activations - outputs, 0.0)
    return DeviceParts(
        weights=need.parameters * per_parameter.weights,
        gradients=need.parameters * per_parameter.gradients,
        optimizer=need.parameters * per_parameter.optimizer,
        activations=activations,
        outputs=outputs,
        buffers=buffers + (gathered_bytes(need.largest_unit) if is_sharded else 0.0),
        fixed=CONTEXT_BYTES + (COLLECTIVE_BYTES if devices > 1 else 0.0),
    )


def host_parts(need: Need, execution: Execution, *, on_device: bool) -> HostParts:
    """Estimate the parts on the host; without an accelerator the model lies there too."""
    whole, shared = need.whole_host_bytes, need.shared_bytes
    per_parameter = need.bytes_per_parameter
    saved = need.parameters * (per_parameter.weights + per_parameter.optimizer)
    if on_device and whole is not None:
        return HostParts(process=whole, shared=shared)
    if on_device:
        return HostParts(
            process=GPU_PROCESS_BYTES, data=need.data_bytes, checkpoint=saved, shared=shared
        )
    device = device_parts(need, execution)
    # A checkpoint is copied to be written when the activations are freed.
    passing = device.activations + device.outputs + device.buffers
    model = device.states + max(passing, saved)
    if whole is not None:
        return HostParts(process=whole, model=model, shared=shared)
    return HostParts(process=CPU_PROCESS_BYTES, model=model, data=need.data_bytes, shared=shared)
