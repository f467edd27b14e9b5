"""The rules in CEL of a CRD, asked without an API server: those that a document breaks.

The library knows CEL's own functions; those of Kubernetes' libraries that the rules use are here.
https://kubernetes.io/docs/reference/using-api/cel/
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple, cast

import pytest

from scaling_operator.api.quantities import parse_quantity
from scaling_operator.validation.crd import Definition, definition

cel: Any = pytest.importorskip("cel", reason="common-expression-language is not installed")


class Broken(NamedTuple):
    """A rule that a document breaks, the field that is named, and what is said."""

    cel: str
    path: str
    message: str


def is_sorted(items: list[Any]) -> bool:
    return list(items) == sorted(items)


def split(text: str, separator: str) -> list[str]:
    return text.split(separator)


def is_above(value: float, bound: float) -> bool:
    return value > bound


def largest(items: list[Any]) -> Any:
    return max(items)


def is_quantity(_: str) -> bool:
    return True


LIBRARY: Mapping[str, Callable[..., Any]] = {
    "isSorted": is_sorted,
    "max": largest,
    "split": split,
    "isQuantity": is_quantity,
    "quantity": parse_quantity,
    "isGreaterThan": is_above,
}


@cache
def schema_of(kind: Definition) -> Mapping[str, Any]:
    return definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def broken_rules(
    kind: Definition, document: Mapping[str, Any], before: Mapping[str, Any] | None = None
) -> tuple[Broken, ...]:
    """Find the rules that a document breaks; `before`, where it is a change, is the stored one."""
    schema = schema_of(kind)
    new = typed(schema, document)
    old = None if before is None else typed(schema, before)
    return tuple(walk(schema, new, old, ""))


def typed(schema: Mapping[str, Any], value: Any) -> Any:
    """Give numbers the types of CEL: a whole number may stand for a double."""
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        return {key: typed(child_schema(schema, key), child) for key, child in fields.items()}
    if isinstance(value, list):
        return [typed(schema.get("items", {}), item) for item in cast("list[Any]", value)]
    is_number = schema.get("type") == "number" and type(value) is int
    return float(value) if is_number else value


def child_schema(schema: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    properties: Mapping[str, Any] = schema.get("properties", {})
    return properties.get(key, schema.get("additionalProperties", {}))


def walk(schema: Mapping[str, Any], new: Any, old: Any, path: str) -> Iterator[Broken]:
    for rule in schema.get("x-kubernetes-validations", ()):
        is_of_change = "oldSelf" in rule["rule"]
        if (old is not None or not is_of_change) and not holds(rule["rule"], new, old):
            named = (path + rule.get("fieldPath", "")).lstrip(".")
            yield Broken(rule["rule"], named, rule["message"])
    if isinstance(new, dict):
        for key, child in cast("dict[str, Any]", new).items():
            below = f"{path}.{key}" if key in schema.get("properties", {}) else f"{path}[{key}]"
            before = cast("dict[str, Any]", old).get(key) if isinstance(old, dict) else None
            yield from walk(child_schema(schema, key), child, before, below.lstrip("."))
    elif isinstance(new, list):
        for index, item in enumerate(cast("list[Any]", new)):
            yield from walk(schema.get("items", {}), item, None, f"{path}[{index}]")


def holds(rule: str, new: Any, old: Any) -> bool:
    variables = {"self": new} if old is None else {"self": new, "oldSelf": old}
    try:
        return program(rule).execute(cel.Context(variables, dict(LIBRARY)))
    except (
        KeyError
    ):  # a field that is not there: an API server refuses a rule that ends in an error
        return False


@cache
def program(rule: str) -> Any:
    return cel.compile(rule)
