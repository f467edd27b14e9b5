"""Machines in a status: what an attempt had, what a scale is planned to need, and the ledger.

Bytes of a device are those of one accelerator; bytes of the host are those of the whole pod.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from scaling_operator.api.fields import ApiSection
from scaling_trainer.foreign_text import MAX_MESSAGE

Word = Annotated[str, Field(max_length=63)]
Sentence = Annotated[str, Field(max_length=MAX_MESSAGE)]
Bytes = Annotated[float, Field(ge=0)]


class ExecutionStatus(ApiSection):
    """How a trial ran on its machine; the global batch is the product of the first three."""

    micro_batch: int | None = Field(default=None, ge=1, description="Rows at once on a device.")
    accumulation: int = Field(default=1, ge=1, description="Micro-batches of a step.")
    devices: int = Field(default=1, ge=1, description="Accelerators that share the batch.")
    recompute: Word = Field(default="none", description="none, or full.")
    sharding: Word = Field(default="none", description="none, or zero3 (FSDP).")


class AttemptResources(ApiSection):
    """The machine of an attempt."""

    shape: Word | None = Field(default=None, description="Name of the policy's shape.")
    count: int = Field(default=0, ge=0, description="Accelerators.")
    cpu: Word | None = Field(default=None, description="CPU.")
    memory: Word | None = Field(default=None, description="Host memory.")
    shared_memory: Word | None = Field(default=None, description="Of /dev/shm.")
    execution: ExecutionStatus = Field(
        default=ExecutionStatus(), description="What the trainer was told of it."
    )
    estimated_device_bytes: Bytes | None = Field(
        default=None, description="Estimate for one accelerator, without margin."
    )
    estimated_host_bytes: Bytes | None = Field(
        default=None, description="Estimate for the host, without margin."
    )


class ScaleSizing(ApiSection):
    """What a trial of a scale needs and gets; written before the first pod, and kept up."""

    shape: Word | None = Field(default=None, description="Name of the shape; absent: none fits.")
    count: int = Field(default=0, ge=0, description="Accelerators of a trial.")
    parameters: float | None = Field(default=None, ge=0, description="N, as counted beforehand.")
    flops: float | None = Field(default=None, ge=0, description="C of one trial, beforehand.")
    execution: ExecutionStatus = Field(
        default=ExecutionStatus(), description="What the trainer is told."
    )
    estimated_device_bytes: Bytes | None = Field(
        default=None, description="Estimate for one accelerator, without margin."
    )
    estimated_host_bytes: Bytes | None = Field(
        default=None, description="Estimate for the host, without margin."
    )
    measured_device_bytes: Bytes | None = Field(
        default=None, description="Most that a trial of the scale has used on an accelerator."
    )
    measured_host_bytes: Bytes | None = Field(
        default=None, description="Most that a trial of the scale has used on the host."
    )
    margin_percent: float | None = Field(
        default=None, ge=0, description="Added to the estimate: less once something was measured."
    )
    planned_hours: float | None = Field(
        default=None, ge=0, description="Hours of one trial; absent: unknown."
    )
    planned_gpu_hours: float | None = Field(
        default=None, ge=0, description="GPU hours of all its trials."
    )
    planned_cost: float | None = Field(default=None, ge=0, description="Cost of all its trials.")
    used_gpu_hours: float = Field(default=0.0, ge=0, description="GPU hours used so far.")
    used_cost: float = Field(default=0.0, ge=0, description="Cost so far.")
    message: Sentence = Field(default="", description="Why this one, or why none fits.")


class Ledger(ApiSection):
    """GPU hours and cost of the whole experiment, planned and used."""

    planned_gpu_hours: float | None = Field(
        default=None, ge=0, description="Of all trials; absent: a shape has no flops."
    )
    planned_cost: float | None = Field(default=None, ge=0, description="Of all trials.")
    used_gpu_hours: float = Field(default=0.0, ge=0, description="Of all attempts so far.")
    used_cost: float = Field(default=0.0, ge=0, description="Of all attempts so far.")
