import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from scaling_operator.api.names import TrialState
from scaling_operator.api.search import Search
from scaling_operator.core.curve import thin
from scaling_operator.search.optuna_trials import Record
from scaling_operator.search.study import Study, StudySettings

TRIALS = 16
PRUNERS: dict[str, dict[str, Any]] = {
    "median": {"name": "median", "startupTrials": 3, "warmupSteps": 1},
    "percentile": {"name": "percentile", "percentile": 40, "startupTrials": 2},
    "patient": {"name": "patient", "patience": 3, "minDelta": 0.01},
    "asha": {"name": "asha", "minSteps": 2, "reductionFactor": 2},
    "hyperband": {"name": "hyperband", "minSteps": 1, "maxSteps": 81, "reductionFactor": 3},
}


def settings(pruner: Mapping[str, Any], direction: Any = "minimize") -> StudySettings:
    search = Search.model_validate(
        {
            "parameters": {"rate": {"type": "float", "low": 0, "high": 1}},
            "algorithm": {"name": "random"},
            "pruner": pruner,
        }
    )
    return StudySettings("7f0c/0", search, (direction,), 7, 0)


def asked(study: Study, number: int) -> Record:
    parameters = study.ask(number).parameters
    return Record(number, parameters, {}, TrialState.RUNNING, diverged=False, values=(), curve=())


def rebuilt(made_from: StudySettings, records: Mapping[int, Record]) -> Study:
    study = Study(made_from)
    for number in sorted(records):
        study.add(records[number])
    return study


@pytest.mark.parametrize("stride", [1, 10], ids=["every step", "every 10th"])
@pytest.mark.parametrize("direction", ["minimize", "maximize"])
@pytest.mark.parametrize("name", PRUNERS)
def test_a_study_rebuilt_before_every_report_decides_as_one_kept_alive(
    name: str, direction: str, stride: int
) -> None:
    made_from = settings(PRUNERS[name], direction)
    chance = random.Random(f"{name} {direction} {stride}")
    study = Study(made_from)
    records: dict[int, Record] = {}
    live: list[int] = []
    decisions: list[bool] = []
    while len(records) < TRIALS or live:
        if len(live) < 4 and len(records) < TRIALS:
            number = len(records)
            records[number] = asked(study, number)
            live.append(number)
        number = chance.choice(live)
        curve = records[number].curve
        step = (curve[-1][0] if curve else 0) + stride
        value = chance.random() + number % 5 / 10
        again = rebuilt(made_from, records).report(number, step, value)
        prune = study.report(number, step, value)
        assert again == prune
        decisions.append(prune)
        state = _next_state(step, stride, chance, prune=prune)
        end = (value,) if state is TrialState.SUCCEEDED else ()
        curve = thin((*curve, (step, value)))
        records[number] = replace(records[number], curve=curve, state=state, values=end)
        if state.ended:
            study.tell(records[number])
            live.remove(number)
    assert any(decisions)
    assert not all(decisions)


def _next_state(step: int, stride: int, chance: random.Random, *, prune: bool) -> TrialState:
    if prune:
        return TrialState.PRUNED
    if step >= 16 * stride:
        return TrialState.SUCCEEDED
    return TrialState.FAILED if chance.random() < 0.01 else TrialState.RUNNING


@pytest.mark.parametrize("name", ["asha", "hyperband"])
def test_rungs_after_a_rebuild_are_those_that_optuna_wrote(name: str) -> None:
    made_from = settings(PRUNERS[name])
    study = Study(made_from)
    records = {number: asked(study, number) for number in range(12)}
    for step in range(1, 30):
        for number, record in records.items():
            if record.state is TrialState.RUNNING:
                value = (number * 7 % 12) + 1 / step
                prune = study.report(number, step, value)
                state = TrialState.PRUNED if prune else TrialState.RUNNING
                curve = thin((*record.curve, (step, value)))
                records[number] = replace(record, curve=curve, state=state)
                if prune:
                    study.tell(records[number])
    assert _rungs(rebuilt(made_from, records)) == _rungs(study)
    assert sum(record.state is TrialState.PRUNED for record in records.values()) > 3


def _rungs(study: Study) -> list[Mapping[str, Any]]:
    trials = study._study.get_trials()  # pyright: ignore[reportPrivateUsage] -- Optuna's view
    return [
        {name: value for name, value in trial.system_attrs.items() if "rung" in name}
        for trial in trials
    ]


def test_asha_lets_the_better_half_of_those_at_a_rung_go_on() -> None:
    study = Study(settings({"name": "asha", "minSteps": 2, "reductionFactor": 2}))
    for number in range(6):
        asked(study, number)
    assert not study.report(1, 1, 9.0), "there is no rung at step 1"
    values = [1.0, 2.0, 0.5, 0.8, 3.0, 0.6]
    pruned = [study.report(number, 2, value) for number, value in enumerate(values)]
    assert pruned == [False, True, False, False, True, False]


def test_median_spares_the_warm_up_and_then_stops_the_worse_half() -> None:
    made_from = settings({"name": "median", "startupTrials": 3, "warmupSteps": 2})
    study = Study(made_from)
    for number in range(3):
        record = asked(study, number)
        curve = tuple((step, float(number)) for step in (1, 2, 3))
        end = replace(record, state=TrialState.SUCCEEDED, values=(float(number),), curve=curve)
        study.tell(end)
    asked(study, 3)
    assert [study.report(3, step, 1.5) for step in (1, 2, 3)] == [False, False, True]


def test_patience_ends_when_nothing_improves() -> None:
    study = Study(settings({"name": "patient", "patience": 2}))
    asked(study, 0)
    values = [5.0, 4.0, 4.5, 4.5, 4.5]
    pruned = [study.report(0, step, value) for step, value in enumerate(values, start=1)]
    assert pruned == [False, False, False, False, True]


def test_a_decision_stays_until_the_trial_is_told_and_later_reports_are_ignored() -> None:
    study = Study(settings({"name": "asha", "minSteps": 1}))
    first, second = asked(study, 0), asked(study, 1)
    assert not study.report(0, 1, 1.0)
    assert study.report(1, 1, 2.0)
    assert study.report(1, 1, 2.0), "the client asks again"
    assert study.report(1, 2, 0.0)
    study.tell(replace(second, state=TrialState.PRUNED, curve=((1, 2.0),)))
    assert not study.report(1, 3, 9.0)
    assert not study.report(0, 1, 5.0), "a step that is known decides nothing"
    study.tell(replace(first, state=TrialState.STOPPED))


def test_steps_that_are_not_kept_decide_nothing() -> None:
    study = Study(settings({"name": "asha", "minSteps": 33}))
    for number in range(2):
        asked(study, number)
    assert not study.report(0, 33, 1.0)
    assert not study.report(1, 33, 2.0)
    assert not study.report(0, 40, 1.0)
    assert study.report(1, 40, 2.0)


def test_steps_that_come_late_leave_the_same_behind_as_in_order() -> None:
    made_from = settings({"name": "asha", "minSteps": 4})
    study = Study(made_from)
    record = asked(study, 0)
    for step in (9, 5, 4, 12):
        study.report(0, step, 1.0 / step)
    curve = thin((step, 1.0 / step) for step in (4, 5, 9, 12))
    assert _rungs(study) == _rungs(rebuilt(made_from, {0: replace(record, curve=curve)}))


def test_without_a_pruner_nothing_is_pruned() -> None:
    study = Study(settings({"name": "none"}))
    asked(study, 0)
    assert not any(study.report(0, step, float(step)) for step in range(1, 50))
