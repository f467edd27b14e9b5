"""Reading experiment files: every way in which a text is no experiment, and what is said of it."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_operator.api.experiment import ScalingExperiment
from scaling_operator.api.problems import InvalidSpec
from scaling_operator.validation.load import load_experiment, parse_experiment

TEXT = """\
# a comment
apiVersion: scaling-operator.dev/v1alpha1
kind: ScalingExperiment
metadata: {name: case-study}
spec:
  objective: {metric: val_loss, direction: minimize}
  search:
    parameters:
      optimizer.learning_rate: {type: float, low: 1e-4, high: 1, log: true}
      model.activation: {type: categorical, choices: [relu, gelu]}
      model.dropout: {type: float, low: 0, high: 0.5, when: {model.activation: [gelu]}}
    algorithm: {name: tpe, seed: 7}
    pruner: {name: hyperband, minSteps: 2, maxSteps: 20}
    warmStart: {from: [earlier], points: [{optimizer.learning_rate: 0.01}]}
  scaling: {parameter: model.width, sizes: [16, 32], targets: [{flops: 1e15}]}
  trials: {max: 40, parallel: 4, timeout: 1h30m}
  resources: {fixed: {cpu: 2, memory: 4Gi}}
  trainer:
    builtIn:
      task: classification
      dataset: {name: digits}
      model: {name: mlp}
