"""Every error of a document at once, although pydantic stops at the first level that fails.

A section's own rules (`low` at most `high`) run only when its fields are sound. So the faulty parts
are taken out and the rest is read again, until no new error is found. What is left is sound, and
the rules that look at several sections are asked of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from scaling_operator.api.problems import Problem, below, listing, nearest, shown, spelled
from scaling_operator.validation import model_fields, wording
from scaling_operator.validation.normal_form import WHOLE
from scaling_trainer.config.base import SectionError

Path = tuple[str | int, ...]
"""Where a value stands in a document: the keys and indexes that lead to it."""
M = TypeVar("M", bound=BaseModel)

MOST_PROBLEMS = 100
"""A document with more is not looked at any further."""
FIRST_OF_MANY = Problem(WHOLE, f"has more than {MOST_PROBLEMS} problems; these are the first")
_MOST_ERRORS = 5 * MOST_PROBLEMS  # a union of plain values has one for each of its arms
# Errors that may only follow from what was removed below them.
_CONSEQUENCES = ("value_error", "too_short")


def read(section: type[M], document: Any) -> M:
    """Read plain JSON values as files are read: no conversions, camelCase names only.

    Raises pydantic's ValidationError.
    """
    # As JSON, because there strict still takes lists for tuples and texts for enums and times.
    text = json.dumps(document)
    return section.model_validate_json(text, strict=True, by_alias=True, by_name=False)


def examine(
    section: type[BaseModel], document: Any, kept: frozenset[Path] = frozenset({()})
) -> tuple[Any, tuple[Problem, ...]]:
    """Find every problem of a document, and what is left of it without the faulty parts.

    The parts in `kept` stay even when something in them is missing. After MOST_PROBLEMS the rest is
    left unread, and nothing of the document.
    """
    removed: frozenset[Path] = frozenset()
    problems: dict[Problem, None] = {}  # a set that keeps the order
    while True:
        reading = _Reading(section, document, removed)
        sound = reading.rest()
        errors = _errors(section, sound)
        # Unknown fields first: one of them may be spelled like a variant's name in pydantic's path.
        errors = [error for error in errors if error["type"] == "extra_forbidden"] or errors
        faulty: set[Path] = set()
        for error in errors[:_MOST_ERRORS]:
            path = reading.path_of(error)
            problems.update(dict.fromkeys(reading.problems(path, error)))
            faulty.add(path[:-1] if error["type"] == "missing" else path)
        if len(errors) > _MOST_ERRORS or len(problems) > MOST_PROBLEMS:
            return {}, (FIRST_OF_MANY, *tuple(_one_a_path(problems))[:MOST_PROBLEMS])
        new = faulty - removed - kept
        if not new:
            return sound, tuple(_one_a_path(problems))
        removed |= new


def _errors(section: type[BaseModel], document: Any) -> list[ErrorDetails]:
    try:
        read(section, document)
    except ValidationError as error:
        return _without_consequences(error.errors(include_url=False))
    return []


def _without_consequences(errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """Leave out lists that are too short only because pydantic does not count faulty items."""
    short = {error["loc"] for error in errors if error["type"] == "too_short"}
    if not short:
        return errors
    above = {error["loc"][:length] for error in errors for length in range(len(error["loc"]))}
    faulty = short & above
    return [error for error in errors if error["type"] != "too_short" or error["loc"] not in faulty]


def _one_a_path(problems: Iterable[Problem]) -> Iterator[Problem]:
    """Of a union's arms one problem is enough; a section's own rules may give several."""
    paths: set[str] = set()
    for problem in problems:
        if problem.path not in paths or "must be" not in problem.message:
            yield problem
        paths.add(problem.path)


@dataclass(frozen=True, slots=True)
class _Reading:
    """One reading of a document as a section, without the parts that had errors before."""

    section: type[BaseModel]
    document: Any
    removed: frozenset[Path]

    def rest(self) -> Any:
        """Copy the document without the removed parts; untouched parts are shared with it."""
        if not self.removed:
            return self.document
        touched = frozenset(path[:length] for path in self.removed for length in range(len(path)))

        def left(value: Any, path: Path) -> Any:
            if path not in touched:
                return value
            if isinstance(value, dict):
                entries = cast("dict[str, Any]", value).items()
                children = ((key, child, (*path, key)) for key, child in entries)
                return {
                    key: left(child, place)
                    for key, child, place in children
                    if place not in self.removed
                }
            if isinstance(value, list):
                items = enumerate(cast("list[Any]", value))
                children = ((item, (*path, index)) for index, item in items)
                return [left(item, place) for item, place in children if place not in self.removed]
            return value

        return left(self.document, ())

    def path_of(self, error: ErrorDetails) -> Path:
        """Path in the document that an error means: no variants' names, indexes as written."""
        path: Path = ()
        value, is_chosen = self.document, False
        for step in error["loc"]:
            if isinstance(value, dict):
                mapping = cast("dict[str | int, Any]", value)
                if not is_chosen and self._is_variant(path, mapping, step):
                    is_chosen = True
                elif step in mapping and (*path, step) not in self.removed:
                    path, value, is_chosen = (*path, step), mapping[step], False
            elif isinstance(value, list) and isinstance(step, int):
                items = cast("list[Any]", value)
                left = [index for index in range(len(items)) if (*path, index) not in self.removed]
                if step < len(left):
                    path, value, is_chosen = (*path, left[step]), items[left[step]], False
        return (*path, error["loc"][-1]) if error["type"] == "missing" else path

    def _is_variant(self, path: Path, mapping: Mapping[Any, Any], step: str | int) -> bool:
        """Whether a step of pydantic's path is a variant's name, spelled like one of its fields.

        `percentile` is a pruner and a field of it.
        """
        if step not in mapping or step not in (mapping.get("name"), mapping.get("type")):
            return False
        variants, _ = model_fields.variants_at(self.section, self.document, path)
        field = model_fields.discriminator(variants)
        return field is not None and mapping.get(field) == step

    def problems(self, path: Path, error: ErrorDetails) -> Iterator[Problem]:
        """Report an error; not one that only follows from what was removed."""
        raised = error.get("ctx", {}).get("error")
        if isinstance(raised, SectionError):
            for field, message in raised.problems:
                if not self._may_follow(path, field):
                    yield Problem(below(spelled(path), self._as_written(path, field)), message)
        elif error["type"] == "missing":
            if path not in self.removed:
                yield Problem(spelled(path), self._missing(path))
        elif error["type"] not in _CONSEQUENCES or not self._may_follow(path, ""):
            yield self._problem(path, error)

    def _may_follow(self, path: Path, field: str) -> bool:
        """Whether a rule may object only because a part of the section was removed before."""
        if not field:
            return any(part[:-1] == path for part in self.removed if part)
        name, index = _field_and_index(field)
        if index is not None:
            return False
        return any(part[: len(path) + 1] == (*path, name) for part in self.removed)

    def _as_written(self, path: Path, field: str) -> str:
        """Count an index as the file does, where items before it were removed."""
        name, index = _field_and_index(field)
        if index is None:
            return field
        of_list = (part for part in self.removed if part[:-1] == (*path, name))
        for gone in sorted(cast("int", part[-1]) for part in of_list):
            index += gone <= index
        return f"{name}[{index}]"

    def _problem(self, path: Path, error: ErrorDetails) -> Problem:
        where = spelled(path)
        context: Mapping[str, Any] = error.get("ctx", {})
        if error["type"] == "extra_forbidden":
            return Problem(where, self._unknown(path))
        if error["type"].startswith("union_tag"):
            sections = model_fields.sections_at(self.section, self.document, path)
            field = model_fields.discriminator(sections) or ""
            tags = model_fields.all_tags(sections, field)
            if error["type"] == "union_tag_not_found":
                return Problem(below(where, field), f"is required; allowed: {listing(tags)}")
            return Problem(below(where, field), wording.choice(context.get("tag"), tags))
        if error["loc"] and error["loc"][-1] == "[key]":
            name = path[-1] if path else ""
            text = wording.sentence(error["type"], name, context, error["msg"])
            return Problem(where, f"the name {text}")
        if _is_scalar_arm(error):
            return Problem(where, _scalar(error))
        text = wording.sentence(error["type"], error["input"], context, error["msg"])
        return Problem(where, text)

    def _missing(self, path: Path) -> str:
        for parent in model_fields.sections_at(self.section, self.document, path[:-1]):
            info = model_fields.fields_of(parent).get(str(path[-1]))
            if info is not None and info.description:
                return f"is required ({info.description.rstrip('.')})"
        return "is required"

    def _unknown(self, path: Path) -> str:
        name = str(path[-1])
        variants, value = model_fields.variants_at(self.section, self.document, path[:-1])
        field = model_fields.discriminator(variants)
        owners = model_fields.holders(variants, name)
        if field is not None and owners:
            tags = listing(model_fields.all_tags(owners, field))
            return f"unknown field with {field} {value[field]}; it goes with {tags}"
        chosen = model_fields.chosen(variants, value)
        for refused in (getattr(variant, "REFUSED", {}) for variant in chosen):
            if name in refused:
                return f"is not allowed: {refused[name]}"
        fields = model_fields.field_names(chosen)
        near = nearest(name, fields)
        if near is not None:
            return f"unknown field; did you mean {near}?"
        return f"unknown field; allowed here: {listing(fields) or 'none'}"


def _field_and_index(field: str) -> tuple[str, int | None]:
    """Split `sizes[3]`; of `dataset.name` take the first."""
    name, _, rest = field.partition("[")
    return (name, int(rest.rstrip("]"))) if rest else (name.split(".")[0], None)


_SCALAR_ARMS = ("constrained-str", "str", "bool", "int", "float")


def _is_scalar_arm(error: ErrorDetails) -> bool:
    arm = str(error["loc"][-1]) if error["loc"] else ""
    return arm in _SCALAR_ARMS or arm.startswith("constrained-")


def _scalar(error: ErrorDetails) -> str:
    """Word an error of one arm of a union of plain values."""
    value = error["input"]
    if error["type"] in ("string_too_long", "greater_than"):
        return wording.sentence(error["type"], value, error.get("ctx", {}), "")
    return f"must be a number, text, true or false, not {shown(value)}"
