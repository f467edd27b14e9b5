"""Paths below `trainer.builtIn`: which paths there are, and what the field at each one takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pydantic import BaseModel, ValidationError

from scaling_operator.api.fields import Scalar
from scaling_operator.api.problems import listing, nearest
from scaling_operator.validation import model_fields, wording
from scaling_operator.validation.errors import read
from scaling_trainer.config.builtin import BuiltIn

# Names of the variants that a section may have in some trial, by path: {"model": {"mlp", "cnn"}}.
Variants = Mapping[str, frozenset[Scalar]]


@dataclass(frozen=True, slots=True)
class Place:
    """The sections in which a path ends, of every variant that may be, and the field's name."""

    sections: tuple[type[BaseModel], ...]
    field: str


def find(path: str, variants: Variants) -> Place | str:
    """Find the place of a path, or say in a sentence why there is none."""
    sections: tuple[type[BaseModel], ...] = (BuiltIn,)
    steps = path.split(".")
    for index, step in enumerate(steps):
        within, is_last = ".".join(steps[:index]), index == len(steps) - 1
        of_models = sections
        if not (is_last and step == model_fields.discriminator(sections)):
            sections = _possible(sections, within, variants)
        holders = model_fields.holders(sections, step)
        if not holders:
            return _no_such(path, within, (of_models, sections), variants)
        if is_last:
            return _leaf(path, holders, variants)
        sections = _inner(holders, step)
        if not sections:
            return f"{within and within + '.'}{step} is a value, not a section; it has no fields"
    return "is empty"


def objection(place: Place, value: Scalar) -> str | None:
    """Say why the field at a place never takes a value; None where it may."""
    if place.field == model_fields.discriminator(place.sections):
        tags = model_fields.all_tags(place.sections, place.field)
        return None if value in tags else wording.choice(value, tags)
    objections = [_field_objection(section, place.field, value) for section in place.sections]
    return None if None in objections else objections[0]


def _field_objection(section: type[BaseModel], field: str, value: Scalar) -> str | None:
    try:
        read(section, {field: value})
    except ValidationError as invalid:
        for error in invalid.errors(include_url=False):
            if error["loc"][:1] == (field,):
                return wording.sentence(error["type"], value, error.get("ctx", {}), error["msg"])
    return None


def _leaf(path: str, holders: tuple[type[BaseModel], ...], variants: Variants) -> Place | str:
    field = path.rpartition(".")[2]
    if _inner(holders, field):
        inside = [known for known in known_paths(variants) if known.startswith(f"{path}.")]
        return f"is a section, not a value; name one of its fields: {listing(inside)}"
    return Place(holders, field)


def _no_such(
    path: str,
    within: str,
    sections: tuple[tuple[type[BaseModel], ...], tuple[type[BaseModel], ...]],
    variants: Variants,
) -> str:
    of_models, possible = sections
    field = model_fields.discriminator(of_models)
    step = path[len(within) + 1 if within else 0 :].partition(".")[0]
    owners = model_fields.holders(of_models, step)
    if field is not None and owners:
        tags = listing(model_fields.all_tags(owners, field))
        now = listing(sorted(str(tag) for tag in variants.get(within, ())))
        return f"{step} goes with {within}.{field} {tags}, not with {now}"
    near = nearest(path, known_paths(variants))
    if near is not None:
        return f"the built-in trainer has no such field; did you mean {near}?"
    names = listing(model_fields.field_names(possible))
    where = f"{within} has" if within else "it has"
    return f"the built-in trainer has no such field; {where} {names}"


def _inner(sections: Sequence[type[BaseModel]], field: str) -> tuple[type[BaseModel], ...]:
    """Sections that stand in a field."""
    annotations = (model_fields.fields_of(section)[field].annotation for section in sections)
    return tuple(
        inner for annotation in annotations for inner in model_fields.sections_of(annotation)
    )


def known_paths(variants: Variants) -> tuple[str, ...]:
    """Every path that a trial may set."""
    return tuple(dict.fromkeys(_paths((BuiltIn,), "", variants)))


def _paths(sections: Sequence[type[BaseModel]], within: str, variants: Variants) -> Iterator[str]:
    for section in _possible(sections, within, variants):
        for name, info in model_fields.fields_of(section).items():
            path = f"{within}.{name}" if within else name
            inner = model_fields.sections_of(info.annotation)
            if inner:
                yield from _paths(inner, path, variants)
            elif not model_fields.items_of(info.annotation):  # a list is no value of a parameter
                yield path


def _possible(
    sections: Sequence[type[BaseModel]], within: str, variants: Variants
) -> tuple[type[BaseModel], ...]:
    field = model_fields.discriminator(sections)
    tags = variants.get(within)
    if field is None or not tags:
        return tuple(sections)
    possible = tuple(
        section for section in sections if tags & set(model_fields.tags_of(section, field))
    )
    return possible or tuple(sections)


def variants_written(built_in: Mapping[str, Any]) -> dict[str, frozenset[Scalar]]:
    """Variants that a configuration names, or has by default, by the section's path."""
    return dict(_written((BuiltIn,), built_in, ""))


def _written(
    sections: Sequence[type[BaseModel]], section: Mapping[str, Any], within: str
) -> Iterator[tuple[str, frozenset[Scalar]]]:
    for variant in model_fields.chosen(sections, section):
        for name, info in model_fields.fields_of(variant).items():
            inner = model_fields.sections_of(info.annotation)
            value = section.get(name)
            if value is None and isinstance(info.default, BaseModel):
                value = info.default.model_dump(mode="json")
            if not inner or not isinstance(value, Mapping):
                continue
            path = f"{within}.{name}" if within else name
            mapping = cast("Mapping[str, Any]", value)
            tag = mapping.get(model_fields.discriminator(inner) or "")
            if isinstance(tag, str):
                yield path, frozenset({tag})
            yield from _written(inner, mapping, path)
