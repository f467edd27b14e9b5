"""A document as an API server would hand it on: plain JSON values of bounded size.

Numbers take the form that JSON through Kubernetes gives them (1.0 becomes 1, a whole number beyond
64 bits becomes a float), so that a file means the same on a laptop and on a cluster. Values that
JSON cannot hold are reported: NaN and infinities, keys that are not text, lone surrogates, and
aliases that grow without end.
"""

from __future__ import annotations

import math
import re
from typing import Any, TypeAlias, cast

from scaling_operator.api.problems import Problem, shown, spelled

MAX_VALUES = 100_000
MAX_DEPTH = 60
WHOLE = "the document"
"""The path of what concerns a document as a whole."""
LARGEST_WHOLE_FLOAT = 2.0**53

_SURROGATE = re.compile("[\ud800-\udfff]")
_HALF = "has half a character, one of \\ud800 to \\udfff alone: write the whole one"

# Where a value stands: the place above it and the step from there. Few are ever written out.
_Place: TypeAlias = "tuple[_Place, str | int] | None"


def normal_form(document: object) -> tuple[Any, tuple[Problem, ...]]:
    """Copy a document into plain JSON values; what cannot be copied is left out and reported."""
    if not _is_bounded(document):
        message = (
            f"too large or too deep: at most {MAX_VALUES:,} values, aliases counted each time they "
            f"are used, and {MAX_DEPTH} levels are read"
        )
        return None, (Problem(WHOLE, message),)
    problems: list[Problem] = []
    return _copy(document, None, problems), tuple(problems)


def _is_bounded(document: object) -> bool:
    waiting: list[tuple[object, int]] = [(document, 1)]
    seen = 0
    while waiting:
        value, depth = waiting.pop()
        seen += 1
        if seen > MAX_VALUES or depth > MAX_DEPTH:
            return False
        if isinstance(value, dict):
            children = list(cast("dict[object, object]", value).values())
        elif isinstance(value, list | tuple | set):
            children = list(cast("list[object]", value))
        else:
            continue
        if len(children) > MAX_VALUES:
            return False
        waiting.extend((child, depth + 1) for child in children)
    return True


def _copy(value: object, place: _Place, problems: list[Problem]) -> Any:
    match value:
        case dict():
            return _copy_mapping(cast("dict[object, object]", value), place, problems)
        case list() | tuple():
            items = cast("list[object]", value)
            return [_copy(item, (place, index), problems) for index, item in enumerate(items)]
        case str() | bool() | None:
            return _copy_plain(value, place, problems)
        case int():
            return value if -(2**63) <= value < 2**63 else _copy_float(value, place, problems)
        case float():
            return _copy_float(value, place, problems)
        case _:
            message = f"a YAML value of kind {type(value).__name__} is not allowed: write text"
            problems.append(Problem(_path(place), message))
            return None


def _copy_mapping(
    mapping: dict[object, object], place: _Place, problems: list[Problem]
) -> dict[str, Any]:
    copy: dict[str, Any] = {}
    for key, value in mapping.items():
        if isinstance(key, str) and _is_whole(key):
            copy[key] = _copy(value, (place, key), problems)
        elif isinstance(key, str):
            problems.append(Problem(_path(place) or WHOLE, f"the key {shown(key)} {_HALF}"))
        else:
            message = f"the key {shown(key)} is not text: write it in quotes"
            problems.append(Problem(_path(place) or WHOLE, message))
    return copy


def _copy_plain(
    value: str | bool | None,  # noqa: FBT001 - a document's value
    place: _Place,
    problems: list[Problem],
) -> str | bool | None:
    if isinstance(value, str) and not _is_whole(value):
        problems.append(Problem(_path(place), f"{shown(value)} {_HALF}"))
        return None
    return value


def _is_whole(text: str) -> bool:
    return text.isascii() or not _SURROGATE.search(text)


def _copy_float(value: float, place: _Place, problems: list[Problem]) -> float | None:
    try:
        number = float(value)
    except OverflowError:  # a whole number that no float can hold
        number = math.inf
    if not math.isfinite(number):
        message = f"{number} is not allowed: numbers must be finite"
        problems.append(Problem(_path(place), message))
        return None
    if number.is_integer() and abs(number) <= LARGEST_WHOLE_FLOAT:
        return int(number)
    return number


def _path(place: _Place) -> str:
    steps: list[str | int] = []
    while place is not None:
        place, step = place
        steps.append(step)
    return spelled(reversed(steps))
