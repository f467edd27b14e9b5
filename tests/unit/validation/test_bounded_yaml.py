"""Reading a text ends soon, whatever is in it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from scaling_operator.api.problems import InvalidSpec
from scaling_operator.validation.bounded_yaml import MAX_YAML_BYTES, MAX_YAML_VALUES, read_yaml
from scaling_operator.validation.errors import MOST_PROBLEMS
from scaling_operator.validation.load import MAX_BYTES, parse_experiment, parse_policy
from scaling_operator.validation.normal_form import MAX_DEPTH

MIB = MAX_BYTES - 100
CPU_SECONDS = 2.5
"""Five times what it may take on a machine of its own; without bounds these take 3 to 45."""


def laughs(levels: int) -> str:
    first = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    return first + "".join(
        f"a{at}: &a{at} [{', '.join([f'*a{at - 1}'] * 9)}]\n" for at in range(1, levels)
    )


def merges(levels: int) -> str:
    first = "a0: &a0 {" + ", ".join(f"k{at}: 1" for at in range(100)) + "}\n"
    return first + "".join(
        f"a{at}: &a{at} {{<<: [{', '.join([f'*a{at - 1}'] * 50)}]}}\n" for at in range(1, levels)
    )


HOSTILE = [
    pytest.param("[" * 100_000, id="lists in lists"),
    pytest.param("{" * 100_000, id="mappings in mappings"),
    pytest.param("{a: " * 60_000, id="mappings by name"),
    pytest.param("- " * 100_000 + "a", id="items in items"),
    pytest.param("? " * 50_000 + "a", id="keys in keys"),
    pytest.param("".join(" " * at + "a:\n" for at in range(700)), id="sections in sections"),
    pytest.param('{"a":' * 200_000, id="JSON in JSON"),
    pytest.param(laughs(30), id="aliases of aliases"),
    pytest.param(merges(8), id="merges of merges"),
    pytest.param("a: &a {<<: *a}", id="a merge of itself"),
    pytest.param("a: &a {b: *a}", id="an alias of itself"),
    pytest.param("? &a [*a]\n: 1", id="a key of itself"),
    pytest.param("a" * MIB + ": 1", id="a huge key"),
    pytest.param('{"' + "a" * MIB + '": 1}', id="a huge key in JSON"),
    pytest.param("? " + "a" * (MAX_YAML_BYTES - 10) + "\n: 1", id="a huge key that is announced"),
    pytest.param("".join(f"k{at}: 1\n" for at in range(90_000)), id="many keys"),
    pytest.param("".join(f"k{at}: 1\n" for at in range(4_900)), id="as many keys as are read"),
    pytest.param("{" + ",".join(f'"{at}":1' for at in range(90_000)) + "}", id="many JSON keys"),
    pytest.param("a: [" + "1," * 500_000 + "]", id="many values"),
    pytest.param("a:\n" + "- 1\n" * 60_000, id="many items"),
    pytest.param("- &a x\n" * 30_000, id="many anchors"),
    pytest.param("---\n" * 60_000, id="many documents"),
    pytest.param("\n" * (MAX_YAML_BYTES - 1), id="many empty lines"),
    pytest.param("a: |\n" + " x\n" * 80_000, id="many lines of a text"),
    pytest.param("a: " + "1" * (MAX_YAML_BYTES - 10), id="a number of many digits"),
    pytest.param('{"a": ' + "1" * MIB + "}", id="a JSON number of many digits"),
    pytest.param("!" * (MAX_YAML_BYTES - 1), id="tags"),
    pytest.param("?" * (MAX_YAML_BYTES - 1), id="question marks"),
]


@pytest.mark.slow
@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_is_refused_soon(text: str) -> None:
    start = time.process_time()
    with pytest.raises(InvalidSpec) as refused:
        parse_experiment(text, "my.yaml")
    assert time.process_time() - start < CPU_SECONDS
    assert len(refused.value.problems) <= MOST_PROBLEMS + 5


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "a: " + "x" * MAX_YAML_BYTES,
            "my.yaml: has more than 256 KiB of YAML; write it as JSON",
        ),
        (
            f"a: [{'1, ' * MAX_YAML_VALUES}]",
            "my.yaml: line 1, column 14996: has more than 5,000 values; write them as JSON",
        ),
        ("[" * 61, "my.yaml: line 1, column 61: is nested too deeply: at most 60 levels are read"),
        ("- " * 61 + "a", "my.yaml: line 1, column 121: is nested too deeply: at most 60 levels"),
        (merges(3), "my.yaml: line 1, column 5: has merges (`<<`) that add more than 5,000"),
    ],
    ids=["bytes", "values", "brackets", "items", "merges"],
)
def test_the_bound_that_is_passed_is_named(text: str, words: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        parse_experiment(text, "my.yaml")
    assert str(refused.value).startswith(words)


def test_what_is_within_the_bounds_is_read() -> None:
    deep = "[" * (MAX_DEPTH - 1) + "a" + "]" * (MAX_DEPTH - 1)
    many = list(range(MAX_YAML_VALUES - 2))
    assert str(read_yaml(deep)[0]) == deep.replace("a", "'a'")
    assert read_yaml(str(many)) == [many]
    assert read_yaml("b: &b {x: 1, y: 2}\nc: {<<: [*b, {z: 3}], x: 4}") == [
        {"b": {"x": 1, "y": 2}, "c": {"x": 4, "y": 2, "z": 3}}
    ]


@pytest.mark.parametrize("read", [parse_experiment, parse_policy])
def test_of_many_problems_the_first_are_told(read: Any) -> None:
    text = "{" + ",".join(f'"k{at}": 1' for at in range(1000)) + "}"
    with pytest.raises(InvalidSpec) as refused:
        read(text, "my.yaml")
    problems = [str(problem) for problem in refused.value.problems]
    assert "the document: has more than 100 problems; these are the first" in problems
    assert any(problem.startswith("k0: unknown field") for problem in problems)
    assert not any(problem.startswith("k100: ") for problem in problems)


@pytest.mark.slow
@pytest.mark.parametrize("read", [parse_experiment, parse_policy])
def test_of_many_values_that_json_cannot_hold_the_first_are_told(read: Any) -> None:
    with pytest.raises(InvalidSpec) as refused:
        read(f'{{"a": [{"NaN, " * 90_000}1], "spec": 1}}', "my.yaml")
    problems = [str(problem) for problem in refused.value.problems]
    assert len(problems) == MOST_PROBLEMS + 1
    assert problems[0] == "the document: has more than 100 problems; these are the first"
    assert "a[3]: nan is not allowed: numbers must be finite" in problems
