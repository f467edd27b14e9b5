"""What an attempt has of a machine: the allocation, its record in a status, a pod's request.

An experiment may fix its resources instead: the limits of a policy bind them, the shapes do not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scaling_operator.api.experiment import FixedResources
from scaling_operator.api.policy import PolicySpec, Shape, Toleration
from scaling_operator.api.quantities import format_bytes, format_cores, parse_quantity
from scaling_operator.api.status_sizing import AttemptResources, ExecutionStatus
from scaling_operator.core.resources import DeviceRequest, PodResources
from scaling_operator.sizing.estimates import required_bytes
from scaling_operator.sizing.machines import Choice, Constraints, capacity_bytes, why_unsuitable
from scaling_operator.sizing.need import Need
from scaling_trainer.contract import Execution

PLAIN = Execution()


@dataclass(frozen=True, slots=True)
class Allocation:
    """The machine of one attempt. `shape` is None where the experiment fixes its resources.

    `device_bytes` is the estimate of the bare formulas for one accelerator, `host_bytes` that for
    the host. `memory_bytes` is the host memory that is requested.
    """

    shape: str | None
    count: int
    memory_bytes: float | None
    cores: float | None = None
    shared_bytes: float = 0.0
    execution: Execution = PLAIN
    device_bytes: float = 0.0
    host_bytes: float = 0.0
    resource: str | None = None


def allocation_of(choice: Choice, cores: float) -> Allocation:
    """Allocate a choice as it is."""
    return Allocation(
        shape=choice.shape.name,
        count=choice.count,
        memory_bytes=choice.request_bytes,
        cores=cores,
        shared_bytes=choice.host.shared,
        execution=choice.execution,
        device_bytes=choice.device.total if choice.on_device else 0.0,
        host_bytes=choice.host.total,
        resource=choice.shape.resource,
    )


def fixed_allocation(fixed: FixedResources) -> Allocation:
    """Allocate what an experiment fixes."""
    return Allocation(
        shape=None,
        count=fixed.gpus,
        memory_bytes=None if fixed.memory is None else parse_quantity(fixed.memory),
        cores=None if fixed.cpu is None else parse_quantity(fixed.cpu),
        resource=fixed.resource if fixed.gpus else None,
    )


def to_status(allocation: Allocation) -> AttemptResources:
    """Write an allocation for the status of a trial."""
    execution = allocation.execution
    return AttemptResources(
        shape=allocation.shape,
        count=allocation.count,
        cpu=None if allocation.cores is None else format_cores(allocation.cores),
        memory=None if allocation.memory_bytes is None else format_bytes(allocation.memory_bytes),
        shared_memory=format_bytes(allocation.shared_bytes) if allocation.shared_bytes else None,
        execution=ExecutionStatus(
            micro_batch=execution.micro_batch,
            accumulation=execution.accumulation,
            devices=execution.devices,
            recompute=execution.recompute,
            sharding=execution.sharding,
        ),
        estimated_device_bytes=allocation.device_bytes or None,
        estimated_host_bytes=allocation.host_bytes or None,
    )


def from_status(
    recorded: AttemptResources, policy: PolicySpec, fixed: FixedResources | None = None
) -> Allocation:
    """Read an allocation back; the policy or the fixed resources name the extended resource."""
    execution = recorded.execution
    shape = shape_named(policy, recorded.shape)
    fixed_resource = None if fixed is None or not fixed.gpus else fixed.resource
    return Allocation(
        shape=recorded.shape,
        count=recorded.count,
        memory_bytes=_parsed(recorded.memory),
        cores=_parsed(recorded.cpu),
        shared_bytes=_parsed(recorded.shared_memory) or 0.0,
        execution=Execution(
            micro_batch=execution.micro_batch,
            accumulation=execution.accumulation,
            recompute=execution.recompute,
            devices=execution.devices,
            sharding=execution.sharding,
        ),
        device_bytes=recorded.estimated_device_bytes or 0.0,
        host_bytes=recorded.estimated_host_bytes or 0.0,
        resource=fixed_resource if shape is None else shape.resource,
    )


def _parsed(quantity: str | None) -> float | None:
    return None if quantity is None else parse_quantity(quantity)


def pod_resources(
    allocation: Allocation, policy: PolicySpec | None, claimed: tuple[Shape, ...] = ()
) -> PodResources:
    """Make a pod's requests and limits.

    Memory and accelerators are limits too. CPU is a limit only where the experiment fixes CPU,
    since throttling helps nobody. `claimed` are the shapes that a claim asks for; none without a
    claim.
    """
    limited: dict[str, str] = {}
    if allocation.memory_bytes is not None:
        limited["memory"] = format_bytes(allocation.memory_bytes)
    if allocation.resource is not None and allocation.count and not claimed:
        limited[allocation.resource] = str(allocation.count)
    cpu = {} if allocation.cores is None else {"cpu": format_cores(allocation.cores)}
    shape = None if policy is None else shape_named(policy, allocation.shape)
    return PodResources(
        requests={**cpu, **limited},
        limits=limited if shape is not None else {**cpu, **limited},
        # A claim of several shapes may not be bound to the nodes of one shape.
        node_selector={} if shape is None or len(claimed) > 1 else shape.node_selector,
        tolerations=_tolerations(claimed or (() if shape is None else (shape,))),
        shared_memory_bytes=math.ceil(allocation.shared_bytes) or None,
        shape=allocation.shape,
        recorded=to_status(allocation),
        devices=tuple(
            DeviceRequest(
                alternative.name,
                alternative.device_class,
                allocation.count,
                alternative.device_selector,
            )
            for alternative in claimed
            if alternative.device_class is not None
        ),
    )


def _tolerations(shapes: tuple[Shape, ...]) -> tuple[Toleration, ...]:
    tolerations = [toleration for shape in shapes for toleration in shape.tolerations]
    return tuple(
        toleration
        for position, toleration in enumerate(tolerations)
        if toleration not in tolerations[:position]
    )


def shape_named(policy: PolicySpec, name: str | None) -> Shape | None:
    """Find a shape by its name; None where the policy no longer has the shape."""
    return next((shape for shape in policy.shapes if shape.name == name), None)


def alternatives(need: Need, constraints: Constraints, allocation: Allocation) -> tuple[Shape, ...]:
    """Give the chosen shape, then other shapes for the same count and execution, cheapest first.

    An attempt with a claim runs on any of these shapes as it is. A queue must know beforehand what
    it admits: with a queue the chosen shape is the only one.
    """
    policy = constraints.policy
    chosen = shape_named(policy, allocation.shape)
    if chosen is None:
        return ()
    if policy.queue is not None:
        return (chosen,)
    others = [shape for shape in policy.shapes if _fits(need, constraints, allocation, shape)]
    return (chosen, *sorted(others, key=lambda shape: shape.price_per_hour))


def _fits(need: Need, constraints: Constraints, allocation: Allocation, shape: Shape) -> bool:
    if shape.resource is None or shape.name == allocation.shape:
        return False
    if why_unsuitable(need, shape, constraints) is not None or shape.max_per_pod < allocation.count:
        return False
    needed = required_bytes(need, shape, allocation.execution, constraints.estimates)
    return needed <= capacity_bytes(shape, constraints.policy)


def uses_claims(policy: PolicySpec, allocation: Allocation) -> bool:
    """Whether a claim asks for the accelerators, instead of an extended resource."""
    return policy.backend == "dra" and allocation.resource is not None and allocation.count > 0


def fixed_problem(fixed: FixedResources, policy: PolicySpec) -> str | None:
    """Say which limit of a trial the fixed resources exceed; None where they exceed none."""
    limits = policy.limits.trial
    if limits.gpus is not None and fixed.gpus > limits.gpus:
        return _exceeds("gpus", fixed.gpus, limits.gpus)
    for name, amount, limit in (
        ("cpu", fixed.cpu, limits.cpu),
        ("memory", fixed.memory, limits.memory),
    ):
        if amount is None or limit is None:
            continue
        if parse_quantity(amount) > parse_quantity(limit):
            return _exceeds(name, amount, limit)
    return None


def _exceeds(name: str, amount: object, limit: object) -> str:
    return (
        f"spec.resources.fixed.{name} {amount} exceeds limits.trial.{name} of the policy, "
        f"which allows {limit}"
    )


def fixed_note(fixed: FixedResources, policy: PolicySpec) -> str:
    """Say that the policy has no price for the fixed accelerators; nothing where it has one."""
    if not fixed.gpus or fixed_shape(fixed, policy) is not None:
        return ""
    resources = list(dict.fromkeys(shape.resource for shape in policy.shapes if shape.resource))
    shapes = f"shapes with {', '.join(resources)}" if resources else "no shape with accelerators"
    return (
        f"spec.resources.fixed.resource {fixed.resource}: the policy has {shapes}, so cost is "
        f"counted as 0; a shape with resource {fixed.resource} in its spec.shapes gives a price"
    )


def fixed_shape(fixed: FixedResources, policy: PolicySpec) -> Shape | None:
    """Find the shape that sets the price: the dearest with the resource, as any of them may do."""
    resource = fixed.resource if fixed.gpus else None
    suitable = [shape for shape in policy.shapes if shape.resource == resource]
    return max(suitable, key=lambda shape: shape.price_per_hour, default=None)
