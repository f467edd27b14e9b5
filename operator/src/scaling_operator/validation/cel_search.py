"""Rules of search and scaling in CEL, by the name of the model. The models say the same in Python.

Kubernetes' list library is used beside CEL's own functions: isSorted and max.
"""

from __future__ import annotations

from collections.abc import Mapping

from scaling_operator.api.names import MAX_SCALES
from scaling_operator.validation.cel import Rule, count, given


def _ascending(field: str) -> tuple[Rule, ...]:
    return (
        Rule(
            f"!has(self.{field}) || self.{field}.isSorted()",
            f"{field} must ascend",
            f".{field}",
        ),
        Rule(
            f"!has(self.{field}) || "
            f"self.{field}.all(one, self.{field}.exists_one(other, other == one))",
            f"each of {field} may stand once",
            f".{field}",
        ),
    )


def _goes_with(design: str, field: str) -> Rule:
    return Rule(
        f"(has(self.design) && self.design == '{design}') == {given(field)}",
        f"design {design} and {field} go together",
        f".{field}",
    )


# Numbers, also for int: float and int share one object, whose low and high are numbers.
_RANGE = (
    Rule("self.low <= self.high", "low must be at most high", ".low"),
    Rule("!has(self.log) || !self.log || self.low > 0.0", "log needs low above 0", ".low"),
    Rule(
        "!has(self.log) || !self.log || !has(self.step)",
        "step does not go with log; leave one of them out",
        ".step",
        "FieldValueForbidden",
    ),
    Rule(
        "!has(self.step) || self.low == self.high || self.step <= self.high - self.low",
        "step exceeds the range from low to high",
        ".step",
    ),
)
_SCALES = " * ".join(
    (
        f"({count('sizes')} + {count('rungs')} + "
        "(has(self.refine) && has(self.refine.maxSizes) ? self.refine.maxSizes : 0))",
        f"[{count('data')}, {count('budgets')}, 1].max()",
    )
)
_SCALING = (
    Rule(
        f"{given('rungs')} ? !has(self.parameter) && !{given('sizes')} : "
        f"has(self.parameter) && {given('sizes')}",
        "set parameter and sizes, or rungs",
        ".parameter",
    ),
    *_ascending("sizes"),
    *_ascending("data"),
    *_ascending("budgets"),
    _goes_with("grid", "data"),
    _goes_with("isoflop", "budgets"),
    Rule(
        f"!{given('rungs')} || !has(self.refine) || !has(self.refine.maxSizes) || "
        "self.refine.maxSizes == 0",
        "sizes can only be added to parameter and sizes, not to rungs",
        ".refine",
    ),
    Rule(
        f"{_SCALES} <= {MAX_SCALES}",
        f"at most {MAX_SCALES} scales in all, refined ones included",
        ".sizes",
    ),
)
_SEARCH = (
    Rule(
        "!has(self.algorithm) || self.algorithm.name != 'grid' || !has(self.parameters) || "
        "self.parameters.all(name, self.parameters[name].type != 'float' || "
        "has(self.parameters[name].step) || "
        "self.parameters[name].low == self.parameters[name].high)",
        "algorithm grid cannot count the values of a float: give it a step, or choices",
        ".parameters",
    ),
)
_TARGETS = ("flops", "parameters", "loss", "cost")
_GIVEN_TARGETS = f"[{', '.join(f'has(self.{each})' for each in _TARGETS)}]"
SEARCH_RULES: Mapping[str, tuple[Rule, ...]] = {
    "FloatParameter": _RANGE,
    "IntParameter": _RANGE,
    "HyperbandPruner": (
        Rule(
            "self.maxSteps >= (has(self.minSteps) ? self.minSteps : 1) * "
            "(has(self.reductionFactor) ? self.reductionFactor : 3)",
            "maxSteps leaves no rung; it must be at least minSteps x reductionFactor",
            ".maxSteps",
        ),
    ),
    "Search": _SEARCH,
    "Scaling": _SCALING,
    "Target": (
        Rule(
            f"{_GIVEN_TARGETS}.exists_one(each, each) || "
            f"(has(self.inferenceTokens) && !{_GIVEN_TARGETS}.exists(each, each))",
            f"set exactly one of {', '.join(_TARGETS)}, or inferenceTokens",
        ),
        Rule(
            "!has(self.inferenceTokens) || !(has(self.parameters) || has(self.cost))",
            "inferenceTokens stands alone or beside flops or loss",
            ".inferenceTokens",
        ),
    ),
}
