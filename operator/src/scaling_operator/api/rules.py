"""A rule of a file: its check in Python for files, and its condition in CEL for API servers.

The two stand side by side, each with its message. A section carries the rules between its own
fields (`fields.CheckedSection`); rules that look at several sections stand in `validation`, by
topic.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from scaling_operator.api.problems import Problem

Subject = TypeVar("Subject")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule(Generic[Subject]):
    """A condition that has to hold. Python or CEL is absent where the other alone can check it."""

    holds: Callable[[Subject], bool] | None = None
    """The condition in Python, where one field is at fault."""
    sentence: str | Callable[[Subject], str] = ""
    """The message for a file's author; empty: the same message as an API server's."""
    check: Callable[[Subject], Iterable[Problem]] | None = None
    """Instead of holds and sentence, where several places may be at fault.

    Paths are relative to the section; those of a draft begin with `spec`.
    """

    cel: str = ""
    """The condition in CEL, as a CustomResourceDefinition holds it."""
    message: str = ""
    """The message of an API server."""
    field: str = ""
    """The field that is at fault; empty: the section as a whole."""
    reason: str = ""
    """Kubernetes' reason of the API server's answer; empty: FieldValueInvalid."""
    section: type[BaseModel] | None = None
    """Where an API server looks; absent: at the section that carries the rule."""

    def problems(self, subject: Subject) -> Iterator[Problem]:
        """Check the rule in Python: report each place where it is broken."""
        if self.check is not None:
            yield from self.check(subject)
        elif self.holds is not None and not self.holds(subject):
            sentence = self.sentence if isinstance(self.sentence, str) else self.sentence(subject)
            yield Problem(self.field, sentence or self.message)

    def rendered(self) -> dict[str, str]:
        """Render the condition in CEL as an entry of x-kubernetes-validations."""
        entry = {"rule": self.cel, "message": self.message}
        if self.field:
            entry["fieldPath"] = f".{self.field}"
        if self.reason:
            entry["reason"] = self.reason
        return entry


def literal(value: str | Sequence[str]) -> str:
    """Write a text or a list of texts as CEL does."""
    return json.dumps(value if isinstance(value, str) else list(value)).replace('"', "'")


def is_given(field: str) -> str:
    """Write in CEL that a list is there and not empty."""
    return f"(has(self.{field}) && size(self.{field}) > 0)"


def length(field: str) -> str:
    """Write in CEL the length of a list, 0 where the list is absent."""
    return f"(has(self.{field}) ? size(self.{field}) : 0)"


def is_unique(field: str, of: str = "") -> str:
    """Write in CEL that the items of a list differ, or what they have in the field `of`."""
    same = f"other.{of} == one.{of}" if of else "other == one"
    return f"self.{field}.all(one, self.{field}.exists_one(other, {same}))"


def value_or(field: str, default: object) -> str:
    """Write in CEL the value of a field, and its default where the field is absent."""
    return f"(has(self.{field}) ? self.{field} : {default})"


def exactly_one_of(*attributes: str) -> Rule[Any]:
    """Ask a section for exactly one of some optional fields, by their attributes."""
    fields = tuple(map(to_camel, attributes))
    return Rule(
        holds=lambda section: _count(section, attributes) == 1,
        cel=f"[{', '.join(f'has(self.{field})' for field in fields)}].exists_one(each, each)",
        message=f"set exactly one of {', '.join(fields)}",
    )


def at_most_one_of(first: str, second: str) -> Rule[Any]:
    """Ask a section for at most one of two optional fields, by their attributes."""
    return Rule(
        holds=lambda section: _count(section, (first, second)) <= 1,
        cel=f"!(has(self.{to_camel(first)}) && has(self.{to_camel(second)}))",
        message=f"set at most one of {to_camel(first)}, {to_camel(second)}",
    )


def _count(section: object, attributes: Sequence[str]) -> int:
    return sum(getattr(section, attribute) is not None for attribute in attributes)
