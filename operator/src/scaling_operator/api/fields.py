"""Kinds of values that several API objects share.

CamelCase sections, durations, quantities, bounded texts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_camel

from scaling_operator.api.names import (
    CONFIG_KEY_PATTERN,
    LABEL_KEY_PATTERN,
    LABEL_VALUE_PATTERN,
    OBJECT_NAME_LENGTH,
    OBJECT_NAME_PATTERN,
    PARAMETER_NAME_PATTERN,
)
from scaling_operator.api.problems import shown
from scaling_operator.api.quantities import QUANTITY_LENGTH, QUANTITY_PATTERN
from scaling_operator.api.rules import Rule
from scaling_trainer.config.base import SectionError
from scaling_trainer.metric_names import METRIC_NAME_LENGTH, METRIC_NAME_PATTERN

Scalar = str | int | float | bool


def equality_key(value: Scalar) -> tuple[bool, Scalar]:
    """Give the key that equal values of a file share: 1 and 1.0 are equal, 1 and true are not."""
    return isinstance(value, bool), value


class ApiSection(BaseModel):
    """Base of every section: camelCase in files, unknown keys are errors, values are finite.

    `REFUSED` names fields that Kubernetes has and a person may look for here, and why they are not.
    """

    REFUSED: ClassVar[Mapping[str, str]] = {}

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        serialize_by_alias=True,
    )


class CheckedSection(ApiSection):
    """A section with rules between its own fields."""

    RULES: ClassVar[tuple[Rule[Any], ...]] = ()

    @model_validator(mode="after")
    def _rules_hold(self) -> Self:
        problems = [problem for rule in self.RULES for problem in rule.problems(self)]
        if problems:
            raise SectionError(*((problem.path, problem.message) for problem in problems))
        return self


_UNIT_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_UNITS = "|".join(_UNIT_SECONDS)
DURATION_PATTERN = rf"^([0-9]+(\.[0-9]+)?({_UNITS}))+$"

SHORTEST_DURATION = timedelta(milliseconds=1)
LONGEST_DURATION = timedelta(hours=100_000)
_SHORTEST, _LONGEST = "1ms", "100000h"  # the same as Go writes them
DURATION_LENGTH = 32
_DURATION_IS_BOUNDED: Rule[Any] = Rule(
    cel=f"duration(self) >= duration('{_SHORTEST}') && duration(self) <= duration('{_LONGEST}')",
    message=f"must lie between {_SHORTEST} and {_LONGEST}",
)


def parse_duration(value: Any) -> timedelta:
    """Read a duration as Go writes it: `90s`, `1h30m`, `1.5h`.

    Raises ValueError where it is none, or lies outside 1 ms to 100,000 h.
    """
    if isinstance(value, timedelta):
        return value
    fits = isinstance(value, str) and len(value) <= DURATION_LENGTH
    if not fits or not re.fullmatch(DURATION_PATTERN, value):
        message = f"{shown(value)} is not a duration: write for example 90s, 10m or 1h30m"
        raise ValueError(message)
    parts = re.findall(rf"([0-9.]+)({_UNITS})", value)
    seconds = math.fsum(float(number) * _UNIT_SECONDS[unit] for number, unit in parts)
    if not SHORTEST_DURATION.total_seconds() <= seconds <= LONGEST_DURATION.total_seconds():
        message = f"{shown(value)} lies outside {_SHORTEST} to {_LONGEST}"
        raise ValueError(message)
    return timedelta(seconds=seconds)


def format_duration(value: timedelta) -> str:
    """Write a duration as Go does: the largest whole units first."""
    whole, micros = divmod(value // timedelta(microseconds=1), 1_000_000)
    hours, rest = divmod(whole, 3600)
    minutes, seconds = divmod(rest, 60)
    text = (f"{hours}h" if hours else "") + (f"{minutes}m" if minutes else "")
    if seconds or micros or not text:
        text += f"{seconds}.{micros:06}".rstrip("0").rstrip(".") + "s"
    return text


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": DURATION_PATTERN,
            "maxLength": DURATION_LENGTH,
            "x-kubernetes-validations": [_DURATION_IS_BOUNDED.rendered()],
        }
    ),
]
Quantity = Annotated[
    str,
    # `cpu: 2` means the same as "2". A CRD takes whole numbers or text, so 0.5 needs quotes.
    BeforeValidator(lambda value: str(value) if type(value) is int else value),
    Field(pattern=QUANTITY_PATTERN, max_length=QUANTITY_LENGTH),
    WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "pattern": QUANTITY_PATTERN,
            "maxLength": QUANTITY_LENGTH,
            "minimum": 0,
        }
    ),
]
RESOURCE_PATTERN = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"
ResourceName = Annotated[str, Field(pattern=RESOURCE_PATTERN, max_length=317)]
ParameterName = Annotated[str, Field(pattern=PARAMETER_NAME_PATTERN, max_length=63)]
MetricName = Annotated[str, Field(pattern=METRIC_NAME_PATTERN, max_length=METRIC_NAME_LENGTH)]
Text = Annotated[str, Field(max_length=1024)]
ObjectName = Annotated[str, Field(pattern=OBJECT_NAME_PATTERN, max_length=OBJECT_NAME_LENGTH)]
ConfigKey = Annotated[str, Field(pattern=CONFIG_KEY_PATTERN, max_length=253)]
LabelKey = Annotated[str, Field(pattern=LABEL_KEY_PATTERN, max_length=317)]
LabelValue = Annotated[str, Field(pattern=LABEL_VALUE_PATTERN, max_length=63)]
