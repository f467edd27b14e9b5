import json
import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_operator.api.fields import Scalar
from scaling_operator.api.names import TrialState
from scaling_operator.api.search import CategoricalParameter, Search, typed_value
from scaling_operator.api.status import Range
from scaling_operator.search.optuna_trials import Record
from scaling_operator.search.study import AskFailed, Proposal, Study, StudySettings
from scaling_operator.validation.space import make_space

FLAT: dict[str, Any] = {
    "rate": {"type": "float", "low": 1e-4, "high": 1.0, "log": True},
    "width": {"type": "int", "low": 4, "high": 512, "log": True},
    "dropout": {"type": "float", "low": 0, "high": 0.5, "step": 0.1},
    "layers": {"type": "int", "low": 1, "high": 8, "step": 2},
    "momentum": {"type": "categorical", "choices": [0, 0.5, 0.9]},
    "bias": {"type": "categorical", "choices": [True, False]},
    "fixed": {"type": "float", "low": 2, "high": 2},
}
CONDITIONAL: dict[str, Any] = {
    "alpha": {"type": "float", "low": 0, "high": 1, "when": {"act": ["leaky", "elu"]}},
    "act": {"type": "categorical", "choices": ["relu", "leaky", "elu"]},
    "rate": {"type": "float", "low": 1e-4, "high": 1.0, "log": True},
    "gate": {"type": "categorical", "choices": [1, 2], "when": {"act": ["elu"]}},
    "sharp": {"type": "int", "low": 1, "high": 9, "when": {"gate": [2.0], "act": ["elu", "relu"]}},
}
ALGORITHMS: dict[str, dict[str, Any]] = {
    "random": {"name": "random"},
    "grid": {"name": "grid"},
    "tpe": {"name": "tpe", "startupTrials": 4},
    "gp": {"name": "gp", "startupTrials": 3},
    "genetic": {"name": "genetic", "populationSize": 4},
}
SAMPLERS = [name for name in ALGORITHMS if name != "grid"]


def a_search(algorithm: str, parameters: Mapping[str, Any]) -> Search:
    chosen = {name: dict(parameter) for name, parameter in parameters.items()}
    if algorithm == "grid":
        for parameter in chosen.values():
            if parameter["type"] == "float":
                parameter["step"] = (parameter["high"] - parameter["low"]) / 4 or 1
                parameter["log"] = False
    return Search.model_validate({"parameters": chosen, "algorithm": ALGORITHMS[algorithm]})


def a_study(search: Search, *directions: Any, ranges: Mapping[str, Range] | None = None) -> Study:
    return Study(
        StudySettings(
            name="7f0c/0",
            search=search,
            directions=directions or ("minimize",),
            base_seed=7,
            scale=0,
            ranges=ranges or {},
        )
    )


def running(number: int, proposal: Proposal) -> Record:
    """What is stored of a proposal, once it went through JSON."""
    parameters, attributes = json.loads(
        json.dumps([dict(proposal.parameters), dict(proposal.attributes)])
    )
    return Record(number, parameters, attributes, TrialState.RUNNING, False, (), ())  # noqa: FBT003


def ended(record: Record, objectives: int) -> Record:
    """End a trial: most succeed, some fail, diverge, are pruned or stopped."""
    score = sum(_score(value) for value in record.parameters.values()) + len(record.parameters)
    values = tuple((score - 3 * index) ** 2 for index in range(objectives))
    match record.number % 9:
        case 3:
            return replace(record, state=TrialState.FAILED)
        case 5:
            curve = ((1, score),) if objectives == 1 else ()
            return replace(record, state=TrialState.FAILED, diverged=True, curve=curve)
        case 7:
            curve = ((1, score), (2, score / 2), (33, score / 3)) if objectives == 1 else ()
            return replace(record, state=TrialState.PRUNED, curve=curve)
        case 8:
            return replace(record, state=TrialState.STOPPED)
        case _:
            return replace(record, state=TrialState.SUCCEEDED, values=values)


def _score(value: Scalar) -> float:
    return math.log(float(value) + 1.5) if not isinstance(value, str) else len(value) / 5


