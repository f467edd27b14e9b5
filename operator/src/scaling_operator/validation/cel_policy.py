"""Rules of a policy, and of `spec.resources`, in CEL, by the name of the model."""

from __future__ import annotations

from collections.abc import Mapping

from scaling_operator.validation.cel import Rule


def _above_zero(field: str) -> Rule:
    value = f"self.{field}"
    return Rule(
        f"!has({value}) || (type({value}) == int ? {value} > 0 : "
        f"isQuantity({value}) && quantity({value}).isGreaterThan(quantity('0')))",
        f"{field} must be above 0",
        f".{field}",
    )


POLICY_RULES: Mapping[str, tuple[Rule, ...]] = {
    "Shape": (
        Rule(
            "!has(self.resource) || has(self.memory)",
            "memory is required with resource: an accelerator has memory",
            ".memory",
            "FieldValueRequired",
        ),
        Rule(
            "has(self.resource) || !has(self.maxPerPod) || self.maxPerPod == 1",
            "maxPerPod goes with resource only",
            ".maxPerPod",
        ),
        _above_zero("memory"),
        _above_zero("hostMemory"),
    ),
    "PolicySpec": (
        Rule(
            "self.shapes.all(one, self.shapes.exists_one(other, other.name == one.name))",
            "each shape has a name of its own",
            ".shapes",
        ),
        Rule(
            "!has(self.backend) || self.backend != 'dra' || "
            "self.shapes.all(each, !has(each.resource) || has(each.deviceClass))",
            "backend dra needs deviceClass of every shape with a resource",
            ".backend",
        ),
    ),
    "Resources": (
        Rule("!(has(self.estimate) && has(self.fixed))", "set at most one of estimate, fixed"),
    ),
}
