"""Amounts as numbers, quantities and CEL, and what is said of one that cannot be computed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scaling_operator.api.expressions import Amount, ExpressionError, check, evaluate
from scaling_operator.api.fields import Scalar
from scaling_operator.api.quantities import format_bytes, format_cores, parse_quantity
from scaling_operator.validation.checks import check_document

VALUES: dict[str, Scalar] = {
    "model.width": 64,
    "model.layers": 2.0,
    "lr": 1e-3,
    "name": "adam",
    "flag": True,
    "lr.decay": 5,
}

ROWS: list[tuple[str, Amount, float]] = [
    ("a whole number", 3, 3.0),
    ("a number", 2.5, 2.5),
    ("a quantity", "4Gi", 2**32),
    ("thousandths", "500m", 0.5),
    ("a number as text", "17", 17.0),
    ("an exponent", "1e3", 1000.0),
    ("arithmetic over dotted names", "12.0 * model.layers * model.width * model.width", 98304.0),
    ("a whole name", "parameters['model.width'] / 2.0", 32.0),
    ("a name below another parameter", "parameters['lr.decay']", 5.0),
    ("a choice", "name == 'adam' ? 16.0 : 12.0", 16.0),
    ("a truth", "flag && model.width > 1.0 ? 1.0 : 0.0", 1.0),
    ("functions", "max(1.0, min(9.0, pow(2.0, 3.0))) + sqrt(4.0) + ceil(0.1) + floor(0.9)", 11.0),
    ("a logarithm", "log(1.0)", 0.0),
    ("presence", "has(model.depth) ? model.depth : 7.0", 7.0),
    ("a conversion", "double('1.5')", 1.5),
]


@pytest.mark.parametrize(
    ("amount", "expected"), [row[1:] for row in ROWS], ids=[r[0] for r in ROWS]
)
def test_an_amount_is_computed(amount: Amount, expected: float) -> None:
    check(amount)

    assert evaluate(amount, VALUES) == expected


REFUSED = [
    ("no expression", "4 Gigabytes", "is neither a quantity nor CEL: 1:3"),
    ("an unknown name", "depth * 2.0", "names depth, which this trial does not have; it has"),
    ("a whole number among doubles", "12 * model.width", "write numbers with a point: 12.0"),
    ("a text", "name", "gives str, not a number"),
    ("a truth for a number", "flag", "gives bool, not a number"),
    ("below 0", "0.0 - model.width", "is -64.0; it must be a finite number, at least 0"),
    ("no finite number", "1.0 / (model.width - 64.0)", "it must be a finite number"),
    ("beyond a double", "pow(model.width, 1e9)", "cannot be computed"),
    ("a root of what has none", "sqrt(0.0 - 1.0)", "cannot be computed"),
    ("a macro", "[1.0, 2.0].map(x, x)[0]", "methods and macros are not allowed"),
    ("a macro in disguise", "[1.0].\n  map (x, x)[0]", "methods and macros are not allowed"),
    ("a method", "name.size()", "methods and macros are not allowed"),
    ("a function that there is not", "exec(1.0)", "calls exec; there are double, ceil"),
    ("a function of a long name", "f" * 900 + "(1.0)", f"calls {'f' * 63}…; there are double"),
    ("a program", "1.0" + " + 1.0" * 400, "has 2403 characters; at most 1024 are allowed"),
    ("an abyss", "(" * 500 + "1.0" + ")" * 500, "is neither a quantity nor CEL"),
    ("an empty text", "", "is neither a quantity nor CEL"),
    (
        "no such parameter",
        "parameters['nope']",
        "cannot be computed: there is no 'nope'",
    ),
    ("a slip in a name", "model.wdth * 2.0", "cannot be computed: there is no 'wdth'"),
    ("a field of a field", "model.width.height", "cannot be computed: "),
    ("an item beyond a list", "[1.0][7]", "cannot be computed: index out of bounds: 7"),
    ("an item before a list", "[1.0][-1]", "cannot be computed: "),
    ("a whole number out of range", "9223372036854775807 + 1", "cannot be computed: "),
    ("the smallest divided by -1", "-9223372036854775807 / -1 + 1 - 9", "cannot be computed: "),
    ("a whole number over nothing", "1 / 0", "cannot be computed: division by zero"),
    ("a rest of nothing", "1 % 0", "cannot be computed: modulo by zero"),
    ("nothing", "null", "gives NoneType, not a number"),
    ("not a number", "0.0 / 0.0", "is nan; it must be a finite number"),
    ("what has no whole number above", "ceil(1.0 / 0.0)", "cannot be computed: cannot convert"),
    ("too few arguments", "max(1.0)", "cannot be computed: _max() missing 1 required"),
    ("the larger of a text and a number", "max('a', 1.0)", "not supported between instances"),
    ("a number in a text", "double('x')", "cannot be computed: "),
]


@pytest.mark.parametrize(
    ("text", "words"), [row[1:] for row in REFUSED], ids=[r[0] for r in REFUSED]
)
def test_what_is_no_amount_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(ExpressionError) as refused:
        evaluate(text, VALUES)

    assert words in str(refused.value)


ATOMS = (
    *("1.0", "0.0", "-1.0", "7", "1e308", "9223372036854775807", "'a'", "true", "null", "[1.0]"),
    *("name", "flag", "model.width", "model.nope", "lr", "nope", "b'a'", "{'a': 1.0}"),
    *("parameters['lr']", "parameters['nope']", "parameters", "has(model.width)", "has(name.x)"),
)


def below(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Expressions over others: most are well formed, and many of those mean nothing."""
    operators = ("+", "-", "*", "/", "%", "==", "<", ">=", "&&", "||", " in ")
    two = st.tuples(inner, st.sampled_from(operators), inner).map("".join)
    calls = st.tuples(st.sampled_from(("ceil", "sqrt", "log", "max", "pow", "double")), inner)
    return st.one_of(
        two.map("({})".format),
        calls.map(lambda call: f"{call[0]}({call[1]})"),
        st.tuples(inner, inner).map(lambda pair: f"max({pair[0]}, {pair[1]})"),
        st.tuples(inner, inner, inner).map(lambda arms: f"({arms[0]} ? {arms[1]} : {arms[2]})"),
        st.tuples(inner, inner).map(lambda pair: f"{pair[0]}[{pair[1]}]"),
        inner.map(lambda text: f"{text}.x"),
        inner.map(lambda text: f"-{text}"),
    )


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.text(max_size=60)
    | st.text("()[]{},.?:!&|'\"+-*/%<>= ab01x", max_size=200)
    | st.recursive(st.sampled_from(ATOMS), below, max_leaves=20)
)
def test_any_text_gives_a_number_or_is_refused_and_nothing_is_logged(
    caplog: pytest.LogCaptureFixture, text: str
) -> None:
    message = ""
    try:
        assert evaluate(text, VALUES) >= 0
    except ExpressionError as error:
        message = str(error)
    assert len(message) < 1000
    assert not caplog.records


