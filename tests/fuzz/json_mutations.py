"""JSON documents made of others: values replaced, moved and left out, so that most are still JSON.

The byte-wise changes of `mutations` break the syntax more often than not; these break the meaning.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from typing import Any, cast

from hypothesis import strategies as st
from mutations import Places, Steps, made_from

ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 0.5, -0.0, 1e15, 1e308, -1e308, 5e-324, 2**53 + 1, 2**63),
    *(float("nan"), float("inf"), float("-inf"), 10**400, -(10**30), "", " ", "a", "0", "1.5"),
    *("\ud800", "\u202e", "\x00", "\x1b[31m", "\u2028", "<img src=x onerror=y>", "=1+1", "x" * 300),
    *("\U0001f600", "2026-01-31T12:00:00Z", "9999-12-31T23:59:59-23:59", "4Gi", "1h", "NaN"),
    *([], {}, [[]], [None], {"a": None}, [0] * 600, {f"k{at}": at for at in range(600)}),
)


def mutated_json(corpus: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Give the JSON objects of a corpus with a few of their values changed."""
    documents = [document for document in map(_object, corpus) if document]
    return made_from(documents, changed)


def changed(document: Any, donor: Any, steps: Steps) -> bytes:
    """Make changes one after another."""
    mutant = copy.deepcopy(document)
    for kind, places in steps:
        _change(mutant, donor, kind % 6, places)
    return json.dumps(mutant).encode()


def _change(mutant: Any, donor: Any, kind: int, places: Places) -> None:
    spots = list(_spots(mutant))
    if not spots:
        return
    holder, key = spots[places[0] % len(spots)]
    value = holder[key]
    match kind:
        case 0 | 1:
            holder[key] = copy.deepcopy(ODD_VALUES[places[1] % len(ODD_VALUES)])
        case 2:
            del holder[key]
        case 3:
            donor_holder, donor_key = _of(donor, places[1])
            holder[key] = copy.deepcopy(donor_holder[donor_key])
        case 4:
            holder[key] = [value] * (1 + places[1] % 12)
        case _:
            _renamed(holder, value, places)


def _renamed(holder: Any, value: Any, places: Places) -> None:
    """Let a value stand once more, under an odd name or at the end."""
    if isinstance(holder, dict):
        name = ODD_VALUES[places[1] % len(ODD_VALUES)]
        holder[name if isinstance(name, str) else "name"] = value
    else:
        holder.append(value)


def _of(document: Any, place: int) -> tuple[Any, Any]:
    spots = list(_spots(document))
    return spots[place % len(spots)]


def _spots(value: Any) -> list[tuple[Any, Any]]:
    """Give every place of a document: what holds it, and the key or the index there."""
    spots: list[tuple[Any, Any]] = []
    waiting: list[Any] = [value]
    while waiting:
        holder: Any = waiting.pop()
        if isinstance(holder, dict):
            keys: list[Any] = list(cast("dict[str, Any]", holder))
        elif isinstance(holder, list):
            keys = list(range(len(cast("list[Any]", holder))))
        else:
            continue
        spots += [(holder, key) for key in keys]
        waiting += [holder[key] for key in keys]
    return spots


def _object(content: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", document) if isinstance(document, dict) else None
