"""The tables of the guide to the experiment file, written from the models.

A page holds `<!-- fields: spec.trials -->` and `<!-- end -->`; between them stands the table of
that section: its fields, what they take, their defaults and what they mean.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, cast

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.fields import DURATION_PATTERN
from scaling_operator.api.names import PARAMETER_NAME_PATTERN
from scaling_operator.api.policy import PolicySpec
from scaling_operator.api.problems import below
from scaling_operator.api.quantities import QUANTITY_PATTERN
from scaling_operator.validation import model_fields
from scaling_trainer.metric_names import METRIC_NAME_PATTERN

Sections = tuple[model_fields.SectionClass, ...]
_MARKED = re.compile(r"(<!-- fields: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
_TEXTS = {
    DURATION_PATTERN: "duration",
    QUANTITY_PATTERN: "quantity",
    PARAMETER_NAME_PATTERN: "name of a parameter",
    METRIC_NAME_PATTERN: "name",
}
_SCALAR_KINDS = 2


def fill(page: str) -> str:
    """Write the tables of a page anew. Raises KeyError for a section that there is not."""
    by_path = {**sections(), **policy_sections()}
    return _MARKED.sub(lambda mark: f"{mark[1]}\n{table(by_path[mark[2]])}\n{mark[3]}", page)


@cache
def sections() -> Mapping[str, Sections]:
    """Sections of a spec by path: `spec.search.parameters.<name>`, `spec.scaling.targets[]`."""
    return dict(_sections((ExperimentSpec,), "spec"))


@cache
def policy_sections() -> Mapping[str, Sections]:
    """Sections of a policy's spec by path, which begins with `policy`: `policy.shapes[]`."""
    return dict(_sections((PolicySpec,), "policy"))


def _sections(variants: Sections, path: str) -> Iterator[tuple[str, Sections]]:
    yield path, variants
    inner: dict[str, dict[model_fields.SectionClass, None]] = {}
    for section in variants:
        for name, info in model_fields.fields_of(section).items():
            for step, annotation in _below(info.annotation):
                classes = dict.fromkeys(model_fields.sections_of(annotation))
                inner.setdefault(below(path, name) + step, {}).update(classes)
    for place, classes in inner.items():
        if classes:
            yield from _sections(tuple(classes), place)


def _below(annotation: Any) -> Iterator[tuple[str, Any]]:
    yield "", annotation
    for kind in model_fields.alternatives(annotation):
        for item in model_fields.items_of(kind):
            yield (".<name>" if "dict" in str(kind) else "[]"), item


def table(variants: Sections) -> str:
    """Render the fields of a section in Markdown; of a union its variants first."""
    field = model_fields.discriminator(variants)
    rows = tuple(_rows(variants, field))
    if field is None:
        head = ("field", "takes", "default", "meaning")
        body = [(f"`{name}`", *cells) for name, _, cells in rows]
        return _markdown(head, body) if rows else "It has no fields: write `{}`.\n"
    described = [
        (_ticked(model_fields.tags_of(variant, field)), _one_line(variant.__doc__ or ""))
        for variant in variants
    ]
    head = ("field", f"with `{field}`", "takes", "default", "meaning")
    body = [(f"`{name}`", tags, *cells) for name, tags, cells in rows]
    return _markdown((f"`{field}`", "required"), described) + "\n" + _markdown(head, body)


def _markdown(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *body]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _ticked(names: Sequence[object]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip().replace("|", "\\|")


Cells = tuple[str, str, str]


def _rows(variants: Sections, field: str | None) -> Iterator[tuple[str, str, Cells]]:
    """Give the rows of each field: one, or one for each group of variants that treat it alike."""
    groups: dict[tuple[str, Cells], list[str]] = {}
    for section in variants:
        tags = () if field is None else model_fields.tags_of(section, field)
        for name, info in model_fields.fields_of(section).items():
            if name != field:
                groups.setdefault((name, _cells(section, name, info)), []).extend(tags)
    every = [] if field is None else list(model_fields.all_tags(variants, field))
    order = {name: place for place, (name, _) in reversed(list(enumerate(groups)))}
    for (name, cells), tags in sorted(groups.items(), key=lambda group: order[group[0][0]]):
        yield name, "any" if tags == every else _ticked(tags), cells


def _cells(section: model_fields.SectionClass, name: str, info: FieldInfo) -> Cells:
    schema = _schema(section)["properties"][name]
    return _one_line(takes(schema)), _default(info), _one_line(info.description or "")


@cache
def _schema(section: model_fields.SectionClass) -> Mapping[str, Any]:
    return section.model_json_schema(by_alias=True)


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    value: Any = info.default
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json", exclude_unset=True)
    if value is None or (isinstance(value, str | tuple | dict) and not value):
        return ""
    return f"`{value}`" if isinstance(value, str) else f"`{json.dumps(value)}`"


def takes(schema: Mapping[str, Any]) -> str:
    """Say what a field takes, from its JSON schema."""
    if "x-kubernetes-int-or-string" in schema:
        return "quantity"
    arms = [arm for arm in schema.get("anyOf", ()) if arm.get("type") != "null"]
    if len(arms) > _SCALAR_KINDS:
        return "number, text, true or false"
    if arms:
        return " or ".join(dict.fromkeys(takes(arm) for arm in arms))
    if "enum" in schema or "const" in schema:
        return _ticked(schema.get("enum", [schema.get("const")]))
    return _KINDS.get(str(schema.get("type")), _section)(schema)


def _section(_: Mapping[str, Any]) -> str:
    return "section"


def _list(schema: Mapping[str, Any]) -> str:
    return f"list{_most(schema, 'Items')}: {takes(schema['items'])}"


def _mapping(schema: Mapping[str, Any]) -> str:
    values = list(cast("dict[str, Any]", schema.get("patternProperties", {})).values())
    inside = takes(values[0]) if values else "anything"
    return f"mapping{_most(schema, 'Properties')} of names to: {inside}"


def _text(schema: Mapping[str, Any]) -> str:
    return _TEXTS.get(str(schema.get("pattern")), f"text{_most(schema, 'Length')}")


def _number_in(schema: Mapping[str, Any]) -> str:
    words = {"integer": "whole number", "number": "number"}
    return words[schema["type"]] + _range(schema)


def _truth(_: Mapping[str, Any]) -> str:
    return "`true`, `false`"


_KINDS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "array": _list,
    "object": _mapping,
    "string": _text,
    "integer": _number_in,
    "number": _number_in,
    "boolean": _truth,
}


def _most(schema: Mapping[str, Any], what: str) -> str:
    most = schema.get(f"max{what}")
    return "" if most is None else f" (at most {most:,})"


def _range(schema: Mapping[str, Any]) -> str:
    if "minimum" in schema and "maximum" in schema:
        return f", {_number(schema['minimum'])} to {_number(schema['maximum'])}"
    signs = {
        "exclusiveMinimum": "above",
        "minimum": "at least",
        "exclusiveMaximum": "below",
        "maximum": "at most",
    }
    words = [f"{sign} {_number(schema[key])}" for key, sign in signs.items() if key in schema]
    return "".join(f", {bound}" for bound in words)


def _number(value: float) -> str:
    names = {2**53: "2^53", -(2**53): "-2^53", 2**32 - 1: "2^32 - 1"}
    return names.get(int(value), f"{value:,}") if float(value).is_integer() else f"{value}"