QUANTITIES = [("2", 2.0), ("500m", 0.5), ("1.5Gi", 1.5 * 2**30), ("3k", 3000.0), ("2e3", 2000.0)]


@pytest.mark.parametrize(("text", "number"), QUANTITIES)
def test_a_quantity_is_read(text: str, number: float) -> None:
    assert parse_quantity(text) == number


@given(st.floats(min_value=1, max_value=2**50))
def test_a_written_size_is_never_smaller_and_at_most_a_mebibyte_larger(size: float) -> None:
    assert size <= parse_quantity(format_bytes(size)) <= size + 2**20


@given(st.floats(min_value=0.001, max_value=1000))
def test_written_cores_are_never_fewer(cores: float) -> None:
    assert cores - 1e-6 <= parse_quantity(format_cores(cores)) <= cores + 0.001


def test_what_is_no_quantity_is_refused() -> None:
    with pytest.raises(
        ValueError, match="'4GB' is not a quantity: write for example 2, 500m or 4Gi"
    ):
        parse_quantity("4GB")


def experiment(**resources: Any) -> dict[str, Any]:
    return {
        "apiVersion": "scaling-operator.dev/v1alpha1",
        "kind": "ScalingExperiment",
        "metadata": {"name": "own"},
        "spec": {
            "objective": {"metric": "loss", "direction": "minimize"},
            "search": {"parameters": {"lr": {"type": "float", "low": 0, "high": 1}}},
            "scaling": {"parameter": "width", "sizes": [16, 32]},
            "trainer": {"container": {"image": "mine", "command": ["train"]}},
            "resources": resources,
        },
    }


