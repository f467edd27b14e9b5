"""Resources that an experiment fixes, against the policy's limits."""

from __future__ import annotations

from scaling_operator.api.experiment import FixedResources
from scaling_operator.api.policy import PolicySpec
from scaling_operator.api.quantities import parse_quantity


def fixed_problem(fixed: FixedResources, policy: PolicySpec) -> str | None:
    """Say which limit of a trial the fixed resources exceed; None where none."""
    limits = policy.limits.trial
    if limits.gpus is not None and fixed.gpus > limits.gpus:
        return f"spec.resources.fixed.gpus {fixed.gpus} exceeds the policy's {limits.gpus} a trial"
    for name, given, most in (
        ("cpu", fixed.cpu, limits.cpu),
        ("memory", fixed.memory, limits.memory),
    ):
        if given is not None and most is not None and parse_quantity(given) > parse_quantity(most):
            return f"spec.resources.fixed.{name} {given} exceeds the policy's {most} a trial"
    if fixed.gpus and not any(shape.resource == fixed.resource for shape in policy.shapes):
        return f"spec.resources.fixed.resource {fixed.resource}: no shape of the policy has it"
    return None
