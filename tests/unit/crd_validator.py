"""The schema of a CRD as a JSON schema, to hold documents against it without an API server."""

from __future__ import annotations

from functools import cache
from typing import Any, cast

import pytest

from scaling_operator.validation.crd import Definition, definition

jsonschema: Any = pytest.importorskip("jsonschema", reason="jsonschema is not installed")


def plain(node: Any) -> Any:
    """Turn a structural schema into a JSON schema: bounds are numbers there."""
    if isinstance(node, list):
        return [plain(item) for item in cast("list[Any]", node)]
    if not isinstance(node, dict):
        return node
    copied = {key: plain(child) for key, child in cast("dict[str, Any]", node).items()}
    for end in ("Minimum", "Maximum"):
        if copied.get(f"exclusive{end}") is True:
            copied[f"exclusive{end}"] = copied.pop(end.lower())
    return copied


@cache
def validator(kind: Definition) -> Any:
    schema = definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return jsonschema.Draft202012Validator(plain(schema))
