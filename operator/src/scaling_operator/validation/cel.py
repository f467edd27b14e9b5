"""A rule in CEL, as a CustomResourceDefinition holds it, and words to write one with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from scaling_operator.api.names import LABEL_KEY_PATTERN, PARAMETER_NAME_PATTERN
from scaling_trainer.metric_names import METRIC_NAME_CHARACTERS, METRIC_NAME_PATTERN

_KEYS = {
    PARAMETER_NAME_PATTERN: "a name is one or more words joined by dots, each of letters, digits "
    "and _, not beginning with a digit",
    METRIC_NAME_PATTERN: f"a name has {METRIC_NAME_CHARACTERS}",
    LABEL_KEY_PATTERN: "a label is a name such as gpu-type or nvidia.com/gpu.product",
}


@dataclass(frozen=True, slots=True)
class Rule:
    """A condition that holds, what to say where it does not, and the field that is meant."""

    rule: str
    message: str
    field_path: str = ""
    reason: str = ""

    def rendered(self) -> dict[str, str]:
        """Render as an entry of x-kubernetes-validations."""
        entry = {"rule": self.rule, "message": self.message}
        if self.field_path:
            entry["fieldPath"] = self.field_path
        if self.reason:
            entry["reason"] = self.reason
        return entry


def literal(value: str | Sequence[str]) -> str:
    """Write a text or a list of texts as CEL does."""
    return json.dumps(value if isinstance(value, str) else list(value)).replace('"', "'")


def key_rule(pattern: str, longest: int | None) -> Rule:
    """Bound the keys of a map, which a structural schema cannot."""
    length = "" if longest is None else f"size(key) <= {longest} && "
    escaped = pattern.replace("\\", "\\\\")
    words = _KEYS.get(pattern, _KEYS[PARAMETER_NAME_PATTERN])
    rule = f"self.all(key, {length}key.matches('{escaped}'))"
    return Rule(rule, f"{words}; at most {longest} characters")


def given(field: str) -> str:
    """Write that a list is there and not empty."""
    return f"(has(self.{field}) && size(self.{field}) > 0)"


def count(field: str) -> str:
    """Write the length of a list, 0 where it is absent."""
    return f"(has(self.{field}) ? size(self.{field}) : 0)"
