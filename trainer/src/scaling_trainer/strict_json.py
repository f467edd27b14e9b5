"""JSON that somebody else wrote: an object of text without doubles, or a plain objection.

Python's reader takes more than JSON has: halves of characters, two values for one name.
"""

from __future__ import annotations

import json
from typing import Any, cast


class NotAnObject(ValueError):
    """A text is not one JSON object."""


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


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            message = f"{name[:80]!r} stands in it twice"
            raise ValueError(message)
        found[name] = value
    return found
