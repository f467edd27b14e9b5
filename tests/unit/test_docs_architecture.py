"""The architecture's map names packages, files and functions that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OPERATOR = ROOT / "operator" / "src" / "scaling_operator"
TRAINER = ROOT / "trainer" / "src" / "scaling_trainer"
PAGES = [ROOT / "docs" / "architecture.md", ROOT / "CONTRIBUTING.md"]
TEXT = {page.name: page.read_text() for page in PAGES}
NAMED = sorted(
    {(page, path) for page, text in TEXT.items() for path in re.findall(r"`([\w/]+\.py)`", text)}
)
ROWS = re.findall(r"^\| (.+?) \| (.+?) \|$", TEXT["architecture.md"], re.MULTILINE)
DECISIONS = [(question, place) for question, place in ROWS if ".py`" in place]


@pytest.mark.parametrize(("page", "path"), NAMED, ids=str)
def test_a_file_that_is_named_is_there(page: str, path: str) -> None:
    places = [base / path for base in (OPERATOR, TRAINER, ROOT)]
    assert any(place.is_file() for place in places), f"{page} names {path}"


def test_every_package_is_on_the_map_and_no_other() -> None:
    packages = {path.parent.name for path in OPERATOR.glob("*/__init__.py")}
    assert {name.strip("`") for name, _ in ROWS if re.fullmatch(r"`\w+`", name)} == packages


@pytest.mark.parametrize(("question", "place"), DECISIONS)
def test_a_decision_lies_where_the_table_says(question: str, place: str) -> None:
    paths = re.findall(r"`([\w/]+\.py)`", place)
    files = (base / path for path in paths for base in (OPERATOR, TRAINER))
    source = "".join(file.read_text() for file in files if file.is_file())
    for name in re.findall(r"`(\w+)`", place):
        defined = rf"^ *(async )?def {name}\b|^class {name}\b|^{name}\b.*="
        assert re.search(defined, source, re.MULTILINE), f"{question}: {name}"


def test_the_table_answers_twenty_questions_and_more() -> None:
    assert len(DECISIONS) >= 20
