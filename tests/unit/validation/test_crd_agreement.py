"""A CRD and the models say the same of required fields, choices and bounds.

Rules between fields are CEL: `test_rules.py` asks them.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, cast

import pytest
from crd_validator import validator
from valid_documents import KIND_OF, VALID

from scaling_operator.validation.crd import Definition
from scaling_operator.validation.errors import examine

DELETE = object()


def crd_accepts(kind: Definition, document: Mapping[str, Any]) -> bool:
    return validator(kind).is_valid(document)


def models_accept(kind: Definition, document: Mapping[str, Any]) -> bool:
    return not examine(kind.model, document)[1]


@pytest.mark.parametrize("name", VALID)
def test_both_accept_a_valid_document(name: str) -> None:
    assert models_accept(KIND_OF[name], VALID[name])
    assert crd_accepts(KIND_OF[name], VALID[name])


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        entries = list(cast("dict[str, Any]", value).items())
    elif isinstance(value, list):
        entries = list(enumerate(cast("list[Any]", value)))
    else:
        return [path]
    return [path, *(leaf for step, child in entries for leaf in leaves(child, (*path, step)))]


def changed(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    document = copy.deepcopy(document)
    *steps, last = path
    at = document
    for step in steps:
        at = at[step]
    if value is DELETE:
        del at[last]
    else:
        at[last] = value
    return document


CASES = [
    (name, path)
    for name, document in VALID.items()
    for path in leaves(document)
    if path[:1] in (("spec",), ("status",))
]
# Fields that CEL or the operator has to look at, since a structural schema cannot.
UNTYPED = ("choices", "when", "points", "parameters", "samplerAttributes")


def is_untyped(path: tuple[Any, ...]) -> bool:
    inside = path[:-1]
    return any(
        step in UNTYPED and not (step == "parameters" and path[1] == "search") for step in inside
    )


@pytest.mark.parametrize("wrong", ["?", -7, True, [], {}, 10**12], ids=repr)
def test_a_value_that_the_crd_refuses_is_refused_by_the_models(wrong: Any) -> None:
    for name, path in CASES:
        document = changed(VALID[name], path, wrong)

        if not crd_accepts(KIND_OF[name], document):
            assert not models_accept(KIND_OF[name], document), (path, wrong)


# CEL, a format or the operator tell the rest: rules of variants and of several fields.
SAID_ELSEWHERE = {"completionTime", "log", "low", "high", "sizes", "targets", "choices", "shapes"}


@pytest.mark.parametrize("wrong", ["?", -7, True, 10**12], ids=repr)
def test_a_plain_value_that_the_models_refuse_is_refused_by_the_crd(wrong: Any) -> None:
    for name, path in CASES:
        if is_untyped(path) or path[-1] in SAID_ELSEWHERE or isinstance(path[-1], int):
            continue
        document = changed(VALID[name], path, wrong)

        if not models_accept(KIND_OF[name], document):
            assert not crd_accepts(KIND_OF[name], document), (path, wrong)


@pytest.mark.parametrize(
    ("place", "is_accepted"),
    [
        *((place, True) for place in ("/a", "/a/b", "/.a", "/a..", "/...", "/..a/b.c", "/ü x")),
        *((place, False) for place in ("", "/", "a", "//a", "/a//b", "/a/", "/a:b", "/a\n/")),
        *((place, False) for place in ("/.", "/..", "/./a", "/a/.", "/a/./b", "/a/../b", "/a/..")),
    ],
)
def test_a_place_for_a_volume_has_one_spelling(place: str, is_accepted: bool) -> None:  # noqa: FBT001 - what is expected
    name = "ScalingExperiment of a container"
    path = ("spec", "trainer", "container", "volumeMounts", 0, "mountPath")
    document = changed(VALID[name], path, place)
    assert models_accept(KIND_OF[name], document) is is_accepted
    assert crd_accepts(KIND_OF[name], document) is is_accepted


def test_a_required_field_is_required_by_both() -> None:
    for name, path in CASES:
        if is_untyped(path) or path == ("status",):
            continue
        document = changed(VALID[name], path, DELETE)

        if crd_accepts(KIND_OF[name], document) and not models_accept(KIND_OF[name], document):
            assert _is_required_by_rule(path), path
        elif not crd_accepts(KIND_OF[name], document):
            assert not models_accept(KIND_OF[name], document), path


def _is_required_by_rule(path: tuple[Any, ...]) -> bool:
    """Fields that CEL requires: those of some variants, and one of two."""
    return path[-1] in {
        "low", "high", "maxSteps", "path", "target", "objective", "parameter", "sizes", "flops",
        "builtIn", "memory", "resource", "container", "secretKeyRef", "configMapKeyRef",
        "persistentVolumeClaim",
        "emptyDir", "configMap", "secret", "values", "key", "operator", 0,
    }  # fmt: skip
