"""The result of a trial: one small JSON object, written by any trainer and read by the operator.

It needs the standard library alone, as all of the contract does.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

# Kubernetes keeps 4,096 bytes of a termination message; ours stays far below, for pods of
# several containers.
MAX_RESULT_BYTES = 4096
RESULT_VERSION = 1
MAX_POINTS = 8

_LARGEST_WHOLE = 10**300


class ResultError(ValueError):
    """A result is not what the contract asks for."""


@dataclass(frozen=True, slots=True)
class Point:
    """What a training came to before its end, with the learning rate as low as at the end."""

    samples: float
    metrics: Mapping[str, float]
    flops: float | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What a trial found.

    Either `metrics` by name or `values` in the objectives' order is given, or both; `points` are
    what shorter trainings would have found.
    """

    metrics: Mapping[str, float] = field(default_factory=dict[str, float])
    values: tuple[float, ...] | None = None
    model_parameters: float | None = None
    samples: float | None = None
    flops: float | None = None
    steps: int | None = None
    seconds: float | None = None
    step_seconds: float | None = None
    peak_host_bytes: float | None = None
    peak_device_bytes: float | None = None
    reason: str | None = None
    points: tuple[Point, ...] = ()


# JSON key → attribute, in the order they are written. The same keys stand in a trial's status.
_NUMBERS = {
    "modelParameters": "model_parameters",
    "samples": "samples",
    "flops": "flops",
    "steps": "steps",
    "seconds": "seconds",
    "stepSeconds": "step_seconds",
    "peakHostBytes": "peak_host_bytes",
    "peakDeviceBytes": "peak_device_bytes",
}


def encode_result(result: Result) -> bytes:
    """Render a result as one line of JSON.

    Raises ResultError where it is too large or not finite.
    """
    document: dict[str, Any] = {"v": RESULT_VERSION}
    if result.values is not None:
        document["values"] = [_finite(value, "value") for value in result.values]
    if result.metrics:
        document["metrics"] = {
            name: _finite(value, f"metrics.{name}") for name, value in result.metrics.items()
        }
    for key, attribute in _NUMBERS.items():
        value = getattr(result, attribute)
        if value is not None:
            document[key] = _finite(value, key)
    if result.points:
        document["points"] = [_point_document(point) for point in result.points]
    if result.reason is not None:
        document["reason"] = result.reason
    text = json.dumps(document, separators=(",", ":")).encode()
    if len(text) > MAX_RESULT_BYTES:
        message = (
            f"the result has {len(text)} bytes; at most {MAX_RESULT_BYTES} are kept: "
            "report fewer metrics"
        )
        raise ResultError(message)
    return text


def parse_result(text: str | bytes) -> Result:
    """Read a result. Raises ResultError that says what is wrong.

    Size, JSON, version, a value that is not finite.
    """
    raw = text.encode() if isinstance(text, str) else text
    if len(raw) > MAX_RESULT_BYTES:
        message = f"the result has {len(raw)} bytes; at most {MAX_RESULT_BYTES} are allowed"
        raise ResultError(message)
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        message = f"the result is not JSON: {error}"
        raise ResultError(message) from error
    if not isinstance(document, dict):
        message = "the result is not a JSON object"
        raise ResultError(message)
    return _result_of(cast("dict[str, Any]", document))


def _result_of(document: dict[str, Any]) -> Result:
    if document.get("v", RESULT_VERSION) != RESULT_VERSION:
        message = f"the result has version v={document['v']!r}; {RESULT_VERSION} is understood"
        raise ResultError(message)
    values: Any = document.get("values", [document["value"]] if "value" in document else None)
    if values is not None and not isinstance(values, list):
        message = "values is not a list"
        raise ResultError(message)
    metrics: Any = document.get("metrics", {})
    if not isinstance(metrics, dict):
        message = "metrics is not an object"
        raise ResultError(message)
    reason = document.get("reason")
    numbers = {
        attribute: _finite(document[key], key)
        for key, attribute in _NUMBERS.items()
        if document.get(key) is not None
    }
    steps = numbers.pop("steps", None)
    if steps is not None and steps != int(steps):
        message = f"steps is {steps!r}, not a whole number"
        raise ResultError(message)
    return Result(
        metrics={
            str(name): _finite(value, f"metrics.{name}")
            for name, value in cast("dict[Any, Any]", metrics).items()
        },
        values=None
        if values is None
        else tuple(_finite(value, "value") for value in cast("list[Any]", values)),
        steps=None if steps is None else int(steps),
        reason=reason if isinstance(reason, str) else None,
        points=_points(document.get("points", [])),
        **numbers,
    )


def _point_document(point: Point) -> dict[str, Any]:
    flops = {} if point.flops is None else {"flops": _finite(point.flops, "points.flops")}
    metrics = {name: _finite(value, f"points.{name}") for name, value in point.metrics.items()}
    return {"samples": _finite(point.samples, "points.samples"), **flops, "metrics": metrics}


def _points(value: Any) -> tuple[Point, ...]:
    if not isinstance(value, list) or len(cast("list[Any]", value)) > MAX_POINTS:
        message = f"points is no list of at most {MAX_POINTS} objects"
        raise ResultError(message)
    return tuple(_point(each) for each in cast("list[Any]", value))


def _point(value: Any) -> Point:
    document = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    metrics = document.get("metrics")
    if not isinstance(metrics, dict) or document.get("samples") is None:
        message = "an entry of points lacks samples or metrics"
        raise ResultError(message)
    flops = document.get("flops")
    return Point(
        samples=_finite(document["samples"], "points.samples"),
        metrics={
            str(name): _finite(number, f"points.metrics.{name}")
            for name, number in cast("dict[Any, Any]", metrics).items()
        },
        flops=None if flops is None else _finite(flops, "points.flops"),
    )


def _finite(value: Any, name: str) -> float:
    if not isinstance(value, bool) and isinstance(value, int | float):
        # JSON has whole numbers of any length; a float ends at 1e308.
        if isinstance(value, int) and abs(value) > _LARGEST_WHOLE:
            message = f"{name} is a number of {value.bit_length()} bits, too large"
            raise ResultError(message)
        if math.isfinite(value):
            return value
    message = f"{name} is {value!r}, not a finite number"
    raise ResultError(message)
