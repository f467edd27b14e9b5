"""The operating guide's tables say what the code does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer
from ruamel.yaml import YAML

from scaling_operator.api.names import ConditionReason, Reason
from scaling_operator.cluster.main import app
from scaling_operator.core.tally import UNCOUNTED
from scaling_operator.core.transitions import QUEUEING

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
ROLES, USERS = ("Role", "ClusterRole"), ("-view", "-edit", "-metrics-reader")
GUIDE = (DOCS / "operating.md").read_text()


def table(name: str) -> list[list[str]]:
    """Rows of the table behind a mark, without its head."""
    (text,) = re.findall(rf"<!-- {name} -->\n(.*?)<!-- end -->", GUIDE, re.DOTALL)
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def documents(path: str) -> list[dict[str, Any]]:
    yaml: Any = YAML(typ="safe", pure=True)
    return [document for document in yaml.load_all((ROOT / path).read_text()) if document]


def test_every_reason_has_a_row() -> None:
    assert sorted(row[0] for row in table("reasons")) == sorted(f"`{each}`" for each in Reason)


@pytest.mark.parametrize("row", table("reasons"), ids=lambda row: row[0].strip("`"))
def test_a_row_says_whether_it_counts(row: list[str]) -> None:
    reason = Reason(row[0].strip("`"))
    follows = row[2] + row[3]
    if reason is Reason.SUSPENDED or follows.startswith("the same"):
        return
    assert ("does not count" in follows) == (reason in UNCOUNTED), reason
    assert ("`Queued`" in follows) == (reason in QUEUEING), reason


def test_every_reason_of_a_condition_is_explained() -> None:
    assert [reason for reason in ConditionReason if f"`{reason}`" not in GUIDE] == []


def test_the_rights_are_those_that_are_shipped() -> None:
    roles = [each for each in documents("manifests/install.yaml") if each["kind"] in ROLES]
    operators = [role for role in roles if not role["metadata"]["name"].endswith(USERS)]
    shipped = {
        (resource, verb)
        for role in operators
        for rule in role["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    told = {
        (re.findall(r"`([a-z/]+)`", kind)[0], verb.strip())
        for _, kind, verbs, _ in table("rights")
        for verb in verbs.split(",")
    }
    # Jobs are touched where they are the workload alone; the manifest has pods.
    assert {each for each in told if each[0] != "jobs"} == shipped


def test_every_option_is_named_with_its_default() -> None:
    command = typer.main.get_command(app)
    options = {option for each in command.params for option in each.opts} - {"--help"}
    rows = {name: row for row in table("settings") for name in re.findall(r"`(--[a-z-]+)`", row[0])}
    assert set(rows) == options
    for each in command.params:
        default = rows[each.opts[0]][2]
        if default.startswith("`") and "<" not in default:
            assert str(each.default).split(".")[-1].lower() == default.strip("`"), each.opts


def test_every_value_of_a_setting_is_one_of_the_chart() -> None:
    (values,) = documents("charts/scaling-operator/values.yaml")
    for _, value, _ in table("settings"):
        for path in re.findall(r"`([a-zA-Z.]+)`", value):
            at: Any = values
            for step in path.split("."):
                at = at[step]


@pytest.mark.parametrize("page", sorted(DOCS.glob("**/*.md")), ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    text = page.read_text()
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        linked = (page.parent / path) if path else page
        assert linked.exists(), target
        if anchor:
            heads = re.findall(r"^#+ (.*)$", linked.read_text(), re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", head).lower().replace(" ", "-") for head in heads}
            assert anchor in anchors, target
