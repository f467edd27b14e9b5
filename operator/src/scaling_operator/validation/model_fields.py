"""The fields of the pydantic models: their names as files spell them, and variants of sections.

Suggestions, checks of paths below `builtIn` and the tables of the guide all read the models here,
so that none of them keeps a list of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

SectionClass = type[BaseModel]


@cache
def fields_of(section: SectionClass) -> Mapping[str, FieldInfo]:
    """Fields of a section by the name that files use."""
    return {info.alias or name: info for name, info in section.model_fields.items()}


def alternatives(annotation: Any) -> tuple[Any, ...]:
    """Kinds of values that an annotation allows, without null."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return alternatives(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return tuple(kind for arm in get_args(annotation) for kind in alternatives(arm))
    return () if annotation is NoneType else (annotation,)


def sections_of(annotation: Any) -> tuple[SectionClass, ...]:
    """Sections that an annotation allows: none for plain values, several for a union."""
    return tuple(
        kind
        for kind in alternatives(annotation)
        if isinstance(kind, type) and issubclass(kind, BaseModel)
    )


def items_of(annotation: Any) -> tuple[Any, ...]:
    """Annotations of the items of a list or the values of a mapping; empty for the rest."""
    items: list[Any] = []
    for kind in alternatives(annotation):
        arguments = get_args(kind)
        if get_origin(kind) is tuple:
            items.append(arguments[0])
        elif get_origin(kind) is dict:
            items.append(arguments[1])
    return tuple(items)


def choices_of(annotation: Any) -> tuple[Any, ...]:
    """Values of a Literal; empty for the rest."""
    return tuple(
        choice
        for kind in alternatives(annotation)
        if get_origin(kind) is Literal
        for choice in get_args(kind)
    )


def discriminator(sections: Sequence[SectionClass]) -> str | None:
    """Name of the field that tells the sections of a union apart."""
    if len(sections) < 2:  # noqa: PLR2004 - one section is no union
        return None
    for name in ("name", "type"):
        if all(
            name in fields_of(section) and choices_of(fields_of(section)[name].annotation)
            for section in sections
        ):
            return name
    return None


def tags_of(section: SectionClass, field: str) -> tuple[str, ...]:
    """Values of the discriminator that choose a section."""
    return cast("tuple[str, ...]", choices_of(fields_of(section)[field].annotation))


def all_tags(sections: Sequence[SectionClass], field: str) -> tuple[str, ...]:
    """Values of the discriminator of several sections."""
    return tuple(tag for section in sections for tag in tags_of(section, field))


def holders(sections: Sequence[SectionClass], field: str) -> tuple[SectionClass, ...]:
    """Those of the sections that have a field."""
    return tuple(section for section in sections if field in fields_of(section))


def field_names(sections: Sequence[SectionClass]) -> tuple[str, ...]:
    """Names of the fields of several sections, each once."""
    return tuple(dict.fromkeys(name for section in sections for name in fields_of(section)))


def chosen(sections: Sequence[SectionClass], value: Any) -> tuple[SectionClass, ...]:
    """Sections that a value's discriminator chooses: all of them where it chooses none."""
    field = discriminator(sections)
    if field is None or not isinstance(value, Mapping):
        return tuple(sections)
    tag = cast("Mapping[str, Any]", value).get(field)
    of_tag = tuple(section for section in sections if tag in tags_of(section, field))
    return of_tag or tuple(sections)


def sections_at(
    root: SectionClass, document: Any, path: Sequence[str | int]
) -> tuple[SectionClass, ...]:
    """Sections at a path of a document: of a union those that its discriminator chooses."""
    sections, value = variants_at(root, document, path)
    return chosen(sections, value)


def variants_at(
    root: SectionClass, document: Any, path: Sequence[str | int]
) -> tuple[tuple[SectionClass, ...], Any]:
    """Every section that the models allow at a path of a document, and the value there."""
    annotations: tuple[Any, ...] = (root,)
    value = document
    for step in path:
        annotations = tuple(_step(annotations, value, step))
        value = _child(value, step)
    variants = tuple(section for annotation in annotations for section in sections_of(annotation))
    return variants, value


def sections_within(root: SectionClass) -> tuple[SectionClass, ...]:
    """Give a section and every one that may stand in it, each once."""
    sections: dict[SectionClass, None] = {}
    waiting = [root]
    while waiting:
        section = waiting.pop()
        if section not in sections:
            sections[section] = None
            waiting += [
                inner
                for info in fields_of(section).values()
                for annotation in (info.annotation, *items_of(info.annotation))
                for inner in sections_of(annotation)
            ]
    return tuple(sections)


def _step(annotations: Sequence[Any], value: Any, step: str | int) -> Iterator[Any]:
    for annotation in annotations:
        sections = sections_of(annotation)
        if not sections:
            yield from items_of(annotation)
        for section in chosen(sections, value):
            if step in fields_of(section):
                yield fields_of(section)[str(step)].annotation


def _child(value: Any, step: str | int) -> Any:
    if isinstance(value, Mapping):
        return cast("Mapping[Any, Any]", value).get(step)
    if isinstance(value, list) and isinstance(step, int):
        items = cast("list[Any]", value)
        return items[step] if step < len(items) else None
    return None
