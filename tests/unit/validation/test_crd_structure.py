"""The generated CRDs keep the documented rules of structural schemas."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from ruamel.yaml import YAML

from scaling_operator.generate import CRD_FOLDERS, HEADER, crd_files, write_crds
from scaling_operator.validation.crd import KINDS, Definition, definition

ROOT = Path(__file__).parents[3]
Node = Mapping[str, Any]
Visit = tuple[str, Node]

ALLOWED = {
    "additionalProperties",
    "anyOf",
    "default",
    "description",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "pattern",
    "properties",
    "required",
    "type",
    "x-kubernetes-int-or-string",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-validations",
}
# Inside anyOf a schema restricts values; it may not describe them anew.
OUTSIDE_ONLY = {"type", "description", "default", "additionalProperties", "format", "nullable"}
TYPES = {"object", "array", "string", "integer", "number", "boolean"}
FIELD_PATH = re.compile(r"(\.[A-Za-z_][A-Za-z0-9_]*)+")

of_each_kind = pytest.mark.parametrize("kind", KINDS, ids=[kind.kind for kind in KINDS])


def schema_of(kind: Definition) -> Node:
    return definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def walk(node: Node, path: str = "") -> Iterator[Visit]:
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from walk(child, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in node:
            yield from walk(node[key], f"{path}.{key}")


def offenders(kind: Definition, is_wrong: Callable[[Node], bool]) -> list[str]:
    return [path for path, node in walk(schema_of(kind)) if is_wrong(node)]


@of_each_kind
def test_no_keyword_is_used_that_a_structural_schema_forbids(kind: Definition) -> None:
    assert offenders(kind, lambda node: not node.keys() <= ALLOWED) == []


@of_each_kind
def test_every_value_has_a_type_unless_it_may_be_anything(kind: Definition) -> None:
    free = ("x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields")

    def is_wrong(node: Node) -> bool:
        return node.get("type") not in TYPES and not any(node.get(flag) is True for flag in free)

    assert offenders(kind, is_wrong) == []


@of_each_kind
def test_objects_name_their_fields_or_their_values_never_both(kind: Definition) -> None:
    def is_wrong(node: Node) -> bool:
        has_type = node.get("type") == "object"
        both = "properties" in node and "additionalProperties" in node
        return both or (not has_type and ("properties" in node or "required" in node))

    assert offenders(kind, is_wrong) == []


@of_each_kind
def test_lists_say_what_they_hold(kind: Definition) -> None:
    assert offenders(kind, lambda node: (node.get("type") == "array") != ("items" in node)) == []


@of_each_kind
def test_required_fields_exist(kind: Definition) -> None:
    def is_wrong(node: Node) -> bool:
        return not set(node.get("required", ())) <= set(node.get("properties", {}))

    assert offenders(kind, is_wrong) == []


@of_each_kind
def test_exclusive_bounds_are_flags_beside_a_bound(kind: Definition) -> None:
    def is_wrong(node: Node) -> bool:
        return any(
            node[f"exclusive{end}"] is not True or end.lower() not in node
            for end in ("Minimum", "Maximum")
            if f"exclusive{end}" in node
        )

    assert offenders(kind, is_wrong) == []


@of_each_kind
def test_alternatives_only_restrict_fields_that_are_declared(kind: Definition) -> None:
    def is_wrong(node: Node) -> bool:
        if node.get("x-kubernetes-int-or-string"):
            return node["anyOf"] != [{"type": "integer"}, {"type": "string"}]
        declared = set(node.get("properties", {}))
        return any(
            arm.keys() & OUTSIDE_ONLY
            or not set(arm.get("properties", {})) <= declared
            or not set(arm.get("required", ())) <= declared
            for arm in node.get("anyOf", ())
        )

    assert offenders(kind, is_wrong) == []


@of_each_kind
def test_every_text_list_and_map_of_ours_is_bounded_and_every_field_described(
    kind: Definition,
) -> None:
    bounds = {"string": "maxLength", "array": "maxItems"}

    def is_wrong(node: Node) -> bool:
        bound = bounds.get(str(node.get("type")))
        is_map = "additionalProperties" in node or (
            "x-kubernetes-preserve-unknown-fields" in node and node.get("type") == "object"
        )
        bound = "maxProperties" if is_map else bound
        return bound is not None and not node.keys() & {bound, "enum", "format"}

    ours = [
        (path, node)
        for path, node in walk(schema_of(kind))
        if path.startswith((".spec", ".status"))
    ]
    assert [path for path, node in ours if is_wrong(node)] == []
    assert [
        path
        for path, node in ours
        if not path.endswith((".items", ".additionalProperties")) and not node.get("description")
    ] == []


@of_each_kind
def test_rules_have_a_message_and_point_at_fields_that_exist(kind: Definition) -> None:
    for path, node in walk(schema_of(kind)):
        for rule in node.get("x-kubernetes-validations", ()):
            assert rule.keys() <= {"rule", "message", "fieldPath", "reason"}, path
            assert rule["rule"].strip(), path
            assert rule["message"].strip(), path
            assert len(rule["message"]) < 2048, path
            assert "\n" not in rule["message"] + rule["rule"], path
            assert rule.get("reason", "FieldValueForbidden") in {
                "FieldValueForbidden",
                "FieldValueRequired",
            }
            if "fieldPath" in rule:
                _assert_exists(node, rule["fieldPath"])


def _assert_exists(node: Node, field_path: str) -> None:
    assert FIELD_PATH.fullmatch(field_path), field_path
    for name in field_path[1:].split("."):
        assert name in node["properties"], field_path
        node = node["properties"][name]


@of_each_kind
def test_parentheses_and_quotes_of_rules_are_closed(kind: Definition) -> None:
    for path, node in walk(schema_of(kind)):
        for rule in node.get("x-kubernetes-validations", ()):
            text = re.sub(r"'[^']*'", "''", rule["rule"])
            assert text.count("(") == text.count(")"), (path, rule)
            assert text.count("[") == text.count("]"), (path, rule)
            assert "'" not in text.replace("''", ""), (path, rule)


@of_each_kind
def test_metadata_is_restricted_to_the_name(kind: Definition) -> None:
    metadata = schema_of(kind)["properties"]["metadata"]

    assert set(metadata) <= {"type", "properties"}
    assert set(metadata.get("properties", {})) <= {"name", "generateName"}


def test_a_trial_runs_unless_its_status_says_otherwise() -> None:
    (trial,) = (kind for kind in KINDS if kind.kind == "ScalingTrial")
    status = schema_of(trial)["properties"]["status"]

    assert status["default"] == {"state": "Running"}
    assert "Running" in status["properties"]["state"]["enum"]
    assert "required" not in status


@pytest.mark.slow
def test_the_definitions_are_written_into_a_folder(tmp_path: Path) -> None:
    write_crds(tmp_path / "crds")

    assert {file.name: file.read_text() for file in (tmp_path / "crds").iterdir()} == crd_files()


@pytest.mark.parametrize("folder", CRD_FOLDERS, ids=str)
def test_the_files_are_in_step_with_the_models(folder: Path) -> None:
    assert {file.name: file.read_text() for file in (ROOT / folder).iterdir()} == crd_files()


@of_each_kind
def test_a_file_is_readable_and_small_enough_for_kubectl_apply(kind: Definition) -> None:
    text = crd_files()[f"scaling-operator.dev_{kind.plural}.yaml"]

    assert text.startswith(HEADER)
    assert len(text.encode()) < 200_000
    # kubectl apply keeps a copy in an annotation, and all annotations may have 256 KiB.
    assert len(json.dumps(definition(kind))) < 200_000
    assert not re.search(r"[ \t]$|[&*]id\d", text, re.MULTILINE)
    yaml: Any = YAML(typ="safe", pure=True)
    assert cast("dict[str, Any]", yaml.load(text)) == definition(kind)


@of_each_kind
def test_no_bound_is_larger_than_the_api_server_can_hold(kind: Definition) -> None:
    """It reads bounds as 64-bit integers: 1e100 would become the smallest of them."""
    for path, node in walk(schema_of(kind)):
        for bound in ("minimum", "maximum"):
            assert abs(node.get(bound, 0)) <= 2**53, path