def rebuilt(settings: StudySettings, records: Iterable[Record]) -> Study:
    study = Study(settings)
    for record in records:
        study.add(record)
    return study


def play(study: Study, trials: int, parallel: int, *, rebuild: bool) -> list[Proposal]:
    """Run a study, `parallel` trials at once, and give its proposals."""
    settings = study._settings  # pyright: ignore[reportPrivateUsage] -- the same ones again
    records: dict[int, Record] = {}
    live: deque[int] = deque()
    proposals: list[Proposal] = []
    for number in range(trials):
        if rebuild:
            study = rebuilt(settings, records.values())
        proposal = study.ask(number)
        proposals.append(proposal)
        records[number] = running(number, proposal)
        live.append(number)
        if len(live) == parallel:
            # The second oldest ends first, so that ends come out of order.
            done = live[min(1, parallel - 1)]
            live.remove(done)
            records[done] = ended(records[done], len(settings.directions))
            study.tell(records[done])
    return proposals


@pytest.mark.slow
@pytest.mark.parametrize("parallel", [1, 4])
@pytest.mark.parametrize(
    ("space", "directions"),
    [
        pytest.param(FLAT, ("minimize",), id="plain"),
        pytest.param(CONDITIONAL, ("maximize",), id="conditional"),
        pytest.param(FLAT, ("minimize", "maximize"), id="two objectives"),
    ],
)
@pytest.mark.parametrize("algorithm", [name for name in ALGORITHMS if name != "gp"])
def test_a_study_rebuilt_before_every_ask_proposes_what_one_kept_alive_does(
    algorithm: str, space: Mapping[str, Any], directions: tuple[str, ...], parallel: int
) -> None:
    search = a_search(algorithm, space)
    trials = 36
    kept = play(a_study(search, *directions), trials, parallel, rebuild=False)
    again = play(a_study(search, *directions), trials, parallel, rebuild=True)
    assert again == kept
    assert len({json.dumps(dict(proposal.parameters)) for proposal in kept}) > trials / 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("space", "directions", "parallel"),
    [
        pytest.param(("rate", "layers", "bias"), ("minimize",), 1, id="one by one"),
        pytest.param(("rate", "layers", "bias"), ("minimize",), 3, id="three at once"),
        pytest.param(("act", "rate", "alpha"), ("minimize",), 3, id="conditional"),
        pytest.param(("rate",), ("minimize", "maximize"), 2, id="two objectives"),
    ],
)
def test_a_rebuilt_gp_study_proposes_what_one_kept_alive_does(
    space: tuple[str, ...], directions: tuple[str, ...], parallel: int
) -> None:
    # Few trials: a Gaussian process costs seconds where others cost milliseconds.
    search = a_search("gp", {name: (FLAT | CONDITIONAL)[name] for name in space})
    kept = play(a_study(search, *directions), 6 + parallel, parallel, rebuild=False)
    again = play(a_study(search, *directions), 6 + parallel, parallel, rebuild=True)
    assert again == kept


