"""What is wrong with a document: where, what, and what is allowed.

Every check reports the same values: a path in the file's own spelling, and a sentence that a person
can act on.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from scaling_trainer.foreign_text import one_line

LONGEST_SHOWN = 60
MOST_LISTED = 20
LONGEST_LISTED = 64
"""A parameter's name may have 63 characters."""


@dataclass(frozen=True, slots=True)
class Problem:
    """An error of a file: its path (`spec.objectives[0].goal`), and what is allowed there."""

    path: str
    message: str

    def __post_init__(self) -> None:
        """Keep control characters out: path and message hold keys and values of a file."""
        object.__setattr__(self, "path", one_line(self.path))
        object.__setattr__(self, "message", one_line(self.message))

    def __str__(self) -> str:
        """Render as `path: message`; a problem of the whole document has no path."""
        return f"{self.path}: {self.message}" if self.path else self.message


class InvalidSpec(ValueError):
    """A document that cannot be used, with every problem of it."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


def below(path: str, step: str | int) -> str:
    """Path of a field or list item below another path."""
    if isinstance(step, int):
        return f"{path}[{step}]"
    return f"{path}.{step}" if path and step else path + step


def spelled(steps: Iterable[str | int]) -> str:
    """Path of a place by the keys and indexes that lead to it; a blank key stands in quotes."""
    path = ""
    for step in steps:
        is_blank = isinstance(step, str) and not step.strip()
        path = below(path, repr(step) if is_blank else step)
    return path


def nearest(name: str, allowed: Iterable[str]) -> str | None:
    """Find the allowed name that a mistyped one most likely means, regardless of case."""
    by_lower = {candidate.lower(): candidate for candidate in allowed}
    matches = difflib.get_close_matches(name[:200].lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[matches[0]] if matches else None


def suggestion(name: str, allowed: Iterable[str]) -> str:
    """Suggest the name that was probably meant or, where none is near, list those there are."""
    names = tuple(allowed)
    near = nearest(name, names)
    if near is not None:
        return f"did you mean {near}?"
    return f"allowed: {listing(names)}" if names else "nothing is allowed here"


def listing(names: Iterable[object]) -> str:
    """Join names by commas: of many the first twenty, of a long name its beginning."""
    every = tuple(names)
    first = every[:MOST_LISTED]
    more = f" and {len(every) - MOST_LISTED} more" if len(every) > MOST_LISTED else ""
    return ", ".join(_cut(str(name), LONGEST_LISTED) for name in first) + more


def shown(value: object) -> str:
    """Show a value from a file in a message: short, text in quotes."""
    match value:
        case None:
            text = "nothing"
        case bool():
            text = "true" if value else "false"
        case dict():
            text = "a mapping"
        case list() | tuple():
            text = "a list"
        case float():
            text = f"{value:.6g}"
        case _:
            text = repr(value)
    return _cut(text, LONGEST_SHOWN)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
