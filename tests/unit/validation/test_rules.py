"""A rule that stands in Python and in CEL: a document that breaks it is refused by both.

The rules in CEL are asked without an API server here; `tests/cluster/test_crd_refusals.py` and
`test_crd_changes.py` ask the same tables of a real one.
"""

from __future__ import annotations

from typing import Any

import pytest
from cel_rules import Broken, broken_rules
from changes_of_a_spec import FIXED, FREE, SPELLED_OUT, Row, body, patched
from crd_validator import validator
from refused_documents import POLICIES, ROWS
from testbed.documents import Change, changed, experiment
from valid_documents import KIND_OF, VALID

from scaling_operator.api.rules import Rule
from scaling_operator.validation.checks import check_document, check_policy
from scaling_operator.validation.crd import KINDS, Definition
from scaling_operator.validation.immutable import IMMUTABLE_RULES
from scaling_operator.validation.model_fields import sections_within
from scaling_operator.validation.rules import DRAFT_RULES, rules_of
from scaling_trainer.config.base import Section

EXPERIMENTS, _, POLICY_KIND = KINDS
Document = dict[str, Any]


def refused_by_schema(kind: Definition, document: Document) -> bool:
    return not validator(kind).is_valid(document)


@pytest.mark.parametrize("name", VALID)
def test_a_valid_document_breaks_no_rule(name: str) -> None:
    assert broken_rules(KIND_OF[name], VALID[name]) == ()


@pytest.mark.parametrize(
    ("changes", "path", "words"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)
def test_a_bad_document_is_refused_by_both(
    changes: tuple[Change, ...], path: str, words: str
) -> None:
    document = changed(experiment("bad"), *changes)
    assert check_document(document)
    if words != "unknown field" and not refused_by_schema(EXPERIMENTS, document):
        broken = broken_rules(EXPERIMENTS, document)
        assert any(path in rule.path and words in rule.message for rule in broken), broken


@pytest.mark.parametrize(
    ("document", "words"), [row[1:] for row in POLICIES], ids=[row[0] for row in POLICIES]
)
def test_a_bad_policy_is_refused_by_both(document: Document, words: str) -> None:
    assert check_policy(document)
    if not refused_by_schema(POLICY_KIND, document):
        broken = broken_rules(POLICY_KIND, document)
        assert any(words in rule.message for rule in broken), broken


def test_every_rule_in_cel_is_broken_by_a_document_of_the_tables() -> None:
    broken = {
        rule.cel
        for kind, document in (
            *((EXPERIMENTS, changed(experiment("bad"), *row[1])) for row in ROWS),
            *((POLICY_KIND, row[1]) for row in POLICIES),
        )
        if not refused_by_schema(kind, document)
        for rule in broken_rules(kind, document)
    }

    # A rule of a variant stands in a CRD behind a condition on the variant's name.
    unbroken = [
        rule for rule in rules_of_all_kinds() if not any(rule.cel in text for text in broken)
    ]

    assert [rule.message for rule in unbroken] == []


def rules_of_all_kinds() -> list[Rule[Any]]:
    """Rules in CEL of every section, but for those that look at a change."""
    sections = {section: None for kind in KINDS for section in sections_within(kind.model)}
    return [
        rule for section in sections for rule in rules_of(section) if rule not in IMMUTABLE_RULES
    ]


def test_no_rule_stands_in_cel_alone() -> None:
    """But for rules of the trainer's models, which check themselves, and rules of a change."""
    alone = {rule.section for rule in rules_of_all_kinds() if not (rule.holds or rule.check)}
    assert all(section is not None and issubclass(section, Section) for section in alone)


def test_every_rule_in_cel_stands_in_a_crd() -> None:
    held = {rule.cel for rule in rules_of_all_kinds()}
    assert {rule.cel for rule in DRAFT_RULES if rule.cel} <= held


def changed_parts_in_cel(row: Row) -> tuple[str, ...]:
    """Name the parts of an accepted experiment's spec whose change is refused in CEL."""
    condition = {"type": "Accepted", "status": "True", "reason": "Test"}
    before = {**experiment("study"), "status": {"conditions": [condition]}}
    after = patched(before, body(row.changes))
    broken = broken_rules(EXPERIMENTS, after, before)
    return tuple(sorted(rule.path for rule in broken if is_of_change(rule)))


def is_of_change(broken: Broken) -> bool:
    return "cannot change once" in broken.message


@pytest.mark.parametrize("row", [*FIXED, *SPELLED_OUT, *FREE], ids=lambda row: row.why)
def test_cel_names_the_same_fixed_parts_as_for_folders(row: Row) -> None:
    assert changed_parts_in_cel(row) == tuple(sorted(row.parts))
