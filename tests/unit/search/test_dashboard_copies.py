"""optuna-dashboard over copies of studies: what it shows, and that it changes nothing."""

from __future__ import annotations

import csv
import io
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from scaling_operator.api.fields import Scalar
from scaling_operator.api.names import TrialState
from scaling_operator.api.search import Search
from scaling_operator.search.dashboard import Mirror, served
from scaling_operator.search.optuna_trials import Record
from scaling_operator.search.study import Study, StudySettings
from scaling_trainer.csv_cells import as_written, disarmed

SEARCH = Search.model_validate(
    {
        "parameters": {"x": {"type": "float", "low": -1, "high": 1}},
        "algorithm": {"name": "random"},
        "pruner": {"name": "median"},
    }
)


def study(name: str) -> Study:
    return Study(StudySettings(name, SEARCH, ("minimize",), 7, 0))


def run_trial(asked: Study, number: int, value: float) -> None:
    proposal = asked.ask(number)
    asked.tell(ended(number, proposal.parameters, value))


def ended(
    number: int, parameters: Mapping[str, Scalar], value: float, *curve: tuple[int, float]
) -> Record:
    return Record(
        number=number,
        parameters=parameters,
        attributes=dict[str, Any](),
        state=TrialState.SUCCEEDED,
        diverged=False,
        values=(value,),
        curve=curve,
    )


@pytest.fixture
def mirror() -> Mirror:
    return Mirror()


@pytest.fixture
def address(mirror: Mirror) -> Iterator[str]:
    with served(mirror.application(), "127.0.0.1", 0) as port:
        yield f"http://127.0.0.1:{port}"


def read(address: str, path: str) -> Any:
    with urllib.request.urlopen(address + path, timeout=10) as answer:
        return json.load(answer)


def names(address: str) -> dict[str, int]:
    summaries = read(address, "/api/studies")["study_summaries"]
    return {summary["study_name"]: summary["study_id"] for summary in summaries}


def trials(address: str, study_id: int) -> list[tuple[int, str]]:
    detail = read(address, f"/api/studies/{study_id}?after=0")
    return [(trial["number"], trial["state"]) for trial in detail["trials"]]


def test_studies_are_shown_side_by_side_and_keep_their_numbers(
    mirror: Mirror, address: str
) -> None:
    first, second = study("one"), study("other")
    run_trial(first, 0, 0.5)
    run_trial(second, 0, 0.25)
    first.show(mirror, "team/one 0")
    second.show(mirror, "team/other 0")
    before = names(address)

    run_trial(first, 1, 0.1)
    first.show(mirror, "team/one 0")

    assert set(before) == {"team/one 0", "team/other 0"}
    assert names(address) == before
    assert trials(address, before["team/one 0"]) == [(0, "Complete"), (1, "Complete")]


@pytest.mark.slow
def test_a_running_trial_is_shown_with_its_curve_and_ends_later(
    mirror: Mirror, address: str
) -> None:
    shown = study("one")
    proposal = shown.ask(0)
    shown.show(mirror, "one")
    study_id = names(address)["one"]
    running = trials(address, study_id)

    shown.tell(ended(0, proposal.parameters, 0.5, (1, 0.7)))
    shown.show(mirror, "one")

    time.sleep(2.1)  # for so long it answers from a cache

    assert running == [(0, "Running")]
    (trial,) = read(address, f"/api/studies/{study_id}?after=0")["trials"]
    assert (trial["state"], trial["values"]) == ("Complete", [0.5])
    assert [point["value"] for point in trial["intermediate_values"]] == [0.7]


def test_what_is_shown_is_a_copy(mirror: Mirror, address: str) -> None:
    shown = study("one")
    run_trial(shown, 0, 0.5)
    shown.show(mirror, "one")

    mirror.keep_only([])

    assert names(address) == {}
    assert shown.ask(1).parameters


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/studies"),
        ("DELETE", "/api/studies/0"),
        ("POST", "/api/studies/0/rename"),
        ("PUT", "/api/studies/0/note"),
        ("POST", "/api/trials/0/tell"),
        ("POST", "/api/trials/0/user-attrs"),
        ("PATCH", "/api/studies/0"),
    ],
)
def test_whatever_would_change_something_is_refused(
    mirror: Mirror, address: str, method: str, path: str
) -> None:
    shown = study("one")
    run_trial(shown, 0, 0.5)
    shown.show(mirror, "one")
    request = urllib.request.Request(address + path, data=b"{}", method=method)

    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(request, timeout=10)

    with refusal.value as answer:
        assert answer.code == 405
    assert names(address) == {"one": 0}


FORMULAS = ("=HYPERLINK(1)", "+1+1", "@SUM(1)", "-2-3", "relu", "=1,2", 'say "=1"')


def table(address: str, path: str) -> list[list[str]]:
    with urllib.request.urlopen(address + path, timeout=10) as answer:
        assert answer.headers.get_content_type() == "text/csv"
        return list(csv.reader(io.StringIO(answer.read().decode(), newline="")))


def test_the_table_that_is_given_out_holds_no_formulas(mirror: Mirror, address: str) -> None:
    kinds = {"type": "categorical", "choices": list(FORMULAS)}
    low = {"type": "float", "low": -1, "high": -0.5}
    search = Search.model_validate(
        {"parameters": {"act": kinds, "x": low}, "algorithm": {"name": "random"}}
    )
    shown = Study(StudySettings("one", search, ("minimize",), 7, 0))
    for number, formula in enumerate(FORMULAS):
        shown.ask(number, {"act": formula, "x": -0.75})
        shown.tell(ended(number, {"act": formula, "x": -0.75}, -0.5))
    shown.show(mirror, "one")

    header, *rows = table(address, f"/csv/{names(address)['one']}")

    at = header.index("Param act")
    assert [as_written(row[at]) for row in rows] == list(FORMULAS)
    assert [row[at] for row in rows] == [disarmed(formula) for formula in FORMULAS]
    assert {row[header.index("Param x")] for row in rows} == {"-0.75"}
    assert {row[header.index("Value")] for row in rows} == {"-0.5"}


def test_a_table_of_no_study_is_not_found(address: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(address + "/csv/7", timeout=10)

    with refusal.value as answer:
        assert answer.code == 404
        assert json.load(answer) == {"reason": "study_id=7 is not found"}
