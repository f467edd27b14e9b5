"""Points that were tried: where the space has finitely many, none is tried twice."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_operator.api.experiment import ExperimentSpec, ScalingExperiment
from scaling_operator.api.names import ConditionReason, TrialState
from scaling_operator.api.search import Search
from scaling_operator.api.status import ExperimentStatus, Range, TrialStatus
from scaling_operator.api.trial import ExperimentReference, ScalingTrial, TrialSpec
from scaling_operator.core.observed import ABSENT, AttemptView, Observed, Rules
from scaling_operator.core.plan import plan
from scaling_operator.core.reports import AttemptKey
from scaling_operator.runtime.state import ExperimentState, read_state
from scaling_operator.runtime.study_settings import search_of, trials_per_scale
from scaling_operator.search.optuna_trials import Record
from scaling_operator.search.study import Proposal, Study, StudySettings
from scaling_operator.validation.advice import warnings_of
from scaling_operator.validation.grid import points_without_repeats

CHOICE = {"type": "categorical", "choices": ["a", "b", "c"]}
SWITCH = {"type": "categorical", "choices": [False, True]}
WHOLE = {"type": "int", "low": 2, "high": 6, "step": 2}
STEPPED = {"type": "float", "low": 0.1, "high": 0.4, "step": 0.1}
LOG = {"type": "int", "low": 1, "high": 4, "log": True}
HANGS = {"type": "int", "low": 0, "high": 2, "when": {"s": [True]}}
SPACES = [
    pytest.param({"c": {"type": "categorical", "choices": ["a"]}}, 1, id="one choice"),
    pytest.param({"f": {"type": "float", "low": 0.5, "high": 0.5}}, 1, id="one float"),
    pytest.param({"s": SWITCH}, 2, id="two points"),
    pytest.param({"n": WHOLE}, 3, id="an int with steps"),
    pytest.param({"f": STEPPED}, 4, id="a float with steps"),
    pytest.param({"n": LOG}, 4, id="a logarithmic int"),
    pytest.param({"c": CHOICE, "f": STEPPED}, 12, id="two parameters"),
    pytest.param({"s": SWITCH, "n": HANGS}, 4, id="a condition"),
]
ALGORITHMS = [
    {"name": "random", "seed": 3},
    {"name": "tpe", "seed": 3, "startupTrials": 2},
    {"name": "genetic", "seed": 3, "populationSize": 3},
    {"name": "grid", "seed": 3},
]
GP = {"name": "gp", "seed": 3, "startupTrials": 2}


def search(parameters: dict[str, Any], algorithm: dict[str, Any], **rest: Any) -> Search:
    return Search.model_validate({"parameters": parameters, "algorithm": algorithm, **rest})


def study(of: Search, ranges: dict[str, Range] | None = None, directions: int = 1) -> Study:
    return Study(StudySettings("s", of, ("minimize",) * directions, 3, 0, ranges or {}))


def record(number: int, proposal: Proposal, value: float | None) -> Record:
    """A trial that runs on (no value), or has ended with one."""
    state = TrialState.RUNNING if value is None else TrialState.SUCCEEDED
    values = () if value is None else (value,)
    return Record(number, proposal.parameters, proposal.attributes, state, False, values, ())  # noqa: FBT003 - it has not diverged


def loss(proposal: Proposal) -> float:
    return float(sum(len(repr(value)) for value in proposal.parameters.values()))


def run(asked: Study, count: int, points: tuple[dict[str, Any], ...] = ()) -> list[Proposal]:
    """Ask for trials one after the other, each ended before the next."""
    proposals: list[Proposal] = []
    for number in range(count):
        point = points[number] if number < len(points) else None
        proposal = asked.ask(number, point)
        asked.tell(record(number, proposal, loss(proposal)))
        proposals.append(proposal)
    return proposals


def distinct(proposals: list[Proposal]) -> int:
    return len({tuple(sorted(proposal.parameters.items())) for proposal in proposals})


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=lambda algorithm: algorithm["name"])
@pytest.mark.parametrize(("parameters", "points"), SPACES)
def test_every_point_is_tried_once(
    parameters: dict[str, Any], points: int, algorithm: dict[str, Any]
) -> None:
    assert distinct(run(study(search(parameters, algorithm)), points)) == points


@pytest.mark.slow
def test_a_gaussian_process_tries_every_point_once_too() -> None:
    assert distinct(run(study(search({"s": SWITCH, "n": HANGS}, GP)), 4)) == 4


def test_where_nothing_is_searched_trials_differ_by_their_seeds() -> None:
    assert trials_per_scale(spec_of({}, 9)) == 9
    assert len(run(study(search({}, ALGORITHMS[1])), 3)) == 3


@pytest.mark.parametrize("algorithm", ALGORITHMS[:3], ids=lambda algorithm: algorithm["name"])
@pytest.mark.parametrize(("parameters", "points"), SPACES)
def test_a_study_that_is_rebuilt_proposes_alike(
    parameters: dict[str, Any], points: int, algorithm: dict[str, Any]
) -> None:
    """At any moment, also while trials run."""
    of = search(parameters, algorithm)
    live, records = study(of), list[Record]()
    for number in range(points):
        proposal = live.ask(number)
        rebuilt = study(of)
        for stored in records:
            rebuilt.add(stored)
        assert rebuilt.ask(number) == proposal
        is_over = number % 2 == 0
        records.append(record(number, proposal, loss(proposal) if is_over else None))
        if is_over:
            live.tell(records[-1])


def test_points_that_are_tried_first_are_no_repeats_either() -> None:
    of = search({"c": CHOICE, "s": SWITCH}, ALGORITHMS[1])
    first = {"c": "b", "s": True}
    proposals = run(study(of), 6, (first, first, {"c": "b"}, {"c": "b"}))

    assert proposals[0].parameters == first
    assert proposals[2].parameters["c"] == "b" or distinct(proposals[:2]) == 2
    assert distinct(proposals) == 6


@pytest.mark.parametrize("algorithm", ALGORITHMS[:3], ids=lambda algorithm: algorithm["name"])
def test_a_range_that_transfer_has_narrowed_has_its_own_points(algorithm: dict[str, Any]) -> None:
    of, ranges = (
        search({"n": {"type": "int", "low": 0, "high": 99}}, algorithm),
        {"n": Range(low=10, high=13)},
    )
    assert points_without_repeats(of, ranges) == 4
    proposals = run(study(of, ranges), 4)
    assert {proposal.parameters["n"] for proposal in proposals} == {10, 11, 12, 13}


def test_points_may_be_tried_again() -> None:
    of = search({"s": SWITCH}, ALGORITHMS[0], repeats="train")
    assert points_without_repeats(of) is None
    assert distinct(run(study(of), 12)) == 2


def test_what_has_no_end_of_points_is_sampled_as_before() -> None:
    parameters = {"f": {"type": "float", "low": 0, "high": 1}, "s": SWITCH}
    skipping, training = (
        run(study(search(parameters, ALGORITHMS[1], repeats=policy)), 8)
        for policy in ("skip", "train")
    )
    assert points_without_repeats(search(parameters, ALGORITHMS[1])) is None
    assert skipping == training


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_a_proposal_follows_from_what_is_known_alone(data: st.DataObject) -> None:
    """Nor does it matter in which order the trials before it ended."""
    of = search({"c": CHOICE, "s": SWITCH, "n": HANGS}, data.draw(st.sampled_from(ALGORITHMS[:3])))
    count = data.draw(st.integers(1, 11))
    proposals = [study_of(of, [])]
    records: list[Record] = []
    for number in range(count):
        value = data.draw(st.one_of(st.none(), st.sampled_from([1.0, 2.0])))
        records.append(record(number, proposals[-1], value))
        proposals.append(study_of(of, records))
    live = study(of)
    for number in range(count):
        running = Record(number, *fields(proposals[number]), TrialState.RUNNING, False, (), ())  # noqa: FBT003
        live.add(running)
    for stored in data.draw(st.permutations([stored for stored in records if stored.state.ended])):
        live.tell(stored)

    assert live.ask(count) == proposals[count]
    assert distinct(proposals) == count + 1


def fields(proposal: Proposal) -> tuple[Any, Any]:
    return proposal.parameters, proposal.attributes


def study_of(of: Search, records: list[Record]) -> Proposal:
    rebuilt = study(of)
    for stored in records:
        rebuilt.add(stored)
    return rebuilt.ask(len(records))


def spec_of(parameters: dict[str, Any], most: int | None, **rest: Any) -> ExperimentSpec:
    document = {
        "objective": {"metric": "loss", "direction": "minimize"},
        "search": {"parameters": parameters, "algorithm": {"name": "tpe"}, **rest},
        "trials": {"max": most},
        "trainer": {"container": {"command": ["true"]}},
    }
    return ExperimentSpec.model_validate(document)


@pytest.mark.parametrize(
    ("parameters", "most", "rest", "trials"),
    [
        pytest.param({"s": SWITCH}, None, {}, 2, id="fewer points than trials"),
        pytest.param({"s": SWITCH}, 1, {}, 1, id="fewer trials than points"),
        pytest.param({"s": SWITCH}, 9, {"repeats": "train"}, 9, id="points are tried again"),
        pytest.param(
            {"x": {"type": "float", "low": 0, "high": 1}}, 9, {}, 9, id="no end of points"
        ),
    ],
)
def test_a_scale_gets_as_many_trials_as_there_are_points(
    parameters: dict[str, Any], most: int | None, rest: dict[str, Any], trials: int
) -> None:
    assert trials_per_scale(spec_of(parameters, most, **rest)) == trials


def state_of(spec: ExperimentSpec, count: int) -> ExperimentState:
    rules = Rules(max_trials=trials_per_scale(spec))
    state = read_state(spec, rules, ExperimentStatus(), ())
    for number in range(count):
        trial = TrialSpec(
            experiment=ExperimentReference(name="e", uid="u"),
            scale=0,
            number=number,
            parameters={"s": bool(number % 2)},
            searched=("s",),
            seed=number,
        )
        status = TrialStatus(state=TrialState.SUCCEEDED, values=(1.0,))
        state.note(ScalingTrial(spec=trial, status=status), 0.0)
    return state


def observed_of(state: ExperimentState) -> Observed:
    def absent(trial: ScalingTrial, key: AttemptKey) -> AttemptView:
        del trial, key
        return ABSENT

    return state.observe(absent, (), 0.0)


def test_an_experiment_whose_points_are_all_tried_is_complete_and_says_so() -> None:
    spec = spec_of({"s": SWITCH}, 40)
    (complete,) = [
        condition
        for condition in plan(observed_of(state_of(spec, 2))).status.conditions
        if condition.type == "Complete"
    ]

    assert (complete.status, complete.reason) == ("True", ConditionReason.SPACE_EXHAUSTED)
    assert "2 of scale 0" in complete.message
    assert plan(observed_of(state_of(spec, 2))).status.counts.max == 2


def test_an_experiment_that_asked_for_no_more_is_just_done() -> None:
    conditions = plan(observed_of(state_of(spec_of({"s": SWITCH}, 2), 2))).status.conditions
    assert "AllTrialsDone" in {condition.reason for condition in conditions}


def test_it_is_said_before_the_first_trial() -> None:
    def warnings(spec: ExperimentSpec) -> str:
        experiment = ScalingExperiment.model_validate({"metadata": {"name": "e"}, "spec": spec})
        return " ".join(warnings_of(experiment))

    assert "the space has 2 points" in warnings(spec_of({"s": SWITCH}, 40))
    assert "the space has" not in warnings(spec_of({"s": SWITCH}, 2))
    assert "the space has" not in warnings(spec_of({"s": SWITCH}, 40, repeats="train"))


@pytest.mark.parametrize(("most", "random"), [(None, 10), (40, 10), (8, 4), (1, 1)])
def test_random_trials_come_first_as_the_number_of_trials_allows(
    most: int | None, random: int
) -> None:
    spec = spec_of({"x": {"type": "float", "low": 0, "high": 1}}, most)
    algorithm = search_of(spec).algorithm
    assert getattr(algorithm, "startup_trials", None) == random


def test_what_is_written_stays_as_it_is() -> None:
    spec = spec_of({"s": SWITCH}, 4)
    written = spec.model_copy(update={"search": search({"s": SWITCH}, ALGORITHMS[1])})
    assert search_of(written) == written.search
