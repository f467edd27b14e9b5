"""The result of a trial: one small JSON object, written by any trainer and read by the operator.

The module needs the standard library alone, as all of the contract does.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from scaling_trainer.metric_names import METRIC_NAME_RULE, is_metric_name, shown_name
from scaling_trainer.strict_json import NotAnObject, read_object_of_unique_names

# Kubernetes keeps 4,096 bytes of a termination message. The built-in trainer's results stay far
# below: in a pod of several containers the messages share one bound.
MAX_RESULT_BYTES = 4096
RESULT_VERSION = 1
MAX_POINTS = 8
MAX_METRICS = 500
MAX_VALUES = 8
MAX_STEPS = 2**53
"""A double holds every whole number up to this one."""

# Far above real values, and small enough that products of values stay finite.
_MOST = 1e100
_MOST_SECONDS = 1e10
_MOST_BYTES = 2.0**60
_MOST_REASON = 64


class ResultError(ValueError):
    """The result breaks the contract."""


@dataclass(frozen=True, slots=True)
class Point:
    """The metrics of a training before its end, with the learning rate as low as at the end."""

    samples: float
    metrics: Mapping[str, float]
    flops: float | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a trial.

    It has `metrics` by name, or `values` in the order of the objectives, or both. `points` are the
    results that shorter trainings would have had.
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


@dataclass(frozen=True, slots=True)
class _Figure:
    """A number of a result, from 0 to `most`. `whole`: it has no fraction."""

    attribute: str
    most: float
    whole: bool = False


# By JSON key, in the order of writing. A trial's status has the same keys.
_FIGURES = {
    "modelParameters": _Figure("model_parameters", _MOST),
    "samples": _Figure("samples", _MOST),
    "flops": _Figure("flops", _MOST),
    "steps": _Figure("steps", MAX_STEPS, whole=True),
    "seconds": _Figure("seconds", _MOST_SECONDS),
    "stepSeconds": _Figure("step_seconds", _MOST_SECONDS),
    "peakHostBytes": _Figure("peak_host_bytes", _MOST_BYTES),
    "peakDeviceBytes": _Figure("peak_device_bytes", _MOST_BYTES),
}


def encode_result(result: Result) -> bytes:
    """Render a result as one line of JSON, which `parse_result` reads.

    Raises ResultError if the result is too large, or has an invalid name or number.
    """
    document: dict[str, Any] = {"v": RESULT_VERSION}
    if result.values is not None:
        document["values"] = list(_values(list(result.values)))
    if result.metrics:
        document["metrics"] = _metrics(result.metrics, "metrics")
    for key, figure in _FIGURES.items():
        value = getattr(result, figure.attribute)
        if value is not None:
            document[key] = _figure(value, key, figure)
    if result.points:
        document["points"] = [_point_document(point) for point in result.points]
    if result.reason is not None:
        document["reason"] = _reason(result.reason)
    text = json.dumps(document, separators=(",", ":")).encode()
    if len(text) > MAX_RESULT_BYTES:
        message = (
            f"the result has {len(text)} bytes; at most {MAX_RESULT_BYTES} are kept: "
            "report fewer metrics"
        )
        raise ResultError(message)
    return text


def parse_result(text: str | bytes) -> Result:
    """Read a result. Raises ResultError that names the field and what is allowed there.

    Checked are size, JSON, version, names, and that each number is finite and within its range.
    """
    raw = text.encode(errors="replace") if isinstance(text, str) else text
    if len(raw) > MAX_RESULT_BYTES:
        message = f"the result has {len(raw)} bytes; at most {MAX_RESULT_BYTES} are allowed"
        raise ResultError(message)
    try:
        document = read_object_of_unique_names(raw, "the result")
    except NotAnObject as error:
        raise ResultError(str(error)) from error
    return _result_of(document)


def _result_of(document: Mapping[str, Any]) -> Result:
    if document.get("v", RESULT_VERSION) != RESULT_VERSION:
        message = (
            f"the result has version v={_shown(document['v'])}; {RESULT_VERSION} is understood"
        )
        raise ResultError(message)
    values: Any = document.get("values", [document["value"]] if "value" in document else None)
    figures = {
        figure.attribute: _figure(document[key], key, figure)
        for key, figure in _FIGURES.items()
        if document.get(key) is not None
    }
    reason = document.get("reason")
    return Result(
        metrics=_metrics(document.get("metrics", {}), "metrics"),
        values=None if values is None else _values(values),
        reason=None if reason is None else _reason(reason),
        points=_points(document.get("points", [])),
        **cast("dict[str, Any]", figures),
    )


def _values(document: object) -> tuple[float, ...]:
    if not isinstance(document, list):
        message = "values is not a list"
        raise ResultError(message)
    values = cast("list[object]", document)
    if len(values) > MAX_VALUES:
        message = f"values has {len(values)} entries; at most {MAX_VALUES} are allowed"
        raise ResultError(message)
    return tuple(_finite(value, "value") for value in values)


def _metrics(document: object, where: str) -> dict[str, float]:
    if not isinstance(document, Mapping):
        message = f"{where} is not an object"
        raise ResultError(message)
    metrics = cast("Mapping[str, object]", document)
    if len(metrics) > MAX_METRICS:
        message = f"{where} has {len(metrics)} entries; at most {MAX_METRICS} are allowed"
        raise ResultError(message)
    return {name: _metric(name, value, where) for name, value in metrics.items()}


def _metric(name: str, value: object, where: str) -> float:
    path = f"{where}.{shown_name(name)}"
    if not is_metric_name(name):
        message = f"{path}: {METRIC_NAME_RULE}"
        raise ResultError(message)
    return _finite(value, path)


def _reason(reason: object) -> str:
    if isinstance(reason, str) and len(reason) <= _MOST_REASON and reason.isprintable():
        return reason
    message = f"reason is {_shown(reason)}; it must be a word, such as Diverged"
    raise ResultError(message)


def _point_document(point: Point) -> dict[str, Any]:
    flops = {} if point.flops is None else {"flops": _point_figure(point.flops, "flops")}
    samples = _point_figure(point.samples, "samples")
    return {"samples": samples, **flops, "metrics": _metrics(point.metrics, "points.metrics")}


def _points(value: Any) -> tuple[Point, ...]:
    if not isinstance(value, list) or len(cast("list[Any]", value)) > MAX_POINTS:
        message = f"points is no list of at most {MAX_POINTS} objects"
        raise ResultError(message)
    return tuple(_point(point) for point in cast("list[Any]", value))


def _point(value: Any) -> Point:
    document = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    metrics = document.get("metrics")
    if not isinstance(metrics, dict) or document.get("samples") is None:
        message = "an entry of points lacks samples or metrics"
        raise ResultError(message)
    flops = document.get("flops")
    return Point(
        samples=_point_figure(document["samples"], "samples"),
        metrics=_metrics(cast("dict[str, object]", metrics), "points.metrics"),
        flops=None if flops is None else _point_figure(flops, "flops"),
    )


def _point_figure(value: object, key: str) -> float:
    return _figure(value, f"points.{key}", _FIGURES[key])


def _figure(value: object, name: str, figure: _Figure) -> float:
    number = _finite(value, name)
    if figure.whole and number != int(number):
        message = f"{name} is {_shown(value)}, not a whole number"
        raise ResultError(message)
    if not 0 <= number <= figure.most:
        message = f"{name} is {_shown(value)}; it must be from 0 to {figure.most:.17g}"
        raise ResultError(message)
    return int(number) if figure.whole else number


def _finite(value: object, name: str) -> float:
    if not isinstance(value, bool) and isinstance(value, int | float):
        try:
            number = float(value)
        except OverflowError:  # a whole number of JSON may exceed the largest float, 1e308
            number = math.inf
        if math.isfinite(number):
            return number
    message = f"{name} is {_shown(value)}, not a finite number"
    raise ResultError(message)


def _shown(value: object) -> str:
    return repr(value)[:80]
