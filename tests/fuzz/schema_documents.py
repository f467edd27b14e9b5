"""Documents by chance out of a definition's schema: a new field is tried without anybody's help.

    SchemaDocuments(schema, Random(7)).document()        # a whole one
    SchemaDocuments(schema, Random(7)).grafted(document) # another one with new values at few places

Numbers, texts, lists and maps lie at their bounds as often as between them; now and then a value is
none that the schema takes. The same seed makes the same document.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, cast

from generated_documents import ODD

Schema = Mapping[str, Any]

NAMES = ("lr", "model.width", "model.depth", "p0", "p1", "p2", "batch_size", "_", "constructor")
TEXTS = (
    *("a", "a1", "A_B", "0", "-1", "1.5", "x" * 10, "9" * 20, "", " ", "é", "\u202e", "a b"),
    *(
        "loss",
        "val_loss",
        "val/acc",
        "/data",
        "/data/.cache",
        "/..a",
        "/a/../b",
        "data.csv",
        "../a",
        "a/b",
        "a:b",
    ),
    *("4Gi", "500m", "1e3", "1e30", "0", "1h30m", "1ns", "99999999h", "0.5s", "1µs"),
    *(
        "True",
        "False",
        "Unknown",
        "nvidia.com/gpu",
        "a.b/c",
        "a-b",
        "me/train:1",
        "1.0 * model.width",
        "parameters['lr']",
    ),
    *("$(SCALING_PARAM_LR)", "$(A", "true", "null", "2026-01-31T12:00:00Z", "u", *NAMES),
)
NUMBERS = (0, 1, -1, 2, 3, 10, 0.5, 1e-300, 1e300, -1e308, 2**31, 2**53, 2**53 + 1, 2**63 - 1)
GO_ON = 0.8
"""How often a value is changed below it, and not as a whole."""
MOST_VALUES = 3000
"""Of one document: as many as a person writes, and a check of them takes less than a second."""


@dataclass(slots=True)
class SchemaDocuments:
    """One document in the making; `share` is how many optional fields it has."""

    schema: Schema
    random: Random
    odd: float = 0.0
    share: float = 0.3
    left: int = field(default=MOST_VALUES)

    def document(self) -> dict[str, Any]:
        """Make a document with a spec of its own."""
        spec = self.schema["properties"]["spec"]
        return {"metadata": {"name": "generated"}, "spec": self.value(spec)}

    def grafted(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Copy a document and make one to three of its fields, or new ones, anew."""
        new_document = copy.deepcopy(dict(document))
        for _ in range(self.random.randint(1, 3)):
            self._graft(new_document["spec"], self.schema["properties"]["spec"])
        return new_document

    def _graft(self, at: Any, schema: Schema) -> None:
        """Go down from a value by chance, and make what stands at the end of the way anew."""
        key, inner = self.random.choice(_steps(at, schema))
        is_there = isinstance(at, list) or key in at
        if is_there and _steps(at[key], inner) and self.random.random() < GO_ON:
            self._graft(at[key], inner)
        else:
            at[key] = self.value(inner)

    def value(self, schema: Schema) -> Any:
        """Make a value for a place of the schema."""
        self.left -= 1
        if self.random.random() < self.odd:
            return self.random.choice(ODD)
        if "enum" in schema:
            return self.random.choice(schema["enum"])
        if schema.get("x-kubernetes-int-or-string"):
            return self.random.choice((self._whole(schema), self._text(schema)))
        make: dict[str, Callable[[Schema], Any]] = {
            "object": self._object,
            "array": self._list,
            "string": self._text,
            "integer": self._whole,
            "number": self._number,
            "boolean": self._truth,
        }
        return make.get(schema.get("type", ""), self._plain)(schema)

    def _truth(self, _: Schema) -> bool:
        return self.random.choice((True, False))

    def _list(self, schema: Schema) -> list[Any]:
        return [self.value(schema["items"]) for _ in range(self._count(schema, "Items"))]

    def _object(self, schema: Schema) -> dict[str, Any]:
        if "properties" in schema:
            return self._section(schema)
        inner = schema.get("additionalProperties")
        members: dict[str, Any] = {}
        for at in range(self._count(schema, "Properties")):
            name = self.random.choice((*NAMES, f"n{at}", f"n.{at}"))
            members[name] = self._anything() if inner is None else self.value(inner)
        return members

    def _section(self, schema: Schema) -> dict[str, Any]:
        fields: Mapping[str, Schema] = schema["properties"]
        arm: Mapping[str, Any] = self.random.choice(schema.get("anyOf", [{}]))
        required = {*schema.get("required", ()), *arm.get("required", ())}
        refused = set(arm.get("not", {}).get("required", ()))
        narrowed: Mapping[str, Any] = arm.get("properties", {})
        return {
            name: self.value({**inner, **narrowed.get(name, {})})
            for name, inner in fields.items()
            if name in required
            or (name not in refused and self.left > 0 and self.random.random() < self.share)
        }

    def _count(self, schema: Schema, suffix: str) -> int:
        least, most = schema.get(f"min{suffix}", 0), schema.get(f"max{suffix}", 20)
        most = max(least, min(most, self.left))
        return self.random.choice((least, least, min(most, least + 1), min(most, 3), most))

    def _text(self, schema: Schema) -> str:
        return self.random.choice(texts_for(schema))

    def _whole(self, schema: Schema) -> int:
        return int(self.random.choice(_bounds(schema)))

    def _number(self, schema: Schema) -> float:
        low, high = schema.get("minimum", -1e9), schema.get("maximum", 1e9)
        return self.random.choice((*_bounds(schema), self.random.uniform(low, high)))

    def _plain(self, schema: Schema) -> Any:
        """Make a value where the schema leaves its kind open."""
        return self.random.choice((self._text(schema), self.random.choice(NUMBERS), True))

    def _anything(self) -> Any:
        plain = self._plain({})
        return self.random.choice((plain, [plain], [plain, self._plain({})]))


def _bounds(schema: Schema) -> list[float]:
    """Give the ends of a range and what lies within it of NUMBERS."""
    low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    ends = [
        low + 1 if schema.get("exclusiveMinimum") else low,
        high - 1 if schema.get("exclusiveMaximum") else high,
    ]
    return [
        *(end for end in ends if low <= end <= high and math.isfinite(end)),
        *(number for number in NUMBERS if low < number < high),
    ]


def texts_for(schema: Schema) -> list[str]:
    """Give texts that a place takes, one of them as long as may be."""
    least, most = schema.get("minLength", 0), schema.get("maxLength", 1024)
    pattern = re.compile(schema.get("pattern", ""))
    longest = [letter * most for letter in "a0"] + ["a" + "/a" * ((most - 1) // 2), "/" * most]
    return [
        text for text in (*TEXTS, *longest) if least <= len(text) <= most and pattern.search(text)
    ]


def _steps(at: Any, schema: Schema) -> list[tuple[Any, Schema]]:
    """Give the places right below a value, with their schemas: also fields that are not there."""
    if isinstance(at, dict) and "properties" in schema:
        return list(schema["properties"].items())
    inner = schema.get("additionalProperties")
    if isinstance(at, dict) and isinstance(inner, dict):
        return [(name, cast("Schema", inner)) for name in cast("dict[str, Any]", at)]
    if isinstance(at, list) and "items" in schema:
        return [(index, schema["items"]) for index in range(len(cast("list[Any]", at)))]
    return []