@pytest.mark.parametrize("space", [FLAT, CONDITIONAL], ids=["plain", "conditional"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_proposals_are_exact_in_json_typed_ordered_and_hold_active_parameters_alone(
    algorithm: str, space: Mapping[str, Any]
) -> None:
    search = a_search(algorithm, space)
    checked = make_space(search)
    for proposal in play(a_study(search), 6 if algorithm == "gp" else 30, 2, rebuild=False):
        back = json.loads(json.dumps(dict(proposal.parameters)))
        assert list(proposal.parameters) == sorted(back)
        for name, value in proposal.parameters.items():
            again = typed_value(search.parameters[name], back[name])
            assert (type(again), again) == (type(value), value)
        assert set(checked.active_names(proposal.parameters)) == set(proposal.parameters)
        assert json.loads(json.dumps(dict(proposal.attributes))) == proposal.attributes


@pytest.mark.parametrize("algorithm", ["random", "grid", "tpe", "genetic"])
def test_an_api_server_that_sorts_keys_changes_no_proposal(algorithm: str) -> None:
    written = dict(reversed(sorted(CONDITIONAL.items())))
    stored = dict(sorted(CONDITIONAL.items()))
    assert list(written) != list(stored)
    proposals, again = (
        play(a_study(a_search(algorithm, space)), 12, 2, rebuild=False)
        for space in (written, stored)
    )
    assert [proposal.parameters for proposal in proposals] == [
        proposal.parameters for proposal in again
    ]


def test_a_generation_and_its_parents_travel_with_the_trials() -> None:
    proposals = play(a_study(a_search("genetic", FLAT)), 24, 1, rebuild=True)
    assert {key for proposal in proposals for key in proposal.attributes} > {
        "NSGAIISampler:generation",
        "NSGAIISampler:parent:1",
        "NSGAIISampler:parent:2",
    }
    recorded = [key for proposal in proposals for key in proposal.attributes if "parent" in key]
    assert len(recorded) == len(set(recorded)), "only the first of a generation records parents"


def test_a_point_that_is_enqueued_whole_belongs_to_the_first_generation() -> None:
    study = a_study(a_search("genetic", {"rate": FLAT["rate"]}))
    assert study.ask(0, {"rate": 0.5}).attributes == {"NSGAIISampler:generation": 0}


@pytest.mark.parametrize(
    "attributes",
    [
        pytest.param({"NSGAIISampler:generation": "1"}, id="a generation that is text"),
        pytest.param({"NSGAIISampler:parent:1": [0, -1]}, id="a negative parent"),
        pytest.param({"NSGAIISampler:parent:1": 3}, id="parents that are no list"),
    ],
)
def test_attributes_that_no_sampler_wrote_are_refused(attributes: Mapping[str, Any]) -> None:
    study = a_study(a_search("genetic", FLAT))
    record = replace(running(0, Proposal({}, {})), attributes=attributes)
    with pytest.raises(ValueError, match=r"samplerAttributes\.NSGAIISampler"):
        study.add(record)


def test_attributes_that_are_not_on_the_list_are_left_out() -> None:
    study = a_study(a_search("random", {"rate": FLAT["rate"]}))
    study.add(replace(running(0, Proposal({"rate": 0.1}, {})), attributes={"cma:optimizer": "80"}))
    assert "cma:optimizer" not in stored(study)[0].system_attrs


def stored(study: Study) -> list[optuna.trial.FrozenTrial]:
    return study._study.get_trials()  # pyright: ignore[reportPrivateUsage] -- Optuna's view


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["random", "tpe", "genetic"]),
    st.integers(0, 2**32 - 1),
    st.data(),
)
def test_values_lie_within_narrowed_ranges_on_their_steps(
    algorithm: str, seed: int, data: st.DataObject
) -> None:
    search = a_search(algorithm, FLAT)
    ranges: dict[str, Range] = {}
    for name, parameter in search.parameters.items():
        if isinstance(parameter, CategoricalParameter):
            continue
        ends = st.floats(parameter.low, parameter.high)
        low, high = sorted([data.draw(ends), data.draw(ends)])
        ranges[name] = Range(low=low, high=high)
    study = Study(StudySettings("s", search, ("minimize",), seed, 1, ranges))
    for number in range(6):
        proposal = study.ask(number)
        study.tell(ended(running(number, proposal), 1))
        for name, value in proposal.parameters.items():
            if name in ranges:
                step = FLAT[name].get("step", 1 if FLAT[name]["type"] == "int" else 0)
                slack = max(step / 2, 0) * 1.0000001
                assert ranges[name].low - slack <= float(value) <= ranges[name].high + slack
                if step:
                    steps = (float(value) - FLAT[name]["low"]) / step
                    assert abs(steps - round(steps)) < 1e-6


