"""The guide to the experiment file shows every field, and every example in it is valid."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from scaling_operator.validation import guide_tables, model_fields
from scaling_operator.validation.advice import warnings_of
from scaling_operator.validation.checks import check_document
from scaling_operator.validation.load import parse_experiment
from scaling_trainer.config.tasks import DATASETS_BY_TASK, METRICS_BY_TASK, MODELS_BY_TASK

PAGE_FOLDER = Path(__file__).parents[3] / "docs"
PAGE = (PAGE_FOLDER / "experiment-file.md").read_text()
EXAMPLE, *FRAGMENTS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


def yaml(text: str) -> Any:
    reader: Any = YAML(typ="safe", pure=True)
    return reader.load(text)


def rows_of(page: str) -> Mapping[str, Sequence[str]]:
    """Read back which fields the tables of a page hold, by section."""
    return {
        table[2]: re.findall(r"^\| `(\w+)` \|", table[0], re.MULTILINE)
        for table in re.finditer(r"(<!-- fields: (\S+) -->\n).*?(<!-- end -->)", page, re.DOTALL)
    }


def test_the_tables_are_in_step_with_the_models() -> None:
    assert guide_tables.fill(PAGE) == PAGE


def test_every_field_of_every_section_is_shown() -> None:
    rows = rows_of(PAGE)
    shown = {guide_tables.sections()[path] for path in rows}

    # A section that stands in two places, such as an objective, is shown once.
    assert set(guide_tables.sections().values()) == shown
    for path, fields in rows.items():
        of_models = chain.from_iterable(map(model_fields.fields_of, guide_tables.sections()[path]))
        assert set(of_models) <= set(fields), path


def test_a_table_of_a_section_that_there_is_not_is_refused() -> None:
    with pytest.raises(KeyError):
        guide_tables.fill("<!-- fields: spec.serch -->\n<!-- end -->")


def test_the_example_is_valid_and_gives_no_warning() -> None:
    assert warnings_of(parse_experiment(EXAMPLE, "example")) == ()


@pytest.mark.parametrize("fragment", FRAGMENTS, ids=[text.split(":")[0] for text in FRAGMENTS])
def test_a_fragment_is_valid_in_the_place_of_the_example(fragment: str) -> None:
    document, sections = yaml(EXAMPLE), yaml(fragment)
    spec = document["spec"]
    if "objectives" in sections:
        del spec["objective"]
    if {"objectives", "trainer"} & sections.keys():
        del spec["scaling"]
    spec.update(sections)

    assert check_document(document) == ()


def test_every_task_metric_dataset_and_model_is_named() -> None:
    names = set(chain.from_iterable([*DATASETS_BY_TASK.values(), *MODELS_BY_TASK.values()]))
    names |= {f"val_{metric}" for metrics in METRICS_BY_TASK.values() for metric in metrics}
    names |= set(METRICS_BY_TASK)

    assert [name for name in sorted(names) if f"`{name}`" not in PAGE] == []


WARNINGS: list[Any] = [
    pytest.param(
        {"search": {"algorithm": {"name": "tpe", "startupTrials": 11}, "parameters": {}}},
        "",
        id="nothing is searched, so nothing is random",
    ),
    pytest.param(
        {
            "trials": {"max": 15},
            "search": {
                "algorithm": {"name": "tpe", "startupTrials": 10},
                "parameters": {"optimizer.learning_rate": {"type": "float", "low": 0.1, "high": 1}},
            },
        },
        "spec.search.algorithm.startupTrials: 10 of the 15 trials of a scale are random, more",
        id="more than half of the trials are random",
    ),
    pytest.param(
        {"trials": {"max": 15}},
        "",
        id="nothing is written, so as many are random as suit the number of trials",
    ),
    pytest.param(
        {"objective": {"metric": "val_loss", "direction": "maximize"}},
        "spec.objective.direction: val_loss is better the other way; did you mean minimize?",
        id="a loss is to be large",
    ),
    pytest.param(
        {"objective": {"metric": "val_recall_3", "direction": "minimize"}},
        "spec.objective.direction: val_recall_3 is better the other way; did you mean maximize?",
        id="a recall is to be small",
    ),
    pytest.param(
        {
            "search": {
                "algorithm": {"name": "grid"},
                "parameters": {
                    "batch_size": {"type": "int", "low": 1, "high": 10},
                    "epochs": {"type": "int", "low": 1, "high": 10, "when": {"batch_size": [1]}},
                },
            },
            "trials": {"max": 18},
        },
        "spec.trials.max: the grid has 19 points, of which only 18 are tried",
        id="a grid is cut short, inactive points not counted",
    ),
]


@pytest.mark.parametrize(("changes", "warning"), WARNINGS)
def test_what_is_probably_not_meant_is_said(changes: dict[str, Any], warning: str) -> None:
    document = yaml(EXAMPLE)
    document["spec"].update(changes)
    text = str(document).replace("True", "true")

    warnings = warnings_of(parse_experiment(text, "x"))

    assert [text[: len(warning)] for text in warnings] == ([warning] if warning else [])


POLICY_PAGE = PAGE_FOLDER / "resources.md"


def test_every_field_of_a_policy_is_shown_and_in_step() -> None:
    page = POLICY_PAGE.read_text()
    rows = rows_of(page)
    shown = {guide_tables.policy_sections()[path] for path in rows}

    assert guide_tables.fill(page) == page
    # Limits stand in three places and are shown once.
    assert set(guide_tables.policy_sections().values()) == shown
    for path, fields in rows.items():
        of_models = chain.from_iterable(
            map(model_fields.fields_of, guide_tables.policy_sections()[path])
        )
        assert set(of_models) <= set(fields), path
