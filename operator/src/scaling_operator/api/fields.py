"""Kinds of values that several API objects share.

CamelCase sections, durations, quantities, bounded texts.
"""

from __future__ import annotations

import math
import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema
from pydantic.alias_generators import to_camel

from scaling_operator.api.names import METRIC_NAME_PATTERN, PARAMETER_NAME_PATTERN

Scalar = str | int | float | bool


class ApiSection(BaseModel):
    """Base of every section: camelCase in files, unknown keys are errors, values are finite."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        serialize_by_alias=True,
    )


DURATION_PATTERN = r"^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$"
_UNIT_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_duration(value: Any) -> timedelta:
    """Read a duration as Go writes it: `90s`, `1h30m`, `1.5h`. Raises ValueError."""
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str) or not re.fullmatch(DURATION_PATTERN, value):
        message = f"{value!r} is not a duration: write for example 90s, 10m or 1h30m"
        raise ValueError(message)
    parts = re.findall(r"([0-9.]+)(ns|us|µs|ms|s|m|h)", value)
    return timedelta(
        seconds=math.fsum(float(number) * _UNIT_SECONDS[unit] for number, unit in parts)
    )


def format_duration(value: timedelta) -> str:
    """Write a duration as Go does: the largest whole units first."""
    seconds = value.total_seconds()
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    text = (f"{hours:.0f}h" if hours else "") + (f"{minutes:.0f}m" if minutes else "")
    return text + (f"{rest:g}s" if rest or not text else "")


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN, "maxLength": 32}),
]
Quantity = Annotated[
    str,
    # A YAML number such as `cpu: 2` means the same as the text "2".
    BeforeValidator(lambda value: str(value) if type(value) in (int, float) else value),
    Field(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|K|M|G|T|P|Ki|Mi|Gi|Ti|Pi|e[0-9]+)?$", max_length=32),
]
ParameterName = Annotated[str, Field(pattern=PARAMETER_NAME_PATTERN, max_length=63)]
MetricName = Annotated[str, Field(pattern=METRIC_NAME_PATTERN, max_length=63)]
Text = Annotated[str, Field(max_length=1024)]