@pytest.mark.parametrize(
    ("ranges", "words"),
    [
        pytest.param({"bias": Range(low=0, high=1)}, "range of bias: only", id="of a choice"),
        pytest.param({"other": Range(low=0, high=1)}, "range of other: only", id="of nothing"),
        pytest.param({"layers": Range(low=9, high=12)}, "lies outside 1 to 8", id="outside"),
    ],
)
def test_a_faulty_range_is_named(ranges: Mapping[str, Range], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        a_study(a_search("tpe", FLAT), ranges=ranges)


def test_a_point_may_be_partial_and_is_tried_as_it_is() -> None:
    study = a_study(a_search("tpe", CONDITIONAL))
    first = study.ask(0, {"act": "elu", "gate": 2.0, "rate": 1})
    assert (first.parameters["act"], first.parameters["gate"]) == ("elu", 2)
    assert repr(first.parameters["rate"]) == "1.0"
    assert {"alpha", "sharp"} <= set(first.parameters)
    second = study.ask(1)
    assert second.parameters != first.parameters


@pytest.mark.parametrize(
    ("point", "words"),
    [
        pytest.param({"lr": 1}, "lr: is not a searched parameter; those are", id="an unknown name"),
        pytest.param({"rate": 2}, "rate: 2 lies outside", id="a value outside"),
        pytest.param(
            {"rate": 0.9}, "rate: 0.9 lies outside", id="a value outside what is narrowed"
        ),
        pytest.param({"rate": math.inf}, "rate: inf is not a number", id="an infinity"),
        pytest.param({"act": "tanh"}, "act: 'tanh' is none of the choices", id="no such choice"),
        pytest.param({"act": "relu", "alpha": 0.1}, "alpha: is active only while", id="inactive"),
        pytest.param({"alpha": 0.1}, "set that in the point too", id="without what activates it"),
        pytest.param(
            {"even": 3}, "even: 3 is not low 2 plus steps of 2", id="a value between the steps"
        ),
    ],
)
def test_a_faulty_point_is_refused_and_leaves_the_study_unharmed(
    point: Mapping[str, Scalar], words: str
) -> None:
    even = {"type": "int", "low": 2, "high": 8, "step": 2}
    search = a_search("tpe", {**CONDITIONAL, "even": even})
    study = a_study(search, ranges={"rate": Range(low=1e-4, high=0.5)})
    with pytest.raises(ValueError, match=words):
        study.ask(0, point)
    assert study.ask(0) == a_study(search, ranges={"rate": Range(low=1e-4, high=0.5)}).ask(0)


def test_a_grid_stays_whole_whatever_is_enqueued_or_narrowed() -> None:
    search = a_search("grid", {"layers": FLAT["layers"]})
    study = a_study(search, ranges={"layers": Range(low=3, high=3)})
    assert [study.ask(number, {"layers": 5}).parameters["layers"] for number in range(4)] == [
        1,
        3,
        5,
        7,
    ]
    with pytest.raises(ValueError, match="the grid has 4 points"):
        study.ask(4)


OPTUNA_STATES: list[tuple[Callable[[Record], Record], str]] = [
    (lambda record: replace(record, state=TrialState.SUCCEEDED, values=(1.0,)), "COMPLETE"),
    (lambda record: replace(record, state=TrialState.PRUNED, curve=((1, 3.0), (2, 2.0))), "PRUNED"),
    (lambda record: replace(record, state=TrialState.FAILED), "FAIL"),
    (
        lambda record: replace(
            record, state=TrialState.FAILED, diverged=True, curve=((1, 3.0), (2, 2.0))
        ),
        "PRUNED",
    ),
    (lambda record: replace(record, state=TrialState.STOPPED), "FAIL"),
]


@pytest.mark.parametrize("kept", [True, False], ids=["told", "rebuilt"])
@pytest.mark.parametrize(
    ("end", "state"),
    OPTUNA_STATES,
    ids=[
        "succeeded",
        "pruned keeps its last point",
        "failed",
        "diverged counts as pruned",
        "stopped",
    ],
)
def test_ends_become_optuna_states(
    end: Callable[[Record], Record], state: str, *, kept: bool
) -> None:
    search = Search.model_validate(
        {
            "parameters": FLAT,
            "pruner": {"name": "asha", "minSteps": 1},
            "algorithm": {"name": "tpe"},
        }
    )
    study = a_study(search)
    record = end(running(0, study.ask(0)))
    if kept:
        for step, value in record.curve:
            study.report(0, step, value)
        study.tell(record)
    else:
        study = a_study(search)
        study.add(record)
    trial = stored(study)[0]
    assert trial.state.name == state
    pruned = record.state is TrialState.PRUNED
    assert trial.intermediate_values == ({2: 2.0} if pruned else {})
    assert trial.value == {"COMPLETE": 1.0, "PRUNED": 2.0 if pruned else None}.get(state)


def test_the_first_end_stays() -> None:
    study = a_study(a_search("tpe", FLAT))
    record = running(0, study.ask(0))
    study.tell(replace(record, state=TrialState.SUCCEEDED, values=(1.0,)))
    study.tell(replace(record, state=TrialState.SUCCEEDED, values=(0.5,)))
    study.tell(replace(record, state=TrialState.FAILED))
    assert (stored(study)[0].state.name, stored(study)[0].value) == ("COMPLETE", 1.0)


def test_a_missing_number_shifts_no_other() -> None:
    study = a_study(a_search("tpe", {"rate": FLAT["rate"]}))
    record = running(2, Proposal({"rate": 0.1}, {}))
    study.add(replace(record, state=TrialState.SUCCEEDED, values=(1.0,)))
    study.add(replace(record, number=5))
    study.tell(replace(record, number=5, state=TrialState.SUCCEEDED, values=(2.0,)))
    proposal = study.ask(7)
    study.tell(replace(running(7, proposal), state=TrialState.STOPPED))
    states = [trial.state.name for trial in stored(study)]
    assert states == ["FAIL", "FAIL", "COMPLETE", "FAIL", "FAIL", "COMPLETE", "FAIL", "FAIL"]
    assert [trial.value for trial in stored(study)][5] == 2.0
    study.tell(replace(record, number=0, state=TrialState.SUCCEEDED, values=(0.0,)))
    assert stored(study)[0].state.name == "FAIL"


FAULTS: list[tuple[Callable[[Study, Record], object], str]] = [
    (lambda study, _: study.ask(0), "trial 0 is taken; the next free number is 1"),
    (lambda study, record: study.add(record), "trial 0 is taken"),
    (lambda study, record: study.tell(record), "has not ended: it is Running"),
    (lambda study, _: study.report(3, 1, 0.0), "trial 3 was neither asked for nor added"),
    (lambda study, _: study.report(0, 1, math.inf), "inf is not a finite number"),
    (
        lambda study, record: study.tell(
            replace(record, state=TrialState.SUCCEEDED, values=(math.inf,))
        ),
        "inf is not a finite number",
    ),
    (
        lambda study, record: study.add(
            replace(record, number=1, state=TrialState.PRUNED, curve=((1, math.nan),))
        ),
        "nan is not a finite number",
    ),
    (
        lambda study, record: study.tell(
            replace(record, state=TrialState.SUCCEEDED, values=(1.0, 2.0))
        ),
        "2 values for 1 objectives",
    ),
    (
        lambda study, record: study.tell(
            replace(record, state=TrialState.STOPPED, parameters={"rate": 0.123})
        ),
        "stored with other parameters; rebuild",
    ),
    (
        lambda study, record: study.add(replace(record, number=1, parameters={"rate": 7})),
        "rate: 7 lies outside",
    ),
    (
        lambda study, record: study.add(replace(record, number=1, parameters={"lr": 1})),
        "lr is not a searched parameter",
    ),
]


@pytest.mark.parametrize(
    ("call", "words"),
    FAULTS,
    ids=[
        "asking for a number again",
        "adding a number again",
        "telling a trial that runs",
        "reporting for an unknown trial",
        "reporting an infinity",
        "telling an infinity",
        "adding a curve with a NaN",
        "telling too many values",
        "telling a trial with other parameters",
        "adding a value outside its range",
        "adding a parameter that is not searched",
    ],
)
def test_a_faulty_call_is_refused_and_leaves_the_study_unharmed(
    call: Callable[[Study, Record], object], words: str
) -> None:
    study = a_study(a_search("tpe", {"rate": FLAT["rate"]}))
    record = running(0, study.ask(0))
    before = stored(study)
    with pytest.raises(ValueError, match=words):
        call(study, record)
    assert stored(study) == before
    study.tell(replace(record, state=TrialState.SUCCEEDED, values=(1.0,)))


def test_several_objectives_take_no_pruner() -> None:
    search = Search.model_validate(
        {"parameters": FLAT, "pruner": {"name": "median"}, "algorithm": {"name": "tpe"}}
    )
    with pytest.raises(ValueError, match="several objectives cannot be pruned"):
        a_study(search, "minimize", "maximize")


def test_after_an_ask_that_fails_half_way_the_study_can_only_be_rebuilt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    study = a_study(a_search("random", FLAT))
    record = running(0, study.ask(0))

    def fails(*_: Any) -> float:
        message = "no entropy left"
        raise ArithmeticError(message)

    with monkeypatch.context() as patch:
        patch.setattr(optuna.samplers.RandomSampler, "sample_independent", fails)
        with pytest.raises(AskFailed, match="sampling trial 1 failed: no entropy left"):
            study.ask(1)
    for call in (
        lambda: study.ask(1),
        lambda: study.tell(replace(record, state=TrialState.FAILED)),
        lambda: study.add(replace(record, number=2)),
        lambda: study.report(0, 1, 1.0),
    ):
        with pytest.raises(AskFailed, match="broke at an earlier ask; rebuild it"):
            call()
    fresh = rebuilt(
        StudySettings("7f0c/0", a_search("random", FLAT), ("minimize",), 7, 0), [record]
    )
    reference = a_study(a_search("random", FLAT))
    reference.ask(0)
    assert fresh.ask(1) == reference.ask(1)


def test_tpe_finds_the_bottom_of_a_bowl_better_than_chance() -> None:
    def best(algorithm: str, seed: int) -> float:
        space = {name: {"type": "float", "low": -5, "high": 5} for name in "xyz"}
        study = Study(StudySettings("s", a_search(algorithm, space), ("minimize",), seed, 0))
        values: list[float] = []
        for number in range(40):
            record = running(number, study.ask(number))
            values.append(sum((float(value) - 1) ** 2 for value in record.parameters.values()))
            study.tell(replace(record, state=TrialState.SUCCEEDED, values=(values[-1],)))
        return min(values)

    wins = [best("tpe", seed) < best("random", seed) for seed in range(5)]
    assert sum(wins) >= 4


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", SAMPLERS)
def test_enormous_values_break_no_sampler(algorithm: str) -> None:
    study = a_study(a_search(algorithm, {"rate": FLAT["rate"]}))
    for number in range(7):
        record = running(number, study.ask(number))
        value = (-1) ** number * 1.7e308
        study.tell(replace(record, state=TrialState.SUCCEEDED, values=(value,)))


@pytest.mark.parametrize(
    ("stored", "choice"),
    [
        pytest.param(True, True, id="true is not 1"),
        pytest.param(1, 1, id="1 is not true"),
        pytest.param(1.0, 1, id="1.0 is 1, as an API server may write it"),
        pytest.param(2, 2.0, id="2 is 2.0"),
        pytest.param("1", "1", id="a text is no number"),
        pytest.param(0, 0, id="0 is a choice, not none"),
        pytest.param("", "", id="nor is an empty text none"),
    ],
)
def test_a_choice_comes_back_with_its_own_type(stored: Scalar, choice: Scalar) -> None:
    kinds = CategoricalParameter(type="categorical", choices=(True, 1, 2.0, "1", 0, ""))

    again = typed_value(kinds, stored)

    assert (type(again), again) == (type(choice), choice)


@pytest.mark.parametrize("value", [False, "true", "2", 1.5])
def test_a_value_that_only_looks_like_a_choice_is_none(value: Scalar) -> None:
    kinds = CategoricalParameter(type="categorical", choices=(True, 1, 2.0, "1", 0, ""))

    with pytest.raises(ValueError, match="is none of the choices"):
        typed_value(kinds, value)
