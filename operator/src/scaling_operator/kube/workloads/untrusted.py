"""Reads objects of the API server without trust: missing and malformed values are absent."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

Json = Mapping[str, Any]


def value(document: object, *path: str) -> object:
    """Get the value at a path; None where there is none."""
    for key in path:
        if not isinstance(document, Mapping):
            return None
        document = cast("Json", document).get(key)
    return document


def mapping(document: object, *path: str) -> Json:
    """Get the mapping at a path; an empty one where there is none."""
    found_value = value(document, *path)
    return cast("Json", found_value) if isinstance(found_value, Mapping) else {}


def mappings(document: object, *path: str) -> tuple[Json, ...]:
    """Get the mappings of the list at a path."""
    found_value = value(document, *path)
    items = cast("list[object]", found_value) if isinstance(found_value, list) else []
    return tuple(cast("Json", item) for item in items if isinstance(item, Mapping))


def text(document: object, *path: str) -> str:
    """Get the text at a path; an empty one where there is none."""
    found_value = value(document, *path)
    return found_value if isinstance(found_value, str) else ""


def whole(document: object, *path: str) -> int | None:
    """Get the whole number at a path."""
    found_value = value(document, *path)
    return (
        found_value if isinstance(found_value, int) and not isinstance(found_value, bool) else None
    )


def timestamp(document: object, *path: str) -> float | None:
    """Get the time at a path, written as RFC 3339, in seconds since the epoch."""
    try:
        time = datetime.fromisoformat(text(document, *path))
        return (time if time.tzinfo is not None else time.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def condition(document: object, kind: str) -> Json:
    """Get the condition of a type from an object's status; an empty one where it has none."""
    for entry in mappings(document, "status", "conditions"):
        if entry.get("type") == kind:
            return entry
    return {}
