"""Which objects a label selector means: what Kubernetes' own does."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from scaling_operator.api.selector import LabelSelector
from scaling_operator.validation.errors import read

BLUE = {"team": "blue", "stage": "test"}
Json = dict[str, Any]


def requirement(key: str, operator: str, *values: str) -> Json:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


@pytest.mark.parametrize(
    ("selector", "is_meant", "written"),
    [
        pytest.param({}, True, "", id="an empty one means all"),
        pytest.param({"matchLabels": {"team": "blue"}}, True, "team=blue", id="the label is so"),
        pytest.param({"matchLabels": {"team": "red"}}, False, "team=red", id="it is another"),
        pytest.param({"matchLabels": {"zone": ""}}, False, "zone=", id="absent is not empty"),
        pytest.param(
            {"matchLabels": {"team": "blue"}, **requirement("stage", "Exists")},
            True, "team=blue,stage", id="all of it is met",
        ),
        pytest.param(
            {"matchLabels": {"team": "blue"}, **requirement("zone", "Exists")},
            False, "team=blue,zone", id="one is not met",
        ),
        pytest.param(requirement("team", "In", "red", "blue"), True, "team in (red,blue)", id="in"),
        pytest.param(requirement("zone", "In", "a"), False, "zone in (a)", id="absent is not in"),
        pytest.param(requirement("team", "NotIn", "blue"), False, "team notin (blue)", id="not in"),
        pytest.param(
            requirement("zone", "NotIn", "a"), True, "zone notin (a)", id="absent is not in it"
        ),
        pytest.param(requirement("zone", "DoesNotExist"), True, "!zone", id="absent, as asked"),
        pytest.param(requirement("team", "DoesNotExist"), False, "!team", id="there, not as asked"),
    ],
)  # fmt: skip
def test_labels_meet_a_selector(selector: Json, is_meant: bool, written: str) -> None:  # noqa: FBT001
    section = read(LabelSelector, selector)
    assert section.selects(BLUE) is is_meant
    assert str(section) == written


@pytest.mark.parametrize(
    ("operator", "values", "words"),
    [
        ("In", (), "operator In needs values"),
        ("NotIn", (), "operator NotIn needs values"),
        ("Exists", ("a",), "operator Exists takes no values"),
        ("DoesNotExist", ("a",), "operator DoesNotExist takes no values"),
    ],
)
def test_a_requirement_has_the_values_that_its_operator_takes(
    operator: str, values: tuple[str, ...], words: str
) -> None:
    with pytest.raises(ValidationError, match=words):
        read(LabelSelector, requirement("team", operator, *values))
