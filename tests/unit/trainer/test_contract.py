from __future__ import annotations

import json
import math
import string
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling_trainer.contract import (
    Assignment,
    ContractError,
    Execution,
    environment_of,
    expand,
    parameter_text,
    parameter_variable,
    read_assignment,
)
from scaling_trainer.metric_names import METRIC_NAME_PATTERN, is_metric_name, word_of
from scaling_trainer.results import (
    MAX_METRICS,
    MAX_RESULT_BYTES,
    Point,
    Result,
    ResultError,
    encode_result,
    parse_result,
)

ASSIGNMENT = Assignment(
    experiment="e",
    scale=1,
    trial=2,
    attempt=3,
    seed=2**63 - 1,
    parameters={"optimizer.learning_rate": 1e-4, "model.width": 64, "name": 'a "b"\n', "on": True},
    result_file=Path("/result"),
    checkpoint_dir=Path("/checkpoints"),
    data_dir=Path("/data"),
)

FINITE = st.floats(allow_nan=False, allow_infinity=False)
NAMES = st.text(string.ascii_lowercase + "_", min_size=1, max_size=12)
METRIC_NAMES = st.from_regex(METRIC_NAME_PATTERN.replace("$", r"\Z")).filter(is_metric_name)
NUMBERS = st.none() | st.floats(0, 1e30)
SECONDS = st.none() | st.floats(0, 1e10)
BYTES = st.none() | st.floats(0, 2.0**60)


def assignments() -> st.SearchStrategy[Assignment]:
    paths = st.text(string.ascii_letters + "/ ", min_size=1, max_size=20).map(Path)
    scalars = st.text(max_size=8) | st.integers() | FINITE | st.booleans()
    return st.builds(
        Assignment,
        experiment=NAMES,
        scale=st.integers(0, 99),
        trial=st.integers(0, 99_999),
        attempt=st.integers(0, 99),
        seed=st.integers(0, 2**64),
        parameters=st.dictionaries(NAMES, scalars, max_size=4),
        result_file=paths,
        checkpoint_dir=paths,
        data_dir=paths,
        config=st.none() | st.just({"task": "regression", "epochs": 3}),
        samples=st.none() | st.floats(1, 1e18),
        execution=st.builds(Execution, micro_batch=st.none() | st.integers(1, 512)),
        report_url=st.none() | st.just("https://operator:8443"),
        report_token_file=st.none() | paths,
        report_ca=st.none() | st.just("-----BEGIN CERTIFICATE-----"),
    )


@given(assignments())
def test_an_assignment_survives_its_variables(assignment: Assignment) -> None:
    assert read_assignment(environment_of(assignment)) == assignment


@pytest.mark.slow
@given(
    st.builds(
        Result,
        metrics=st.dictionaries(METRIC_NAMES, FINITE, max_size=5),
        values=st.none() | st.lists(FINITE, max_size=3).map(tuple),
        model_parameters=NUMBERS,
        samples=NUMBERS,
        flops=NUMBERS,
        steps=st.none() | st.integers(0, 10**6),
        seconds=SECONDS,
        step_seconds=SECONDS,
        peak_host_bytes=BYTES,
        peak_device_bytes=BYTES,
        reason=st.none() | st.just("Diverged"),
    )
)
def test_a_result_survives_its_line(result: Result) -> None:
    line = encode_result(result)
    assert b"\n" not in line
    assert parse_result(line) == result


def test_each_parameter_has_a_variable_as_json_writes_it() -> None:
    variables = environment_of(ASSIGNMENT)
    assert variables["SCALING_PARAM_OPTIMIZER_LEARNING_RATE"] == "0.0001"
    assert variables["SCALING_PARAM_MODEL_WIDTH"] == "64"
    assert variables["SCALING_PARAM_NAME"] == 'a "b"\n'
    assert variables["SCALING_PARAM_ON"] == "true"


@pytest.mark.parametrize(
    ("name", "variable"),
    [("a", "SCALING_PARAM_A"), ("model.layers_2", "SCALING_PARAM_MODEL_LAYERS_2")],
)
def test_dots_become_underscores(name: str, variable: str) -> None:
    assert parameter_variable(name) == variable


