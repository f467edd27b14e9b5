"""JSON that somebody else wrote, or a plain objection.

Python's reader takes more than others can read again: halves of characters, two values for one
name, numbers of a thousand digits, a thousand levels.
"""

from __future__ import annotations

import json
import re
from typing import Any, cast

MOST_DEPTH = 64
"""Levels of objects and lists in a document; ours have fewer than ten."""
MOST_DIGITS = 300
"""Of a whole number in a document: no double holds one that is much longer."""

HALF_A_CHARACTER = "has half a character, one of \\ud800 to \\udfff alone"

_DIGITS = re.compile(rf"\d{{{MOST_DIGITS + 1}}}", re.ASCII)
_DIGITS_OF_BYTES = re.compile(_DIGITS.pattern.encode())


class NotAnObject(ValueError):
    """A text is not one JSON object."""


class NotADocument(ValueError):
    """A text is no JSON document, or one that is too much; the message says what is wrong."""


def read_object(raw: bytes, what: str) -> dict[str, Any]:
    """Read an object. Raises NotAnObject, which calls the text `what`.

    The length is the caller's to bound; numbers are not looked at.
    """
    try:
        text = raw.decode(json.detect_encoding(raw))
        document = json.loads(text.removeprefix("\ufeff"), object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        message = f"{what} is not JSON: {error}"
        raise NotAnObject(message) from error
    if not isinstance(document, dict):
        message = f"{what} is not a JSON object"
        raise NotAnObject(message)
    return cast("dict[str, Any]", document)


def read_document(text: str | bytes) -> Any:
    """Read a document of at most MOST_DEPTH levels. Raises NotADocument.

    The length is the caller's to bound.
    """
    try:
        document = json.loads(text, parse_int=_whole if _has_long_numbers(text) else None)
    except RecursionError as error:
        message = "is nested too deeply"
        raise NotADocument(message) from error
    except ValueError as error:
        message = f"is no JSON: {error}" if text.strip() else "is empty"
        raise NotADocument(message) from error
    if _is_deeper(document, MOST_DEPTH):
        message = f"is nested deeper than {MOST_DEPTH} levels"
        raise NotADocument(message)
    if _has_escapes(text) and has_half_a_character(document):
        raise NotADocument(HALF_A_CHARACTER)
    return document


def has_half_a_character(document: object) -> bool:
    """Whether a document has text that JSON can escape and no encoding can write."""
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            message = f"{name[:80]!r} stands in it twice"
            raise ValueError(message)
        found[name] = value
    return found


def _has_long_numbers(text: str | bytes) -> bool:
    """Whether it is worth looking at each whole number; most texts are read faster."""
    return bool(_DIGITS_OF_BYTES.search(text) if isinstance(text, bytes) else _DIGITS.search(text))


def _whole(digits: str) -> int:
    """Read a whole number that fits a double. Raises ValueError."""
    if len(digits) > MOST_DIGITS:
        message = f"it holds a whole number of {len(digits)} digits"
        raise ValueError(message)
    return int(digits)


def _has_escapes(text: str | bytes) -> bool:
    """Whether it is worth looking for halves of characters; few texts have such an escape."""
    return b"\\ud" in text.lower() if isinstance(text, bytes) else "\\ud" in text.lower()


def _is_deeper(document: object, levels: int) -> bool:
    """Whether objects and lists are nested in more levels than these."""
    here: list[Any] = [document]
    for _ in range(levels + 1):
        here = [
            inner
            for outer in here
            if isinstance(outer, dict | list)
            for inner in (
                cast("dict[str, Any]", outer).values()
                if isinstance(outer, dict)
                else cast("list[Any]", outer)
            )
        ]
        if not here:
            return False
    return True
