"""Dashboards: in step with their code, sound by Grafana's models, about metrics that exist."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from boards.expressions import BOARDS, Expression, names, panels, rules
from boards.generate import files
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from scaling_operator.metrics.families import FAMILIES

SERIES = {"counter": ("_total",), "info": ("_info",), "gauge": ("",)}
HISTOGRAM = ("_bucket", "_sum", "_count")


def known_names() -> set[str]:
    exposed = {
        family.name + suffix for family in FAMILIES for suffix in SERIES.get(family.kind, HISTOGRAM)
    }
    return exposed | {rule["record"] for rule in rules("record")}


def document(file: Path) -> dict[str, Any]:
    dashboard: dict[str, Any] = json.loads(file.read_text())
    return dashboard


@pytest.mark.parametrize("name", files())
def test_the_charts_file_is_in_step_with_its_code(name: str) -> None:
    (file,) = (board for board in BOARDS if board.name == name)

    assert file.read_text() == files()[name], "run `make dashboards`"


@pytest.mark.parametrize("file", BOARDS, ids=lambda file: file.stem)
def test_grafanas_models_read_it_and_write_the_same(file: Path) -> None:
    register_default_plugins()
    read = Dashboard.from_json(document(file))

    again = json.loads(JSONEncoder(sort_keys=True).encode(read))
    assert again == document(file)


@pytest.mark.parametrize("file", BOARDS, ids=lambda file: file.stem)
def test_panels_have_numbers_of_their_own_and_do_not_overlap(file: Path) -> None:
    board_panels = document(file)["panels"]
    cells = [
        (x, y)
        for panel in board_panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]

    assert len({panel["id"] for panel in board_panels}) == len(board_panels)
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24


@pytest.mark.parametrize("file", BOARDS, ids=lambda file: file.stem)
def test_every_query_asks_the_chosen_prometheus(file: Path) -> None:
    dashboard = document(file)
    sources = {
        target["datasource"]["uid"]
        for panel in dashboard["panels"]
        for target in panel.get("targets", [])
    }

    assert sources == {"${datasource}"}
    assert dashboard["templating"]["list"][0]["type"] == "datasource"


@pytest.mark.parametrize("expression", tuple(panels()), ids=lambda expression: expression.place)
def test_a_panel_names_metrics_that_exist(expression: Expression) -> None:
    assert names(expression.text)
    assert names(expression.text) <= known_names()


@pytest.mark.parametrize("kind", ["alert", "record"])
def test_rules_name_metrics_that_exist(kind: str) -> None:
    for rule in rules(kind):
        assert names(rule["expr"]) <= known_names(), rule[kind]


def test_every_metric_is_shown_or_watched_somewhere() -> None:
    texts = [expression.text for expression in panels()]
    texts += [rule["expr"] for kind in ("alert", "record") for rule in rules(kind)]
    used = {name for text in texts for name in names(text)}
    unused = {
        family.name for family in FAMILIES if not any(name.startswith(family.name) for name in used)
    }

    # Told for questions that no panel asks.
    assert unused == {
        "scaling_operator_leader_changes",
        "scaling_experiment_start_timestamp_seconds",
    }