@given(st.integers() | FINITE | st.booleans())
def test_numbers_and_truth_values_are_read_back_by_json(value: float) -> None:
    assert json.loads(parameter_text(value)) == value


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        pytest.param({"SCALING_SEED": None}, "SCALING_SEED is not set", id="a missing variable"),
        pytest.param(
            {"SCALING_TRIAL": "two"}, "SCALING_TRIAL is 'two'", id="a number that is none"
        ),
        pytest.param({"SCALING_SCALE": "-1"}, "SCALING_SCALE is '-1'", id="below 0"),
        pytest.param({"SCALING_ATTEMPT": "²"}, "SCALING_ATTEMPT", id="a digit of another kind"),
        pytest.param({"SCALING_PARAMETERS": "{"}, "SCALING_PARAMETERS is not JSON", id="no JSON"),
        pytest.param(
            {"SCALING_PARAMETERS": "[1]"}, "SCALING_PARAMETERS is not a JSON object", id="a list"
        ),
        pytest.param({"SCALING_CONFIG": "3"}, "SCALING_CONFIG is not a JSON object", id="config"),
        pytest.param({"SCALING_SAMPLES": "many"}, "SCALING_SAMPLES", id="samples"),
        pytest.param({"SCALING_SAMPLES": "nan"}, "SCALING_SAMPLES", id="samples that are NaN"),
        pytest.param({"SCALING_SAMPLES": "-5"}, "SCALING_SAMPLES", id="fewer than no samples"),
        pytest.param(
            {"SCALING_EXECUTION": '{"gpus": 2}'}, "SCALING_EXECUTION", id="an unknown setting"
        ),
        pytest.param(
            {"SCALING_EXECUTION": '{"micro_batch": 0}'}, "SCALING_EXECUTION", id="no rows at once"
        ),
        pytest.param(
            {"SCALING_EXECUTION": '{"accumulation": "2"}'}, "SCALING_EXECUTION", id="text"
        ),
    ],
)
def test_an_unreadable_variable_is_named(change: dict[str, str | None], complaint: str) -> None:
    changed = environment_of(ASSIGNMENT) | change
    environment = {name: value for name, value in changed.items() if value is not None}
    with pytest.raises(ContractError, match=complaint):
        read_assignment(environment)


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("--lr=$(LR)", "--lr=0.1"),
        ("$(LR)$(LR)", "0.10.1"),
        ("$$(LR)", "$(LR)"),
        ("$$$(LR)", "$0.1"),
        ("$$$$(LR)", "$$(LR)"),
        ("$(UNKNOWN) $LR $ (LR) $()", "$(UNKNOWN) $LR $ (LR) $()"),
        ("$(NESTED)", "$(LR)"),
        ("$(LR", "$(LR"),
    ],
)
def test_references_expand_as_in_a_pod(text: str, expanded: str) -> None:
    assert expand(text, {"LR": "0.1", "NESTED": "$(LR)"}) == expanded


