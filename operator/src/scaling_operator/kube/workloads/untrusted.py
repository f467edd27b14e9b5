"""Objects of the API server, read without trust: what is missing or misshapen reads as absent."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

Json = Mapping[str, Any]


def value(found: object, *path: str) -> object:
    """Get what stands at a path; None where there is nothing."""
    for step in path:
        if not isinstance(found, Mapping):
            return None
        found = cast("Json", found).get(step)
    return found


def mapping(found: object, *path: str) -> Json:
    """Get the mapping at a path; an empty one where there is none."""
    at = value(found, *path)
    return cast("Json", at) if isinstance(at, Mapping) else {}


def mappings(found: object, *path: str) -> tuple[Json, ...]:
    """Get the mappings of the list at a path."""
    at = value(found, *path)
    items = cast("list[object]", at) if isinstance(at, list) else []
    return tuple(cast("Json", each) for each in items if isinstance(each, Mapping))


def text(found: object, *path: str) -> str:
    """Get the text at a path; an empty one where there is none."""
    at = value(found, *path)
    return at if isinstance(at, str) else ""


def whole(found: object, *path: str) -> int | None:
    """Get the whole number at a path."""
    at = value(found, *path)
    return at if isinstance(at, int) and not isinstance(at, bool) else None


def moment(found: object, *path: str) -> float | None:
    """Get the time at a path, written as RFC 3339, in seconds since the epoch."""
    try:
        at = datetime.fromisoformat(text(found, *path))
        return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def condition(found: object, kind: str) -> Json:
    """Get the condition of a type from an object's status; an empty one where it has none."""
    for each in mappings(found, "status", "conditions"):
        if each.get("type") == kind:
            return each
    return {}
