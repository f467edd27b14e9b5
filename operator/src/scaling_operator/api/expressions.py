"""Amounts in `spec.resources.estimate`: a number, a quantity, or CEL over a trial's parameters.

CEL (https://cel.dev) by the library `common-expression-language`. Every number is a double, since
JSON does not tell 16 from 16.0: `12.0 * model.layers * model.width * model.width`. The cost of an
expression is bounded: it may call a few functions and no macro, so that it takes at most as many
steps as it has characters.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from scaling_operator.api.fields import Scalar
from scaling_operator.api.problems import listing, shown
from scaling_operator.api.quantities import QUANTITY_PATTERN, parse_quantity

if TYPE_CHECKING:
    from cel import Program

Amount = float | int | str
Variables = Mapping[str, Any]
"""A trial's parameters as an expression sees them."""
MAX_LENGTH = 1024
LARGEST_AMOUNT = 1e30
ALL = "parameters"
"""The variable that holds every parameter by its whole name."""


def _ceil(x: float) -> float:
    return float(math.ceil(x))


def _floor(x: float) -> float:
    return float(math.floor(x))


def _max(x: float, y: float) -> float:
    return max(x, y)


def _min(x: float, y: float) -> float:
    return min(x, y)


_FUNCTIONS: Mapping[str, Callable[..., float]] = {
    "ceil": _ceil,
    "floor": _floor,
    "log": math.log,
    "max": _max,
    "min": _min,
    "pow": math.pow,
    "sqrt": math.sqrt,
}
_CALLABLE = ("double", *_FUNCTIONS)
_OPERATOR = re.compile(r"[^a-z]|@in")
_CHARACTERS = re.compile(r"[A-Za-z0-9_ .,()+\-*/%<>=!&|?:'\"\[\]]*")
_METHOD = re.compile(r"\.\s*[A-Za-z_]\w*\s*\(")


class ExpressionError(ValueError):
    """An amount that is no number, with a message by which a person can mend it."""


def check(amount: Amount) -> None:
    """Refuse a text that is no amount, before any parameter is known. Raises ExpressionError."""
    if is_expression(amount):
        _program(str(amount))
    else:
        compute(amount, {})


def is_expression(amount: Amount) -> bool:
    """Whether an amount depends on the trial."""
    return isinstance(amount, str) and not re.fullmatch(QUANTITY_PATTERN, amount)


def evaluate(amount: Amount, values: Mapping[str, Scalar]) -> float:
    """Give an amount for one trial: finite and at least 0. Raises ExpressionError."""
    return compute(amount, variables_of(values) if is_expression(amount) else {})


def compute(amount: Amount, variables: Variables) -> float:
    """Do as `evaluate`, with the variables of a trial that has several amounts."""
    number = _computed(str(amount), variables) if is_expression(amount) else _plain(amount)
    if not 0 <= number <= LARGEST_AMOUNT:
        message = f"is {number}; it must be a finite number, at least 0 and at most 1e30"
        raise ExpressionError(message)
    return number


def _plain(amount: Amount) -> float:
    return parse_quantity(amount) if isinstance(amount, str) else float(amount)


def _computed(text: str, variables: Variables) -> float:
    from cel import Context  # noqa: PLC0415 - loads slowly, and few experiments need it

    program = _program(text)
    named = program.variables()
    unknown = [name for name in named if name not in variables]
    if unknown:
        message = f"names {listing(unknown)}, which this trial does not have; it has "
        raise ExpressionError(message + listing(variables))
    failed: list[Exception] = []
    context = Context({name: variables[name] for name in named}, _functions(failed))
    value: Any = None
    try:
        value = program.execute(context)
    # An expression is its author's program: its author is told whatever error it ends in.
    except Exception as error:  # noqa: BLE001
        failed.append(error)
    if failed:
        message = f"cannot be computed: {_why(failed[0])}"
        raise ExpressionError(message) from failed[0]
    if isinstance(value, bool) or not isinstance(value, int | float):
        message = f"gives {type(value).__name__}, not a number"
        raise ExpressionError(message)
    return float(value)


def _functions(failed: list[Exception]) -> dict[str, Callable[..., float]]:
    """Give the functions; an error that one raises goes into `failed`: the library would log it."""

    def collecting(function: Callable[..., float]) -> Callable[..., float]:
        def called(*arguments: Any) -> float:
            try:
                return function(*arguments)
            except (ArithmeticError, TypeError, ValueError) as error:
                failed.append(error)
                return math.nan

        return called

    return {name: collecting(function) for name, function in _FUNCTIONS.items()}


def _why(error: Exception) -> str:
    match error:
        case KeyError(args=(name, *_)):
            return f"there is no {shown(name)}"
        case TypeError():
            return f"{_first_sentence(error)}; write numbers with a point: 12.0"
        case _:
            return _first_sentence(error)


def variables_of(values: Mapping[str, Scalar]) -> dict[str, Any]:
    """Lay out dotted names as CEL reads them: `model.width` is the field `width` of `model`."""
    flat = {name: _as_double(value) for name, value in values.items()}
    tree: dict[str, Any] = {}
    for name, value in flat.items():
        *sections, field = name.split(".")
        parent: Any = tree
        for section in sections:
            # Where a parameter has a section's name, `parameters` alone holds those below it.
            parent = _inner(parent, section)
        if isinstance(parent, dict):
            cast("dict[str, Any]", parent).setdefault(field, value)
    return {**tree, ALL: flat}


def _inner(parent: Any, section: str) -> Any:
    is_section = isinstance(parent, dict)
    return cast("dict[str, Any]", parent).setdefault(section, {}) if is_section else None


def _as_double(value: Scalar) -> Scalar:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number else value


@lru_cache(maxsize=256)
def _program(text: str) -> Program:
    from cel import compile as compiled  # noqa: PLC0415 - as above

    if len(text) > MAX_LENGTH:
        message = f"has {len(text)} characters; at most {MAX_LENGTH} are allowed"
        raise ExpressionError(message)
    if not _CHARACTERS.fullmatch(text) or _METHOD.search(text):
        message = (
            "is no plain arithmetic: write names, numbers, operators and "
            f"{', '.join(_CALLABLE)}; methods and macros are not allowed"
        )
        raise ExpressionError(message)
    try:
        program = compiled(text)
    except ValueError as error:
        message = f"is neither a quantity nor CEL: {_first_sentence(error)}"
        raise ExpressionError(message) from error
    for name in program.functions():
        if name not in _CALLABLE and not _OPERATOR.match(name):
            message = f"calls {listing([name])}; there are {', '.join(_CALLABLE)}"
            raise ExpressionError(message)
    return program


def _first_sentence(error: Exception) -> str:
    text = next(iter(str(error).splitlines()), type(error).__name__)
    return text.rpartition("ERROR: <input>:")[2].split(". ", maxsplit=1)[0][:200]