@pytest.mark.parametrize(
    ("line", "result"),
    [
        pytest.param('{"v":1,"value":0.93}\n', Result(values=(0.93,)), id="the shell's shorthand"),
        pytest.param('{"value":1}', Result(values=(1,)), id="a version may be left out"),
        pytest.param('{"v":1,"values":[1,2.5]}', Result(values=(1, 2.5)), id="several objectives"),
        pytest.param('{"v":1,"metrics":{"a":1},"b":[]}', Result(metrics={"a": 1}), id="more keys"),
        pytest.param('{"v":1,"steps":3.0}', Result(steps=3), id="steps from an API server"),
        pytest.param('{"v":1,"seconds":null}', Result(), id="nothing known"),
        pytest.param(
            '{"v":1,"points":[{"samples":10,"metrics":{"a":1}}]}',
            Result(points=(Point(10, {"a": 1}),)),
            id="a point before the end",
        ),
    ],
)  # fmt: skip
def test_what_a_shell_may_write(line: str, result: Result) -> None:
    assert parse_result(line) == result


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        pytest.param("", "not JSON", id="nothing"),
        pytest.param("0.93", "not a JSON object", id="a bare number"),
        pytest.param('{"v":2}', "version v=2", id="a version to come"),
        pytest.param('{"v":1,"value":NaN}', "value is nan", id="NaN"),
        pytest.param('{"v":1,"value":"0.9"}', "value is '0.9'", id="text"),
        pytest.param('{"v":1,"value":true}', "value is True", id="a truth value"),
        pytest.param('{"v":1,"values":0.9}', "values is not a list", id="no list"),
        pytest.param('{"v":1,"metrics":[]}', "metrics is not an object", id="no object"),
        pytest.param('{"v":1,"metrics":{"a":1e999}}', "metrics.a is inf", id="an infinity"),
        pytest.param('{"v":1,"flops":-Infinity}', "flops is -inf", id="flops"),
        pytest.param('{"v":1,"steps":2.5}', "steps", id="half a step"),
        pytest.param('{"v":1,"value":1' + "0" * 400 + "}", "value is", id="a number beyond floats"),
        pytest.param('{"v":1,"points":{}}', "points is no list", id="no list of points"),
        pytest.param('{"v":1,"points":[{"samples":1}]}', "lacks", id="a point without metrics"),
        pytest.param(
            '{"v":1,"points":[{"samples":1,"metrics":{"a":"x"}}]}',
            "points.metrics.a is 'x'",
            id="a point of text",
        ),
        pytest.param("[" * 4000, "not JSON", id="deeper than can be read"),
        pytest.param(" " * (MAX_RESULT_BYTES + 1), "4096 are allowed", id="too long"),
        pytest.param(b"\xff", "not JSON", id="no UTF-8"),
        pytest.param('{"metrics":{"val acc!":1}}', r"^metrics\.val acc!: a name has", id="a mark"),
        pytest.param('{"metrics":{"<img src=x>":1}}', r"metrics\.<img src=x>: a name", id="markup"),
        pytest.param(r'{"metrics":{"\ud800":1}}', r"metrics\.\\ud800: a name", id="half a letter"),
        pytest.param(r'{"metrics":{"a\u001b[31m":1}}', r"metrics\.a\\x1b\[31m: a", id="an escape"),
        pytest.param(r'{"metrics":{"a\u202eb":1}}', r"metrics\.a\\u202eb: a", id="right to left"),
        pytest.param(r'{"metrics":{"a\n":1}}', r"metrics\.a\\n: a name", id="a line's end"),
        pytest.param('{"metrics":{"../x":1}}', r"metrics\.\.\./x: a name", id="a folder above"),
        pytest.param('{"metrics":{"":1}}', r"metrics\.: a name", id="no name"),
        pytest.param('{"metrics":{"' + "a" * 251 + '":1}}', "at most 250", id="a long name"),
        pytest.param('{"metrics":{"a":1,"a":2}}', "'a' stands in it twice", id="two values"),
        pytest.param('{"value":1,"value":2}', "'value' stands in it twice", id="two objectives"),
        pytest.param(
            '{"metrics":{' + ",".join(f'"{n}":1' for n in range(501)) + "}}",
            "metrics has 501 entries; at most 500",
            id="more metrics than a status holds",
        ),
        pytest.param('{"values":[1,2,3,4,5,6,7,8,9]}', "values has 9 entries", id="many values"),
        pytest.param('{"modelParameters":-1}', "modelParameters is -1; it must be from 0", id="N"),
        pytest.param('{"samples":-0.5}', "samples is -0.5; it must be from 0", id="D below 0"),
        pytest.param('{"flops":-1}', "flops is -1; it must be from 0", id="C below 0"),
        pytest.param('{"flops":1e300}', "flops is 1e.300; it must be from 0 to 1e.100", id="C"),
        pytest.param('{"steps":1e300}', "steps is 1e.300; it must be from 0 to 9007", id="steps"),
        pytest.param('{"steps":-1}', "steps is -1; it must be", id="steps below 0"),
        pytest.param('{"seconds":-1}', "seconds is -1; it must be", id="time that runs back"),
        pytest.param(
            '{"stepSeconds":1e11}', "stepSeconds is 100000000000.0; it must", id="an age a step"
        ),
        pytest.param('{"peakHostBytes":1e30}', "peakHostBytes is 1e.30; it must", id="memory"),
        pytest.param('{"peakDeviceBytes":[1]}', "peakDeviceBytes is \\[1\\], not", id="a list"),
        pytest.param('{"reason":5}', "reason is 5; it must be a word", id="a reason of 5"),
        pytest.param(r'{"reason":"\ud800"}', "reason is '.ud800'; it must", id="no reason"),
        pytest.param('{"reason":"' + "x" * 65 + '"}', "reason is 'xxx", id="a long reason"),
        pytest.param(
            '{"points":[{"samples":-1,"metrics":{"a":1}}]}',
            "points.samples is -1",
            id="a point's D",
        ),
        pytest.param(
            '{"points":[{"samples":1,"metrics":{"a!":1}}]}',
            r"points\.metrics\.a!: a name has",
            id="a point's name",
        ),
        pytest.param('{"value":"' + "x" * 4000 + '"}', "^value is 'x{79}, not", id="a long word"),
    ],
)
def test_a_bad_result_is_refused_with_a_reason(line: str | bytes, complaint: str) -> None:
    with pytest.raises(ResultError, match=complaint):
        parse_result(line)


