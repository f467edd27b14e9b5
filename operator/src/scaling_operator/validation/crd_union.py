"""A union with a discriminator as one object: all fields, and rules that say which go together.

A structural schema has no `oneOf` with types. So the object has the fields of every variant, each
with its widest bounds, and CEL rules narrow them again by the discriminator.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from scaling_operator.api.rules import Rule, literal

Schema = dict[str, Any]
Variants = Mapping[str, Schema]


def merge(field: str, variants: Variants) -> Schema:
    """Merge the variants (by the name of their model) that `field` tells apart."""
    names = dict.fromkeys(name for variant in variants.values() for name in variant["properties"])
    properties = {name: _merged_field(name, variants) for name in names if name != field}
    tags = [tag for variant in variants.values() for tag in _tags(variant, field)]
    chooser = {"type": "string", "enum": tags, "description": _chooser(field, variants)}
    required = [
        name
        for name in names
        if all(name in variant.get("required", ()) for variant in variants.values())
    ]
    rules = [
        rule.rendered()
        for rule in (
            *_applies(field, variants, properties),
            *_required(field, variants, required, properties),
            *_narrowed(field, variants, properties),
            *_own(field, variants),
        )
    ]
    hidden = [name for name in properties if not visible(properties[name])]
    return {
        "type": "object",
        "required": [field, *(name for name in required if name != field)],
        "properties": {field: chooser, **properties},
        **({"x-kubernetes-validations": rules} if rules else {}),
        **_hidden(field, variants, hidden),
    }


def visible(node: Mapping[str, Any]) -> bool:
    """Whether CEL sees a field: values without a type, and lists of them, it does not."""
    if node.get("type") == "array":
        return visible(node["items"])
    return "type" in node or "x-kubernetes-int-or-string" in node


def _tags(variant: Schema, field: str) -> list[str]:
    return list(variant["properties"][field]["enum"])


def _chooser(field: str, variants: Variants) -> str:
    lines = [
        f"{', '.join(_tags(variant, field))}: {str(variant.get('description', '')).rstrip('.')}"
        for variant in variants.values()
    ]
    return f"{'; '.join(lines)}."


def _holders(name: str, variants: Variants) -> list[Schema]:
    return [variant for variant in variants.values() if name in variant["properties"]]


def _merged_field(name: str, variants: Variants) -> Schema:
    fields = [variant["properties"][name] for variant in _holders(name, variants)]
    merged = dict(fields[0])
    if any(node.get("type") != merged.get("type") for node in fields):
        merged |= {"type": "number", "format": "double"}  # integer in one, number in another
    for bound, widest in (("minimum", min), ("maximum", max)):
        _widen(merged, fields, bound, widest)
    if "enum" in merged:
        merged["enum"] = list(dict.fromkeys(value for node in fields for value in node["enum"]))
    texts = dict.fromkeys(str(node.get("description", "")) for node in fields)
    merged["description"] = " / ".join(texts)
    return merged


def _widen(merged: Schema, fields: Sequence[Schema], bound: str, widest: Any) -> None:
    exclusive = f"exclusive{bound.capitalize()}"
    merged.pop(exclusive, None)
    if any(bound not in node for node in fields):
        merged.pop(bound, None)
        return
    if bound in merged:
        merged[bound] = widest(node[bound] for node in fields)
        at_bound = [node for node in fields if node[bound] == merged[bound]]
        if all(exclusive in node for node in at_bound):
            merged[exclusive] = True


def _is_one_of(field: str, tags: Iterable[str]) -> str:
    names = list(tags)
    if len(names) == 1:
        return f"self.{field} == {literal(names[0])}"
    return f"self.{field} in {literal(names)}"


def _is_none_of(field: str, tags: Iterable[str]) -> str:
    names = list(tags)
    if len(names) == 1:
        return f"self.{field} != {literal(names[0])}"
    return f"!(self.{field} in {literal(names)})"


def _applies(field: str, variants: Variants, properties: Schema) -> Iterator[Rule[Any]]:
    """Fields that go with some variants only."""
    for name, node in properties.items():
        holders = _holders(name, variants)
        if len(holders) == len(variants) or not visible(node):
            continue
        tags = [tag for variant in holders for tag in _tags(variant, field)]
        rule = f"!has(self.{name}) || {_is_one_of(field, tags)}"
        message = f"{name} goes with {field} {', '.join(tags)} only"
        yield Rule(cel=rule, message=message, field=name, reason="FieldValueForbidden")


def _required(
    field: str, variants: Variants, everywhere: Sequence[str], properties: Schema
) -> Iterator[Rule[Any]]:
    """Fields that some variants require."""
    for name in properties:
        holders = [variant for variant in variants.values() if name in variant.get("required", ())]
        if not holders or name in everywhere or not visible(properties[name]):
            continue
        tags = [tag for variant in holders for tag in _tags(variant, field)]
        rule = f"has(self.{name}) || {_is_none_of(field, tags)}"
        message = f"{name} is required with {field} {', '.join(tags)}"
        yield Rule(cel=rule, message=message, field=name, reason="FieldValueRequired")


def _narrowed(field: str, variants: Variants, properties: Schema) -> Iterator[Rule[Any]]:
    """Bounds that are narrower in some variants than in the merged field."""
    for variant in variants.values():
        for name, node in variant["properties"].items():
            if name == field or not visible(node):
                continue
            for condition, words in _bounds(name, node, properties[name]):
                tags = _tags(variant, field)
                rule = f"!has(self.{name}) || {_is_none_of(field, tags)} || {condition}"
                message = f"{name} {words} with {field} {', '.join(tags)}"
                yield Rule(cel=rule, message=message, field=name)


def _bounds(name: str, own: Schema, merged: Schema) -> Iterator[tuple[str, str]]:
    if own.get("type") == "integer" and merged.get("type") == "number":
        yield f"self.{name} == double(int(self.{name}))", "must be a whole number"
    for bound, signs, words in (
        ("minimum", (">", ">="), ("above", "at least")),
        ("maximum", ("<", "<="), ("below", "at most")),
    ):
        exclusive = f"exclusive{bound.capitalize()}"
        if bound in own and (own[bound], own.get(exclusive)) != (
            merged.get(bound),
            merged.get(exclusive),
        ):
            index = 0 if own.get(exclusive) else 1
            number = float(own[bound]) if merged.get("type") == "number" else own[bound]
            yield f"self.{name} {signs[index]} {number!r}", f"must be {words[index]} {own[bound]}"
    if "enum" in own and own["enum"] != merged["enum"]:
        yield f"self.{name} in {literal(own['enum'])}", f"must be one of {own['enum']}"


def _own(field: str, variants: Variants) -> Iterator[Rule[Any]]:
    """Rules of the variants themselves; one that all share stands once and unguarded."""
    tags_by_rule: dict[str, list[str]] = {}
    rules: dict[str, Mapping[str, str]] = {}
    for variant in variants.values():
        for rule in variant.get("x-kubernetes-validations", ()):
            rules[rule["rule"]] = rule
            tags_by_rule.setdefault(rule["rule"], []).extend(_tags(variant, field))
    count = sum(len(_tags(variant, field)) for variant in variants.values())
    for text, tags in tags_by_rule.items():
        rule = rules[text]
        guarded = text if len(tags) == count else f"{_is_none_of(field, tags)} || ({text})"
        path = rule.get("fieldPath", "").removeprefix(".")
        yield Rule(cel=guarded, message=rule["message"], field=path, reason=rule.get("reason", ""))


def _hidden(field: str, variants: Variants, names: Sequence[str]) -> Schema:
    """Say by value validations which variants require a field that CEL does not see."""
    choices: list[Schema] = []
    for name in names:
        holders = [variant for variant in variants.values() if name in variant.get("required", ())]
        others = [variant for variant in variants.values() if name not in variant["properties"]]
        inside = [tag for variant in holders for tag in _tags(variant, field)]
        outside = [tag for variant in others for tag in _tags(variant, field)]
        if inside and outside:
            choices += [
                {"properties": {field: {"enum": inside}}, "required": [name]},
                {"properties": {field: {"enum": outside}}, "not": {"required": [name]}},
            ]
    return {"anyOf": choices} if choices else {}
