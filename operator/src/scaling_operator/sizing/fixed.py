"""Resources that an experiment fixes, against a policy: its limits bind them, its shapes do not."""

from __future__ import annotations

from scaling_operator.api.experiment import FixedResources
from scaling_operator.api.policy import PolicySpec, Shape
from scaling_operator.api.quantities import parse_quantity


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