@given(st.text(max_size=60) | st.binary(max_size=60))
def test_no_line_whatever_breaks_the_reader(line: str | bytes) -> None:
    with suppress(ResultError):
        parse_result(line)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@pytest.mark.slow
@given(
    st.dictionaries(
        st.sampled_from(["v", "value", "values", "metrics", "points", "steps", "flops"]),
        json_values,
    )
)
def test_no_json_whatever_breaks_the_reader(document: dict[str, Any]) -> None:
    with suppress(ResultError):
        result = parse_result(json.dumps(document))
        assert all(math.isfinite(value) for value in (result.values or ()))
        assert all(math.isfinite(value) for value in result.metrics.values())


@pytest.mark.parametrize(
    ("result", "complaint"),
    [
        pytest.param(Result(metrics={"a": math.nan}), "metrics.a is nan", id="a metric"),
        pytest.param(Result(values=(math.inf,)), "value", id="an objective"),
        pytest.param(Result(flops=math.inf), "flops is inf", id="a figure"),
        pytest.param(Result(metrics={f"m{n}": 0.1 for n in range(500)}), "fewer", id="too much"),
        pytest.param(Result(metrics={"val acc!": 1.0}), "metrics.val acc!: a name", id="a name"),
        pytest.param(Result(samples=-1), "samples is -1", id="D below 0"),
        pytest.param(Result(steps=2**54), "steps is 18014398509481984", id="steps beyond doubles"),
        pytest.param(Result(points=(Point(-1, {}),)), "points.samples is -1", id="a point"),
    ],
)
def test_a_result_that_nobody_could_read_is_not_written(result: Result, complaint: str) -> None:
    with pytest.raises(ResultError, match=complaint):
        encode_result(result)


def test_what_is_not_known_takes_no_room() -> None:
    assert encode_result(replace(Result(), steps=4)) == b'{"v":1,"steps":4}'


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("val_loss", id="a word"),
        pytest.param("val/acc", id="as half of all scripts write"),
        pytest.param("Loss/val step", id="a space inside"),
        pytest.param("eval/mmlu.x-5:acc", id="all marks"),
        pytest.param("top-5", id="a hyphen"),
        pytest.param("3d/iou", id="a digit first"),
        pytest.param("a" * 250, id="as long as may be"),
    ],
)
def test_names_that_training_scripts_use_are_names(name: str) -> None:
    assert is_metric_name(name)
    assert parse_result(json.dumps({"metrics": {name: 1}})).metrics == {name: 1}


@pytest.mark.parametrize(
    "name",
    [
        *("", " a", "a ", "/a", "a/", "a//b", "..", "a/../b", ".a", "-a", "a/-b", "é", "a\n"),
        *(
            "a\tb",
            "a\u200bb",
            "=a",
            "@a",
            "a,b",
            'a"b',
            "{a}",
            "a;b",
            "a|b",
            "a%b",
            "a+b",
            "a" * 251,
        ),
    ],
)
def test_what_is_no_name_of_a_metric(name: str) -> None:
    assert not is_metric_name(name)


@given(METRIC_NAMES)
def test_the_word_of_a_name_is_one_that_any_system_takes(name: str) -> None:
    assert word_of(name).replace("_", "a").isalnum()
    assert word_of(name).isascii()
    assert word_of("val/acc") == "val_acc"


def test_as_many_metrics_as_a_status_holds_are_read() -> None:
    names = [f"{number:x}" for number in range(MAX_METRICS)]
    assert (
        len(
            parse_result(
                json.dumps({"metrics": dict.fromkeys(names, 1)}, separators=(",", ":"))
            ).metrics
        )
        == MAX_METRICS
    )
