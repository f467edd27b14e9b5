"""From pydantic's JSON schema to Kubernetes' structural schema.

The differences, in the order of the code: references are written out; null is left out, since a
field that may be null may be absent; a union with a discriminator becomes one object; a union of
plain values has no type; exclusive bounds are numbers and a flag. Unknown fields need no word in
the schema: kubectl refuses them, other clients' are dropped. The rules in CEL are those of `rules`.
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from pydantic import BaseModel

from scaling_operator.api.names import LABEL_KEY_PATTERN, PARAMETER_NAME_PATTERN
from scaling_operator.api.rules import Rule
from scaling_operator.validation.crd_union import merge
from scaling_operator.validation.model_fields import sections_within
from scaling_operator.validation.rules import rules_of
from scaling_trainer.metric_names import METRIC_NAME_CHARACTERS, METRIC_NAME_PATTERN

Schema = dict[str, Any]

_RULES = "x-kubernetes-validations"
# Keywords that both schemas share.
_KEPT = (
    "type",
    "description",
    "enum",
    "pattern",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "required",
    "x-kubernetes-int-or-string",
    _RULES,
)
_BOUNDS = {
    "exclusiveMinimum": "minimum",
    "exclusiveMaximum": "maximum",
    "minimum": "minimum",
    "maximum": "maximum",
}
LARGEST_BOUND = 2**53
"""The API server turns a larger bound into a 64-bit integer, which overflows and refuses all."""
_FORMATS = {"integer": "int64", "number": "double"}
_NAMES = {
    PARAMETER_NAME_PATTERN: "a name is one or more words joined by dots, each of letters, digits "
    "and _, not beginning with a digit",
    METRIC_NAME_PATTERN: f"a name has {METRIC_NAME_CHARACTERS}",
    LABEL_KEY_PATTERN: "a label is a name such as gpu-type or nvidia.com/gpu.product",
}
_PLAIN = ("string", "boolean", "integer", "number")


def structural(model: type[BaseModel]) -> Schema:
    """Translate a model. Raises ValueError where a part of it has no structural form."""
    document = model.model_json_schema(by_alias=True)
    definitions: Mapping[str, Any] = document.pop("$defs", {})
    for section in sections_within(model):
        rules = [rule.rendered() for rule in rules_of(section)]
        if rules:
            schema = document if section is model else definitions[section.__name__]
            schema[_RULES] = rules
    return _node(document, definitions)


def _node(source: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    if "$ref" in source:
        name = str(source["$ref"]).rpartition("/")[2]
        target = {**definitions[name], **{k: v for k, v in source.items() if k != "$ref"}}
        return _node(target, definitions)
    if "discriminator" in source:
        return _described(_union(source, definitions), source)
    if "x-kubernetes-int-or-string" in source:
        return _described({**_kept(source), "anyOf": source["anyOf"]}, source)
    if "anyOf" in source:
        return _described(_any_of(source, definitions), source)
    node = _kept(source)
    if source.get("type") == "object":
        _object(node, source, definitions)
    elif source.get("type") == "array":
        node["items"] = _node(source["items"], definitions)
    return _described(node, source)


def _kept(source: Mapping[str, Any]) -> Schema:
    node = {key: source[key] for key in _KEPT if key in source}
    if "const" in source:
        node["enum"] = [source["const"]]
    form = _FORMATS.get(source.get("type", ""), source.get("format"))
    if form is not None:
        node["format"] = form
    for key, bound in _BOUNDS.items():
        if key in source and abs(source[key]) <= LARGEST_BOUND:
            node[bound] = source[key]
            if key != bound:
                node[key] = True
    return node


def _described(node: Schema, source: Mapping[str, Any]) -> Schema:
    """Give a node its field's description, with the default that the reader of the API fills in."""
    text = str(source.get("description") or node.get("description") or "")
    default = source.get("default")
    if text and isinstance(default, str | int | float) and default != "":
        shown = str(default).lower() if isinstance(default, bool) else str(default)
        text = f"{text} Default: {shown}."
    rest = {key: value for key, value in node.items() if key != "description"}
    return {"description": text, **rest} if text else rest


def _object(node: Schema, source: Mapping[str, Any], definitions: Mapping[str, Any]) -> None:
    properties: Mapping[str, Any] = source.get("properties", {})
    if properties or source.get("additionalProperties") is False:
        if properties:  # the API server drops an empty map, and would then differ from the file
            fields = {name: _node(child, definitions) for name, child in properties.items()}
            node["properties"] = fields
        if _RULES in node:  # behind the fields that they speak of
            node[_RULES] = node.pop(_RULES)
        return
    values: list[Any] = list(source.get("patternProperties", {}).values())
    additional = source.get("additionalProperties")
    values += [additional] if isinstance(additional, dict) else []
    value = _node(values[0], definitions) if values else {}
    if not values or _has_no_type(value):
        # CEL sees no map whose values have no type, but it sees an object with unknown fields.
        node["x-kubernetes-preserve-unknown-fields"] = True
        return
    node["additionalProperties"] = value
    for pattern in source.get("patternProperties", {}):
        longest = source.get("propertyNames", {}).get("maxLength")
        node[_RULES] = [_name_rule(pattern, longest).rendered()]


def _name_rule(pattern: str, longest: int | None) -> Rule[Any]:
    """Bound the keys of a map, which a structural schema cannot."""
    length = "" if longest is None else f"size(key) <= {longest} && "
    escaped = pattern.replace("\\", "\\\\")
    words = _NAMES.get(pattern, _NAMES[PARAMETER_NAME_PATTERN])
    return Rule(
        cel=f"self.all(key, {length}key.matches('{escaped}'))",
        message=f"{words}; at most {longest} characters",
    )


def _has_no_type(node: Mapping[str, Any]) -> bool:
    return "type" not in node or (node["type"] == "array" and "type" not in node["items"])


def _any_of(source: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    arms = [_node(arm, definitions) for arm in source["anyOf"] if arm.get("type") != "null"]
    if len(arms) == 1:
        return arms[0]
    types = {arm.get("type") for arm in arms}
    if types == {"string"} and all("enum" in arm for arm in arms):
        values = dict.fromkeys(value for arm in arms for value in arm["enum"])
        return {"type": "string", "enum": list(values)}
    if types <= set(_PLAIN):
        return {"x-kubernetes-preserve-unknown-fields": True, **_longest(arms)}
    message = f"a union of {sorted(map(str, types))} has no structural form"
    raise ValueError(message)


def _longest(arms: Iterable[Mapping[str, Any]]) -> Schema:
    """Bound the text of a union of plain values; other kinds are not looked at by maxLength."""
    lengths = [arm["maxLength"] for arm in arms if "maxLength" in arm]
    return {"maxLength": max(lengths)} if lengths else {}


def _union(source: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    discriminator = cast("Mapping[str, Any]", source["discriminator"])
    references = dict.fromkeys(str(variant["$ref"]) for variant in source["oneOf"])
    variants = {
        reference.rpartition("/")[2]: _node({"$ref": reference}, definitions)
        for reference in references
    }
    return merge(str(discriminator["propertyName"]), variants)
