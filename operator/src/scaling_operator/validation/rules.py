"""Every rule of a file: those of a draft in the file's order, those of a section by its class."""

from __future__ import annotations

from typing import Any, cast

from pydantic import BaseModel

from scaling_operator.api.fields import CheckedSection
from scaling_operator.api.rules import Rule
from scaling_operator.validation.container_rules import CONTAINER_RULES
from scaling_operator.validation.draft import Draft
from scaling_operator.validation.immutable import IMMUTABLE_RULES
from scaling_operator.validation.impossible_values import values_fit_the_rest
from scaling_operator.validation.scaling_rules import SCALING_RULES
from scaling_operator.validation.search_rules import OBJECTIVE_RULES, SEARCH_RULES
from scaling_operator.validation.trainer_rules import TRAINER_RULES

DRAFT_RULES: tuple[Rule[Draft], ...] = (
    *OBJECTIVE_RULES,
    *TRAINER_RULES,
    Rule(check=values_fit_the_rest),
    *SEARCH_RULES,
    *SCALING_RULES,
    *CONTAINER_RULES,
)
"""Rules that look at more than one section, in the order in which a file is read."""


def rules_of(section: type[BaseModel]) -> tuple[Rule[Any], ...]:
    """Rules that an API server holds at a section, with those of the classes it inherits from."""
    own = section.RULES if issubclass(section, CheckedSection) else ()
    classes = section.__mro__
    others = (rule for rule in (*DRAFT_RULES, *IMMUTABLE_RULES) if rule.section in classes)
    return tuple(rule for rule in cast("tuple[Rule[Any], ...]", (*own, *others)) if rule.cel)