"""
DOCUMENT: dict[str, Any] = {
    "apiVersion": "scaling-operator.dev/v1alpha1",
    "kind": "ScalingExperiment",
    "metadata": {"name": "case-study"},
    "spec": {
        "objective": {"metric": "val_loss", "direction": "minimize"},
        "search": {
            "parameters": {
                "optimizer.learning_rate": {"type": "float", "low": 0.1, "high": 1, "log": True},
                "model.heads": {"type": "categorical", "choices": [1, 2, 4]},
                "model.dropout": {
                    "type": "float",
                    "low": 0,
                    "high": 0.5,
                    "step": 0.1,
                    "when": {"model.heads": [2]},
                },
            },
            "algorithm": {"name": "genetic", "populationSize": 8},
            "pruner": {"name": "asha", "minSteps": 5, "reductionFactor": 3},
            "warmStart": {"from": ["other"], "points": [{"optimizer.learning_rate": 0.5}]},
        },
        "scaling": {
            "rungs": [
                {"model.width": 64, "model.layers": 2},
                {"model.width": 128, "model.layers": 4},
            ],
            "design": "grid",
            "data": [10_000, 20_000],
            "transfer": {"topK": 2},
            "targets": [{"loss": 0.1}],
        },
        "trials": {"max": 4, "timeout": "10m"},
        "budget": {"gpuHours": 1.5},
        "resources": {"fixed": {"cpu": "500m"}},
        "trainer": {
            "builtIn": {
                "task": "language-modelling",
                "dataset": {"name": "synthetic-text"},
                "model": {"name": "transformer", "width": 64},
                "optimizer": {"name": "adam", "schedule": {"name": "wsd"}},
            }
        },
        "artifacts": {"emptyDir": {}},
    },
}


def refusal(text: str) -> list[str]:
    outcome = attempt(text)
    assert isinstance(outcome, InvalidSpec)
    return str(outcome).splitlines()


def attempt(text: str) -> ScalingExperiment | InvalidSpec:
    try:
        return parse_experiment(text, "my.yaml")
    except InvalidSpec as refused:
        return refused


def test_the_document_that_is_mutated_is_valid() -> None:
    assert isinstance(attempt(json.dumps(DOCUMENT)), ScalingExperiment)


def test_a_file_is_read_as_yaml_1_2(tmp_path: Path) -> None:
    file = tmp_path / "experiment.yaml"
    file.write_text(TEXT)

    experiment = load_experiment(file)

    rate = experiment.spec.search.parameters["optimizer.learning_rate"]
    assert rate.model_dump(exclude_defaults=True) == {
        "type": "float",
        "low": 1e-4,
        "high": 1.0,
        "log": True,
    }
    assert experiment.spec.trials.timeout.total_seconds() == 5400
    assert experiment.spec.resources.fixed is not None
    assert experiment.spec.resources.fixed.cpu == "2"


def test_json_with_tabs_and_a_byte_order_mark_is_read_the_same(tmp_path: Path) -> None:
    experiment = parse_experiment(TEXT, "x")
    document = experiment.model_dump(mode="json", exclude_unset=True)
    file = tmp_path / "experiment.json"
    file.write_bytes(b"\xef\xbb\xbf" + json.dumps(document, indent="\t").encode())

    assert load_experiment(file) == experiment


def test_an_experiment_that_was_written_out_reads_back_equal() -> None:
    experiment = parse_experiment(TEXT, "x")

    written = json.dumps(experiment.model_dump(mode="json", exclude_none=True))

    assert parse_experiment(written, "x").spec == experiment.spec


def test_a_status_is_not_read() -> None:
    assert parse_experiment(TEXT + "status: {phase: Sleeping}\n", "x").status is None


def test_other_kinds_in_a_file_are_not_ours() -> None:
    config_map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n"

    text = f"---\n{config_map}---\n{TEXT}---\n{config_map}---\n"

    assert parse_experiment(text, "x") == parse_experiment(TEXT, "x")


DEEP = "[" * 100_000
BOMB = "a: &a [1,1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 10)}]\n" for i in range(8)
)
UNREADABLE: tuple[tuple[str, str, str], ...] = (
    (
        "a mistake in the syntax",
        "kind: ScalingExperiment\nspec: {a: b\nmetadata: x: y\n",
        "my.yaml: line 3, column ",
    ),
    ("a tab", "spec:\n\tobjective: 1\n", "my.yaml: line 2, column 1: not valid YAML: found char"),
    (
        "a duplicate key",
        TEXT.replace("  trials:", "  scaling: {}\n  trials:"),
        "my.yaml: line 16, column 3: the key 'scaling' stands twice in one mapping; keep one",
    ),
    (
        "a duplicate key in JSON",
        '{"kind": 1, "kind": 2}',
        "my.yaml: the key 'kind' stands twice in one object; keep one",
    ),
    (
        "no text",
        "",
        "my.yaml: is empty; a ScalingExperiment has apiVersion, kind, metadata and spec",
    ),
    ("comments alone", "# nothing\n---\n", "my.yaml: is empty; "),
    ("a list", "- a\n- b\n", "my.yaml: holds a list, not a mapping with apiVersion"),
    ("a word", "hello\n", "my.yaml: holds 'hello', not a mapping with apiVersion"),
    ("JSON of a number", "17", "my.yaml: holds 17, not a mapping"),
    (
        "two experiments",
        f"{TEXT}---\n{TEXT}",
        "my.yaml: holds 2 ScalingExperiment among ScalingExperiment, ScalingExperiment; exactly",
    ),
    (
        "several documents without one",
        "kind: Pod\n---\n- 1\n",
        "my.yaml: holds no ScalingExperiment among Pod, something without a kind; exactly one",
    ),
    ("lists without end", DEEP, "my.yaml: line 1, column 61: is nested too deeply"),
    ("mappings without end in JSON", '{"a":' * 100_000, "my.yaml: is nested too deeply"),
    ("aliases without end", BOMB, "the document: too large or too deep: at most 100,000 values"),
    ("an alias of itself", "a: &a [*a]\n", "the document: too large or too deep"),
    ("a number of 5,000 digits", f"a: {'9' * 5000}\n", "my.yaml: is not YAML: "),
    ("a tag that there is not", "a: !me 1\n", "my.yaml: line 1, column 4: not valid YAML: "),
    ("a whole number without digits", "a: !!int\n", "my.yaml: is not YAML: string index out of"),
    ("a truth that is none", "a: !!bool perhaps\n", "my.yaml: is not YAML: "),
    ("a control character", "a: \x00\n", "my.yaml: is not YAML: unacceptable character"),
    ("more than a MiB", "# " + "x" * 1024 * 1024, "my.yaml: is larger than 1024 KiB"),
)


@pytest.mark.parametrize(
    ("text", "message"), [row[1:] for row in UNREADABLE], ids=[row[0] for row in UNREADABLE]
)
def test_an_unreadable_text_is_refused_with_one_line(text: str, message: str) -> None:
    (line,) = refusal(text)

    assert line.startswith(message)
    assert len(line) < 300


ODD: tuple[tuple[str, str, str], ...] = (
    ("not a number", "goal: .nan", "spec.objective.goal: nan is not allowed"),
    ("minus infinity", "goal: -.inf", "spec.objective.goal: -inf is not allowed"),
    ("bytes", "goal: !!binary aGVsbG8=", "spec.objective.goal: a YAML value of kind bytes"),
    ("a set", "goal: !!set {a}", "spec.objective.goal: a YAML value of kind set is not"),
    ("half a character", r'goal: "\ud800"', "spec.objective.goal: '\\ud800' has half a character"),
    ("half a character in a key", r'"\udfff": 1', "spec.objective: the key '\\udfff' has half a"),
    ("a key that is a number", "1: 2", "spec.objective: the key 1 is not text: write it"),
    ("a key that is a list", "? [1]\n    : 2", "spec.objective: the key a list is not text"),
    ("a date is text", "goal: 2026-01-31", "spec.objective.goal: must be a number, not '2026-01"),
    ("on is text", "goal: on", "spec.objective.goal: must be a number, not 'on'"),
    ("an octal of YAML 1.1 is decimal", "goal: 010\n    goa: 1", "spec.objective.goa: unknown"),
)


@pytest.mark.parametrize(
    ("entry", "message"), [row[1:] for row in ODD], ids=[row[0] for row in ODD]
)
def test_what_json_cannot_hold_is_reported_with_its_path(entry: str, message: str) -> None:
    text = TEXT.replace(
        "  objective: {metric: val_loss, direction: minimize}",
        f"  objective:\n    metric: val_loss\n    direction: minimize\n    {entry}",
    )
    lines = refusal(text)

    assert [line for line in lines if line.startswith(message)] == lines


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("2: 3\n", "the document: the key 2 is not text: write it in quotes"),
        ('{"": 1}', "'': unknown field; allowed here: apiVersion, kind, metadata, spec, status"),
        (f"a: *{'b' * 900}", "my.yaml: line 1, column 4: not valid YAML: found undefined alias"),
    ],
    ids=["a key that is no text", "a key of no characters", "an alias of a long name"],
)
def test_a_problem_at_the_top_has_a_place_and_few_words(text: str, line: str) -> None:
    (message,) = [message for message in refusal(text) if message.startswith(line)]
    assert len(message) < 300


def test_a_single_document_of_another_kind_is_told_its_kind() -> None:
    lines = refusal(TEXT.replace("kind: ScalingExperiment", "kind: ScalingExperimnt"))

    assert lines == [
        "kind: 'ScalingExperimnt' is not allowed; did you mean ScalingExperiment? "
        "allowed: ScalingExperiment"
    ]


def test_a_file_that_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSpec, match=r"missing\.yaml: no such file"):
        load_experiment(tmp_path / "missing.yaml")
    with pytest.raises(InvalidSpec, match="is a directory; name the experiment file in it"):
        load_experiment(tmp_path)
    with pytest.raises(InvalidSpec, match="cannot be read: "):
        load_experiment(Path("a\0b"))
    with pytest.raises(InvalidSpec, match="cannot be read: File name too long"):
        load_experiment(Path("a" * 5000))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x80\x02}q\x00", r"is not UTF-8 text \(byte 0\); write YAML or JSON"),
        (b"x" * (1024 * 1024 + 1), "is larger than 1024 KiB; that is no experiment"),
    ],
    ids=["a pickle", "a huge file"],
)
def test_a_file_that_is_no_text_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "experiment.yaml"
    file.write_bytes(content)

    with pytest.raises(InvalidSpec, match=message):
        load_experiment(file)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["model.width", "tpe", "float", "val_loss", "1h", "4Gi", 2**70, -1e300]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    paths = [path]
    children: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, dict):
        children = cast("dict[str, Any]", value).items()
    elif isinstance(value, list):
        children = enumerate(cast("list[Any]", value))
    for step, child in children:
        paths += _paths(child, (*path, step))
    return paths


@st.composite
def mutated(draw: st.DrawFn) -> Any:
    """A valid document in which a few values were deleted, replaced, added or moved."""
    document = copy.deepcopy(DOCUMENT)
    for _ in range(draw(st.integers(1, 4))):
        paths = [path for path in _paths(document) if path]
        if not paths:
            break
        *steps, last = draw(st.sampled_from(paths))
        draw(st.sampled_from(MUTATIONS))(_at(document, steps), last, draw)
    return document


def _at(document: Any, path: Iterable[Any]) -> Any:
    for step in path:
        document = document[step]
    return document


def _delete(parent: Any, last: Any, _: st.DrawFn) -> None:
    del parent[last]


def _replace(parent: Any, last: Any, draw: st.DrawFn) -> None:
    parent[last] = draw(json_values)


def _copy(parent: Any, last: Any, draw: st.DrawFn) -> None:
    parent[last] = copy.deepcopy(_at(DOCUMENT, draw(st.sampled_from(_paths(DOCUMENT)))))


def _add(parent: Any, _: Any, draw: st.DrawFn) -> None:
    if isinstance(parent, dict):
        names = st.text(max_size=6) | st.sampled_from(["name", "low", "when", "float"])
        parent[draw(names)] = draw(json_values)
    else:
        parent.append(draw(json_values))


MUTATIONS = (_delete, _replace, _copy, _add)


JARGON = ("Input should", "pydantic", "Value error", "constrained-str", "function-", "valid dict")


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(mutated())
def test_any_document_is_accepted_or_refused_in_plain_words(document: Any) -> None:
    outcome = attempt(json.dumps(document))

    if isinstance(outcome, InvalidSpec):
        assert outcome.problems
        assert all(problem.message for problem in outcome.problems)
        assert not any(word in str(outcome) for word in JARGON)


@settings(max_examples=100, deadline=None)
@given(
    st.text(max_size=200)
    | st.text(alphabet="{}[]:,-?&*!|>'\"%@` \n\tab1.e", max_size=60).map(lambda tail: TEXT + tail)
)
def test_any_text_is_accepted_or_refused_without_a_traceback(text: str) -> None:
    outcome = attempt(text)

    assert isinstance(outcome, ScalingExperiment) or outcome.problems
