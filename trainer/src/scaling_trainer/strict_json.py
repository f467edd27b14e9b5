"""JSON that somebody else wrote, read strictly.

Python's reader accepts JSON that other programs cannot read: lone surrogates, two values for one
name, numbers of a thousand digits, a thousand levels. The two readers here refuse different parts:

* `read_object_of_unique_names` reads a variable, a result or a report. Each has a few thousand
  bytes, and its reader checks every value by itself. A name with two values is refused.
* `read_bounded_document` reads a file or an answer, whose values may go anywhere. Its depth, the
  digits of its whole numbers and lone surrogates are bounded. Of two values for one name the last
  counts, as in Python.

The caller of either bounds the length.
"""

from __future__ import annotations

import json
import re
from typing import Any, cast

MOST_DEPTH = 64
"""Levels of objects and lists in a document. Documents of this project have fewer than ten."""
MOST_DIGITS = 300
"""Digits of a whole number in a document. A double holds 308 at most."""

HALF_A_CHARACTER = "has half a character, one of \\ud800 to \\udfff alone"

_DIGITS = re.compile(rf"\d{{{MOST_DIGITS + 1}}}", re.ASCII)
_DIGITS_OF_BYTES = re.compile(_DIGITS.pattern.encode())


class NotAnObject(ValueError):
    """The text is not one JSON object."""


class NotADocument(ValueError):
    """The text is not a JSON document, or a document beyond the bounds. The message says why."""


def read_object_of_unique_names(raw: bytes, what: str) -> dict[str, Any]:
    """Read an object in which each name stands once. Raises NotAnObject.

    `what` names the text in the error's message. The size of a number is not checked.
    """
    try:
        text = raw.decode(json.detect_encoding(raw))
        document = json.loads(text.removeprefix("\ufeff"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        message = f"{what} is not JSON: {error}"
        raise NotAnObject(message) from error
    if not isinstance(document, dict):
        message = f"{what} is not a JSON object"
        raise NotAnObject(message)
    return cast("dict[str, Any]", document)


def read_bounded_document(text: str | bytes) -> Any:
    """Read a document within MOST_DEPTH and MOST_DIGITS, without half characters.

    Raises NotADocument.
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
    """Whether a text in the document cannot be encoded: JSON can escape half a character."""
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name in values:
            message = f"{name[:80]!r} stands in it twice"
            raise ValueError(message)
        values[name] = value
    return values


def _has_long_numbers(text: str | bytes) -> bool:
    """Whether each whole number has to be checked: texts without long numbers parse faster."""
    return bool(_DIGITS_OF_BYTES.search(text) if isinstance(text, bytes) else _DIGITS.search(text))


def _whole(digits: str) -> int:
    """Read a whole number that fits a double. Raises ValueError."""
    if len(digits) > MOST_DIGITS:
        message = f"it holds a whole number of {len(digits)} digits"
        raise ValueError(message)
    return int(digits)


def _has_escapes(text: str | bytes) -> bool:
    """Whether the document has to be searched for half characters: few texts have this escape."""
    return b"\\ud" in text.lower() if isinstance(text, bytes) else "\\ud" in text.lower()


def _is_deeper(document: object, levels: int) -> bool:
    """Whether objects and lists are nested in more than `levels` levels."""
    level: list[Any] = [document]
    for _ in range(levels + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (
                cast("dict[str, Any]", outer).values()
                if isinstance(outer, dict)
                else cast("list[Any]", outer)
            )
        ]
        if not level:
            return False
    return True