PROBLEMS: list[Any] = [
    pytest.param({"parameters": "12.0 * width"}, [], id="a sound expression"),
    pytest.param(
        {"parameters": "12.0 * wdth"},
        ["spec.resources.estimate.parameters: names wdth, which this trial does not have"],
        id="a name that the ladder does not set",
    ),
    pytest.param(
        {"hostMemory": "1.0 / (32.0 - width)"},
        ["spec.resources.estimate.hostMemory: is inf"],
        id="an expression that fails at the last rung only",
    ),
    pytest.param(
        {"parameters": "1.0 / lr"},
        ["spec.resources.estimate.parameters: is inf"],
        id="an expression that fails at an end of the search",
    ),
    pytest.param(
        {"parameters": "parameters['wdth']", "hostMemory": "width.height", "cpu": "[1.0][7]"},
        [
            "spec.resources.estimate.parameters: cannot be computed: there is no 'wdth' (tried",
            "spec.resources.estimate.hostMemory: cannot be computed: ",
            "spec.resources.estimate.cpu: cannot be computed: index out of bounds: 7",
        ],
        id="names and items that there are not",
    ),
    pytest.param(
        {"parameters": "12.0 *"},
        ["spec.resources.estimate.parameters: is neither a quantity nor CEL"],
        id="half an expression",
    ),
    pytest.param(
        {"hostMemory": 1e300},
        ["spec.resources.estimate.hostMemory: is 1e+300; it must be a finite number"],
        id="more bytes than there are",
    ),
    pytest.param(
        {"layers": 2},
        ["spec.resources.estimate.width: a transformer has layers, width, heads, context"],
        id="half a transformer",
    ),
    pytest.param(
        {"vocabulary": 100},
        ["spec.resources.estimate.context: is required with vocabulary"],
        id="logits of how many tokens",
    ),
    pytest.param(
        {"hostmemory": "1Gi"},
        ["spec.resources.estimate.hostmemory: unknown field; did you mean hostMemory?"],
        id="a misspelt field",
    ),
]


@pytest.mark.parametrize(("estimate", "expected"), PROBLEMS)
def test_an_estimate_is_checked_before_anything_runs(
    estimate: dict[str, Any], expected: list[str]
) -> None:
    problems = [str(problem) for problem in check_document(experiment(estimate=estimate))]

    assert len(problems) == len(expected)
    assert all(text.startswith(start) for text, start in zip(problems, expected, strict=True)), (
        problems
    )


def test_an_estimate_beside_fixed_resources_is_refused() -> None:
    problems = check_document(experiment(estimate={"parameters": 1}, fixed={"gpus": 1}))

    assert [str(problem) for problem in problems] == [
        "spec.resources: set at most one of estimate, fixed"
    ]


def test_the_built_in_trainer_needs_no_estimate() -> None:
    document = experiment(estimate={"parameters": 1})
    document["spec"] |= {
        "trainer": {
            "builtIn": {
                "task": "classification",
                "dataset": {"name": "digits"},
                "model": {"name": "mlp"},
            }
        },
        "objective": {"metric": "val_loss", "direction": "minimize"},
        "search": {},
        "scaling": {"parameter": "model.width", "sizes": [16, 32]},
    }

    assert [str(problem) for problem in check_document(document)] == [
        "spec.resources.estimate: goes with trainer.container: what the built-in trainer needs is "
        "known"
    ]
