"""pydantic's errors in plain sentences: what is wrong, and what is allowed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from scaling_operator.api.container import MOUNT_PATH_PATTERN
from scaling_operator.api.names import (
    CONFIG_KEY_PATTERN,
    DNS_LABEL_PATTERN,
    EXPERIMENT_NAME_PATTERN,
    LABEL_KEY_PATTERN,
    LABEL_VALUE_PATTERN,
    OBJECT_NAME_PATTERN,
    PARAMETER_NAME_PATTERN,
    VARIABLE_NAME_PATTERN,
)
from scaling_operator.api.problems import listing, nearest, shown
from scaling_operator.api.quantities import QUANTITY_PATTERN, not_a_quantity
from scaling_trainer.metric_names import METRIC_NAME_CHARACTERS, METRIC_NAME_PATTERN

Context = Mapping[str, Any]

_LETTERS = "letters, digits and _, not beginning with a digit"
_PATTERNS = {
    EXPERIMENT_NAME_PATTERN: "lower-case letters, digits and -, beginning with a letter and ending "
    "with a letter or digit, so that names of pods can be made from it",
    PARAMETER_NAME_PATTERN: f"one or more words joined by dots, each of {_LETTERS}",
    METRIC_NAME_PATTERN: METRIC_NAME_CHARACTERS,
    VARIABLE_NAME_PATTERN: _LETTERS,
    DNS_LABEL_PATTERN: "lower-case letters, digits and -, such as a100",
    OBJECT_NAME_PATTERN: "a Kubernetes name: lower-case letters, digits, - and .",
    CONFIG_KEY_PATTERN: "a key of a ConfigMap or Secret: letters, digits, -, _ and .",
    LABEL_KEY_PATTERN: "a label such as gpu-type or nvidia.com/gpu.product",
    LABEL_VALUE_PATTERN: "a label's value: letters, digits, -, _ and . inside",
    MOUNT_PATH_PATTERN: "an absolute path below /, without a colon, empty parts, . and ..",
}


def sentence(kind: str, value: object, context: Context, message: str) -> str:
    """Word an error of pydantic: `kind` is its type, `message` pydantic's own words."""
    if kind in _KINDS:
        return f"must be {_KINDS[kind]}, not {shown(value)}"
    if kind in _BOUNDS:
        words, key = _BOUNDS[kind]
        return f"must be {words} {shown(context[key])}, not {shown(value)}"
    if kind in _SENTENCES:
        return _SENTENCES[kind](value, context)
    if kind in ("value_error", "assertion_error"):
        return str(context.get("error", message))
    return message.replace("Input should", "must").replace("must be a valid", "must be a")


_KINDS = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number of at most 64 bits",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "string_unicode": "valid text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "model_type": "a mapping with fields",
    "model_attributes_type": "a mapping with fields",
    "dict_type": "a mapping",
    "tuple_type": "a list",
    "list_type": "a list",
    "datetime_type": "a time such as 2026-01-31T12:00:00Z",
    "datetime_parsing": "a time such as 2026-01-31T12:00:00Z",
    "datetime_from_date_parsing": "a time such as 2026-01-31T12:00:00Z",
}
_BOUNDS = {
    "greater_than": ("above", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("below", "lt"),
    "less_than_equal": ("at most", "le"),
}


def choice(value: object, allowed: tuple[str, ...]) -> str:
    """List the values that a field takes, first the value that was probably meant."""
    near = nearest(value, allowed) if isinstance(value, str) else None
    meant = f"did you mean {near}? " if near is not None else ""
    return f"{shown(value)} is not allowed; {meant}allowed: {listing(allowed)}"


def _words(expected: str) -> tuple[str, ...]:
    parts = expected.replace(" or ", ", ").split(", ")
    return tuple(part.strip("'") for part in parts)


def _pattern(value: object, context: Context) -> str:
    pattern = str(context["pattern"])
    if pattern == QUANTITY_PATTERN:
        return not_a_quantity(value)
    return f"must be {_PATTERNS.get(pattern, f'text like {pattern}')}, not {shown(value)}"


def _too_short(_: object, context: Context) -> str:
    least = context["min_length"]
    return f"has {context['actual_length']} entries; at least {least} must be given"


def _too_long(_: object, context: Context) -> str:
    return f"has {context['actual_length']} entries; at most {context['max_length']:,} are allowed"


def _text_too_short(value: object, context: Context) -> str:
    least = context["min_length"]
    return "is empty; write some text" if least == 1 else f"{shown(value)} is too short: {least}"


def _text_too_long(value: object, context: Context) -> str:
    length = len(value) if isinstance(value, str) else "too many"
    return f"has {length} characters; at most {context['max_length']:,} are allowed"


_SENTENCES: dict[str, Callable[[object, Context], str]] = {
    "literal_error": lambda value, context: choice(value, _words(str(context["expected"]))),
    "enum": lambda value, context: choice(value, _words(str(context["expected"]))),
    "string_pattern_mismatch": _pattern,
    "string_too_short": _text_too_short,
    "string_too_long": _text_too_long,
    "too_short": _too_short,
    "too_long": _too_long,
}
