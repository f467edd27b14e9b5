"""The operating guide's tables say what the code does."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from ruamel.yaml import YAML

from scaling_operator.api.names import ConditionReason, Reason, StopReason
from scaling_operator.core.bounds import BOUNDS
from scaling_operator.core.guide import fill
from scaling_operator.core.reasons import Next, counts, next_of
from scaling_operator.kube.client.queue import MAX_BACKOFF_SECONDS
from scaling_operator.kube.client.watch import LONGEST_PAUSE_SECONDS
from scaling_operator.kube.health import (
    MAX_LAG_SECONDS,
    MAX_MISSES,
    MAX_QUEUE_SECONDS,
    MAX_WATCH_FAILURES,
    Health,
)
from scaling_operator.kube.main import app
from scaling_operator.kube.operate import FORBIDDEN_PAUSE_SECONDS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SOURCE = ROOT / "operator" / "src" / "scaling_operator"
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


def test_the_tables_of_the_guide_are_in_step_with_the_code() -> None:
    assert fill(GUIDE) == GUIDE, "run `make generate`"


def test_every_reason_has_a_row() -> None:
    assert sorted(row[0] for row in table("reasons")) == sorted(f"`{reason}`" for reason in Reason)


@pytest.mark.parametrize("row", table("reasons"), ids=lambda row: row[0].strip("`"))
def test_a_row_says_whether_it_counts(row: list[str]) -> None:
    reason = Reason(row[0].strip("`"))
    follows = row[2] + row[3]
    if reason is Reason.SUSPENDED or follows.startswith("the same"):
        return
    assert ("does not count" in follows) == (not counts(reason)), reason
    assert ("`Queued`" in follows) == (next_of(reason) is Next.WAIT), reason


def test_every_reason_of_a_stopped_trial_is_one_that_a_plan_gives() -> None:
    """And the guide tells of no other."""
    source = "".join(path.read_text() for path in (SOURCE / "core").glob("*.py"))
    assert [reason for reason in StopReason if f"StopReason.{reason.name}" not in source] == []
    (sentence,) = re.findall(r"`Stopped` with (.*?)\.\n", GUIDE, re.DOTALL)
    assert set(re.findall(r"`(\w+)`", sentence)) == set(StopReason)


def test_how_long_pauses_are_while_the_api_server_is_away() -> None:
    (row,) = [line for line in GUIDE.splitlines() if "the API server does not answer" in line]
    pauses = [float(seconds) for seconds in re.findall(r"pauses up to (\d+) s", row)]
    assert pauses == [MAX_BACKOFF_SECONDS, LONGEST_PAUSE_SECONDS]
    (row,) = [line for line in GUIDE.splitlines() if line.startswith("| `forbidden` in its log")]
    assert f"every {FORBIDDEN_PAUSE_SECONDS:.0f} s" in row


def test_when_the_operator_says_that_it_is_not_well() -> None:
    (sentence,) = re.findall(r"`/healthz` fails when (.*?): a restart", GUIDE, re.DOTALL)
    words = " ".join(sentence.split())
    assert words == (
        f"the event loop lags {MAX_LAG_SECONDS:.0f} s, experiments wait and none has had its turn "
        f"for {MAX_QUEUE_SECONDS / 60:.0f} minutes, the watches fail more than "
        f"{MAX_WATCH_FAILURES} times in a row or fall behind {MAX_MISSES} comparisons in a row"
    )


@pytest.mark.parametrize(
    ("failures", "misses", "is_sick"),
    [
        pytest.param(MAX_WATCH_FAILURES, 0, False, id="8 failures"),
        pytest.param(MAX_WATCH_FAILURES + 1, 0, True, id="more than 8"),
        pytest.param(0, MAX_MISSES - 1, False, id="2 comparisons"),
        pytest.param(0, MAX_MISSES, True, id="3 comparisons"),
    ],
)
def test_bounds_of_health_are_as_told(failures: int, misses: int, is_sick: bool) -> None:  # noqa: FBT001 - a table
    parts: Any = SimpleNamespace(failures=failures, misses=misses, stalled_seconds=0.0)
    health = Health(parts, parts, parts, lambda: True, lambda: True, lambda: 0.0)
    assert (health.unhealthy() is not None) == is_sick


def test_every_decision_has_a_number_of_its_own() -> None:
    pages = sorted((DOCS / "adr").glob("*.md"))
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    for page in pages:
        assert page.read_text().startswith(f"# {int(page.name[:4])}. "), page.name


def test_what_repeats_or_waits_has_the_bounds_of_the_code() -> None:
    assert table("bounds") == [[row.what, row.bound, row.then] for row in BOUNDS]


def test_every_reason_of_a_condition_is_explained() -> None:
    assert [reason for reason in ConditionReason if f"`{reason}`" not in GUIDE] == []


def test_the_rights_are_those_that_are_shipped() -> None:
    roles = [
        document for document in documents("manifests/install.yaml") if document["kind"] in ROLES
    ]
    operators = [role for role in roles if not role["metadata"]["name"].endswith(USERS)]
    shipped = {
        (resource, verb)
        for role in operators
        for rule in role["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    rights = {
        (re.findall(r"`([a-z/]+)`", kind)[0], verb.strip())
        for _, kind, verbs, _ in table("rights")
        for verb in verbs.split(",")
    }
    # Jobs are touched where they are the workload alone; the manifest has pods.
    assert {right for right in rights if right[0] != "jobs"} == shipped


def test_every_option_is_named_with_its_default() -> None:
    command = typer.main.get_command(app)
    options = {option for parameter in command.params for option in parameter.opts} - {"--help"}
    rows = {name: row for row in table("settings") for name in re.findall(r"`(--[a-z-]+)`", row[0])}
    assert set(rows) == options
    for declared in command.params:
        default = rows[declared.opts[0]][2]
        if default.startswith("`") and "<" not in default:
            default_of_the_code = str(declared.default).split(".")[-1].lower()
            assert default_of_the_code.strip("[']") == default.strip("`"), declared.opts


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
