"""Every condition that stops work is told: an Event, a metric, an alert with a page, a row.

The list is `STOPS_WORK` and the operating guide's table of reasons: what is added to the names and
not to these fails here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from boards.expressions import of_any_condition, rules

from scaling_operator.api.names import FIT_CONDITIONS, ConditionReason, ConditionType
from scaling_operator.api.status import Condition
from scaling_operator.core.conditions import STOPS_WORK, is_requested, news, stops_work
from scaling_operator.metrics.samples import (
    Sample,
    read_experiment,
    samples_of_experiment,
    samples_of_policy,
)

DOCS = Path(__file__).parents[2] / "docs"
OF_POLICIES = (ConditionType.READY, ConditionType.OFFERED)
STOPPING = [(kind, str(bad)) for kind, bad in STOPS_WORK.items() if bad is not None]
SELECTOR = re.compile(r'(scaling_\w+_condition)\{condition="(\w+)"\} == ([01])')


def rows() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Type, status and reasons of the operating guide's table."""
    guide = (DOCS / "operating.md").read_text()
    (text,) = re.findall(r"<!-- conditions -->\n(.*?)<!-- end -->", guide, re.DOTALL)
    for line in text.splitlines():
        match = re.match(r"\| `(\w+)`( = `False`)?(?: and others)? \| (.*?) \|", line)
        if match is not None:
            status = "False" if match[2] else "True"
            yield match[1], status, tuple(re.findall(r"`(\w+)`", match[3]))


def condition(kind: str, status: str, reason: str, generation: int = 1) -> Condition:
    return Condition(type=kind, status=status, reason=reason, observed_generation=generation)


def stops() -> list[Any]:
    """Every condition that stops work, with each of its reasons."""
    return [
        pytest.param(kind, status, reason, id=f"{kind}={status} {reason}")
        for kind, status, reasons in rows()
        for reason in reasons
        if stops_work(condition(kind, status, reason))
    ]


def samples(shown: Condition) -> list[Sample]:
    status = {"conditions": [shown.model_dump(mode="json", exclude_none=True)]}
    metadata = {"namespace": "team", "name": "digits"}
    custom_resource = {"metadata": metadata, "spec": {}, "status": status}
    if shown.type in OF_POLICIES:
        return list(samples_of_policy(custom_resource))
    experiment_samples = samples_of_experiment(read_experiment(custom_resource), 0.0)
    return [sample for sample in experiment_samples if sample.family.name.endswith("_condition")]


def alerts_of(shown: Condition) -> list[str]:
    """Name the alerts that fire for a condition as it is shown by the metrics."""
    alerts: list[str] = []
    for rule in rules("alert"):
        match = SELECTOR.fullmatch(rule["expr"])
        for sample in samples(shown) if match is not None else ():
            labels = dict(zip(sample.family.labels, sample.labels, strict=True))
            wanted = (sample.family.name, labels["condition"], f"{sample.value:.0f}")
            if match is not None and match.groups() == wanted:
                alerts.append(rule["alert"])
    return alerts


def test_for_every_condition_it_is_said_whether_it_stops_work() -> None:
    assert set(STOPS_WORK) == set(ConditionType)


def test_every_condition_that_stops_work_has_a_row_with_its_reasons() -> None:
    explained = {(kind, status) for kind, status, reasons in rows() if reasons}
    assert {pair for pair in STOPPING if pair not in explained} == set()


def test_every_reason_is_in_a_row() -> None:
    guide = (DOCS / "operating.md").read_text()
    (table,) = re.findall(r"<!-- conditions -->\n(.*?)<!-- end -->", guide, re.DOTALL)
    assert [reason for reason in ConditionReason if f"`{reason}`" not in table] == []


def test_no_row_is_about_what_there_is_not() -> None:
    for kind, _, reasons in rows():
        assert kind in set(ConditionType)
        assert set(reasons) <= set(ConditionReason), kind


@pytest.mark.parametrize(("kind", "status", "reason"), stops())
def test_what_stops_work_is_an_event_a_metric_and_an_alert_with_a_page(
    kind: str, status: str, reason: str
) -> None:
    shown = condition(kind, status, reason)
    well = condition(kind, "True" if status == "False" else "False", "Well")

    assert news((), (shown,)) == (shown,)
    assert news((well,), (shown,)) == (shown,)
    assert news((shown,), (shown,)) == ()
    assert len(samples(shown)) == 1
    (alert,) = alerts_of(shown)
    assert alerts_of(well) == []
    assert f"`{reason}`" in (DOCS / "runbooks" / f"{alert}.md").read_text()


def test_another_reason_and_a_change_that_did_not_help_are_told_anew() -> None:
    first = condition("Sized", "False", "NothingFits")
    another_reason = condition("Sized", "False", "OverBudget")
    later = condition("Sized", "False", "NothingFits", generation=2)

    assert news((first,), (another_reason,)) == (another_reason,)
    assert news((first,), (later,)) == (later,)


def test_what_stops_nothing_is_told_once_it_is_true() -> None:
    for kind in ("Complete", *FIT_CONDITIONS):
        shown, before = condition(kind, "True", "Any"), condition(kind, "False", "Other")
        assert news((before,), (shown,)) == (shown,)
        assert news((shown,), (before,)) == ()
        assert news((shown,), (condition(kind, "True", "Other", 2),)) == ()


def test_only_a_wish_is_no_trouble() -> None:
    assert is_requested(condition("Suspended", "True", "Suspended"))
    assert not is_requested(condition("Suspended", "True", "BudgetExhausted"))


def test_an_alert_about_a_condition_can_be_asked_about_any() -> None:
    asked = of_any_condition('scaling_policy_condition{condition="Ready"} == 0')
    assert asked == "scaling_policy_condition == 0"
