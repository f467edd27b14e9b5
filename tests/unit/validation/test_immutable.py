"""What may not change once an experiment is accepted: the verdict of the rule for folders.

The same table is asked of an API server in `tests/cluster/test_crd_changes.py`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from changes_of_a_spec import FIXED, FREE, SPELLED_OUT, Row, body, patched
from testbed.documents import experiment

from scaling_operator.api.experiment import ExperimentSpec, Trainer
from scaling_operator.api.scaling import Scaling
from scaling_operator.validation import immutable
from scaling_operator.validation.immutable import changed_parts, fixed_parts, free_fields

GUIDE = Path(__file__).parents[3] / "docs" / "experiment-file.md"


def verdict(row: Row) -> tuple[str, ...]:
    before = experiment("study")
    after = patched(before, body(row.changes))
    specs = (ExperimentSpec.model_validate(document["spec"]) for document in (before, after))
    return changed_parts(*specs)


@pytest.mark.parametrize("row", FIXED, ids=lambda row: row.why)
def test_a_change_of_what_trials_are_answers_to_is_named(row: Row) -> None:
    assert verdict(row) == row.parts


@pytest.mark.parametrize("row", FREE, ids=lambda row: row.why)
def test_a_change_of_the_bounds_or_of_the_question_asked_of_results_is_none(row: Row) -> None:
    assert row.parts == verdict(row) == ()


@pytest.mark.parametrize("row", SPELLED_OUT, ids=lambda row: row.why)
def test_a_default_that_is_written_out_is_no_change_of_a_folder(row: Row) -> None:
    assert verdict(row) == ()


def at(document: Any, path: str) -> Any:
    for step in path.split("."):
        document = document.get(step, {})
    return document


@pytest.mark.parametrize("path", immutable.FIXED)
def test_every_fixed_path_is_changed_by_a_row_of_the_table(path: str) -> None:
    before = experiment("study")

    changed = [patched(before, body(row.changes)) for row in FIXED]

    assert any(at(after["spec"], path) != at(before["spec"], path) for after in changed)


def test_every_fixed_path_is_a_field() -> None:
    fields = {"": ExperimentSpec, "scaling": Scaling, "trainer": Trainer}
    for path in immutable.FIXED:
        part, _, field = path.rpartition(".")
        assert field in {str(info.alias) for info in fields[part].model_fields.values()}, path


def test_the_guide_tells_what_may_change_of_a_part_that_is_fixed_otherwise() -> None:
    section = GUIDE.read_text().partition("## What may change while it runs")[2]

    for part in fixed_parts():
        for field in free_fields(part):
            assert re.search(rf"`{part}\.{field}`", section), f"{part}.{field}"
