"""Alerts: each is tested by promtool, and leads a person to a page that helps."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from boards.expressions import RULES, compared, rules
from ruamel.yaml import YAML

HERE = Path(__file__).parent
TESTS = sorted((HERE / "alerts").glob("*.yaml"))
RUNBOOKS = HERE.parents[1] / "docs" / "runbooks"
ALERTS = [rule["alert"] for rule in rules("alert")]


def promtool(*arguments: str) -> None:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("needs promtool (Debian package prometheus)")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_finds_the_rules_sound() -> None:
    promtool("check", "rules", *(str(file) for file in RULES))


def test_alerts_fire_when_they_should_and_else_do_not() -> None:
    promtool("test", "rules", *(str(file) for file in TESTS))


def expected() -> dict[str, set[bool]]:
    """For each alert, whether tests expect it to fire, and to be quiet."""
    yaml: Any = YAML(typ="safe", pure=True)
    outcomes: dict[str, set[bool]] = {}
    for file in TESTS:
        for test in yaml.load(file.read_text())["tests"]:
            for expectation in test["alert_rule_test"]:
                outcomes.setdefault(expectation["alertname"], set()).add(
                    bool(expectation.get("exp_alerts"))
                )
    return outcomes


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_is_tested_both_ways(alert: str) -> None:
    assert expected()[alert] == {True, False}


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_has_a_page_that_says_where_to_look_and_what_to_do(alert: str) -> None:
    page = (RUNBOOKS / f"{alert}.md").read_text()

    assert page.startswith(f"# {alert}\n")
    for part in ("**What it means.**", "**What follows.**", "## Look", "## Do"):
        assert part in page


def test_no_page_is_about_an_alert_that_there_is_not() -> None:
    assert {file.stem for file in RUNBOOKS.glob("*.md")} == set(ALERTS)


def test_comparisons_can_be_turned_into_numbers() -> None:
    assert compared("a > 3\nand b == 1") == "a > bool 3 and b == bool 1"
