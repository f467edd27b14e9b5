"""What an attempt has of a machine: the value that is recorded, and the request made of it.

An experiment may fix its resources instead: a policy's limits bind them, its shapes do not.
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

    `device_bytes` is the bare formulas' estimate of one accelerator, `host_bytes` that of the host;
    `memory_bytes` is what is asked for.
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
    """Take a choice as it is."""
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
    """Take what an experiment fixes."""
    return Allocation(
        shape=None,
        count=fixed.gpus,
        memory_bytes=None if fixed.memory is None else parse_quantity(fixed.memory),
        cores=None if fixed.cpu is None else parse_quantity(fixed.cpu),
        resource=fixed.resource if fixed.gpus else None,
    )


def to_status(allocation: Allocation) -> AttemptResources:
    """Write an allocation as a trial's status records it."""
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


def from_status(recorded: AttemptResources, resource: str | None) -> Allocation:
    """Read an allocation back; `resource` is the extended resource that its shape has."""
    told = recorded.execution
    return Allocation(
        shape=recorded.shape,
        count=recorded.count,
        memory_bytes=_parsed(recorded.memory),
        cores=_parsed(recorded.cpu),
        shared_bytes=_parsed(recorded.shared_memory) or 0.0,
        execution=Execution(
            told.micro_batch, told.accumulation, told.recompute, told.devices, told.sharding
        ),
        device_bytes=recorded.estimated_device_bytes or 0.0,
        host_bytes=recorded.estimated_host_bytes or 0.0,
        resource=resource,
    )


def _parsed(quantity: str | None) -> float | None:
    return None if quantity is None else parse_quantity(quantity)


def pod_resources(
    allocation: Allocation, policy: PolicySpec | None, claimed: tuple[Shape, ...] = ()
) -> PodResources:
    """Make a pod's requests and limits.

    Memory and accelerators are limits too; CPU is one only where the experiment fixes it, since
    throttling helps nobody. `claimed` are the shapes that a claim asks for, where one does.
    """
    firm: dict[str, str] = {}
    if allocation.memory_bytes is not None:
        firm["memory"] = format_bytes(allocation.memory_bytes)
    if allocation.resource is not None and allocation.count and not claimed:
        firm[allocation.resource] = str(allocation.count)
    cpu = {} if allocation.cores is None else {"cpu": format_cores(allocation.cores)}
    shape = None if policy is None else shape_named(policy, allocation.shape)
    return PodResources(
        requests={**cpu, **firm},
        limits=firm if shape is not None else {**cpu, **firm},
        # A claim of several shapes may not be bound to the nodes of one.
        node_selector={} if shape is None or len(claimed) > 1 else shape.node_selector,
        tolerations=_tolerations(claimed or (() if shape is None else (shape,))),
        shared_memory_bytes=math.ceil(allocation.shared_bytes) or None,
        shape=allocation.shape,
        recorded=to_status(allocation),
        devices=tuple(
            DeviceRequest(each.name, each.device_class, allocation.count, each.device_selector)
            for each in claimed
            if each.device_class is not None
        ),
    )


def _tolerations(shapes: tuple[Shape, ...]) -> tuple[Toleration, ...]:
    found = [each for shape in shapes for each in shape.tolerations]
    return tuple(each for at, each in enumerate(found) if each not in found[:at])


def shape_named(policy: PolicySpec, name: str | None) -> Shape | None:
    """Find a shape; None where the policy no longer has it."""
    return next((shape for shape in policy.shapes if shape.name == name), None)


def alternatives(need: Need, constraints: Constraints, allocation: Allocation) -> tuple[Shape, ...]:
    """Give the chosen shape, then others that fit the same count and execution, cheapest first.

    A queue wants to know beforehand what it admits: with one there is the chosen shape alone.
    """
    policy = constraints.policy
    chosen = shape_named(policy, allocation.shape)
    if chosen is None:
        return ()
    if policy.queue is not None:
        return (chosen,)
    others = [shape for shape in policy.shapes if _would_do(need, constraints, allocation, shape)]
    return (chosen, *sorted(others, key=lambda shape: shape.price_per_hour))


def _would_do(need: Need, constraints: Constraints, allocation: Allocation, shape: Shape) -> bool:
    if shape.resource is None or shape.name == allocation.shape:
        return False
    if why_unsuitable(need, shape, constraints) is not None or shape.max_per_pod < allocation.count:
        return False
    needed = required_bytes(need, shape, allocation.execution, constraints.estimates)
    return needed <= capacity_bytes(shape, constraints.policy)


def uses_claims(policy: PolicySpec, allocation: Allocation) -> bool:
    """Whether accelerators are asked for by a claim instead of an extended resource."""
    return policy.backend == "dra" and allocation.resource is not None and allocation.count > 0


def fixed_problem(fixed: FixedResources, policy: PolicySpec) -> str | None:
    """Say which limit of a trial the fixed resources exceed; None where none."""
    limits = policy.limits.trial
    if limits.gpus is not None and fixed.gpus > limits.gpus:
        return _exceeds("gpus", fixed.gpus, limits.gpus)
    for name, given, most in (
        ("cpu", fixed.cpu, limits.cpu),
        ("memory", fixed.memory, limits.memory),
    ):
        if given is not None and most is not None and parse_quantity(given) > parse_quantity(most):
            return _exceeds(name, given, most)
    return None


def _exceeds(name: str, given: object, most: object) -> str:
    return (
        f"spec.resources.fixed.{name} {given} exceeds limits.trial.{name} of the policy, "
        f"which allows {most}"
    )


def fixed_note(fixed: FixedResources, policy: PolicySpec) -> str:
    """Say what the policy does not know of the fixed accelerators; nothing where it knows them."""
    if not fixed.gpus or fixed_shape(fixed, policy) is not None:
        return ""
    known = list(dict.fromkeys(each.resource for each in policy.shapes if each.resource))
    has = f"shapes with {', '.join(known)}" if known else "no shape with accelerators"
    return (
        f"spec.resources.fixed.resource {fixed.resource}: the policy has {has}, so cost is "
        f"counted as 0; a shape with resource {fixed.resource} in its spec.shapes gives a price"
    )


def fixed_shape(fixed: FixedResources, policy: PolicySpec) -> Shape | None:
    """Find the shape whose price holds: the dearest, since any that has the resource may do."""
    wanted = fixed.resource if fixed.gpus else None
    suited = [shape for shape in policy.shapes if shape.resource == wanted]
    return max(suited, key=lambda shape: shape.price_per_hour, default=None)
