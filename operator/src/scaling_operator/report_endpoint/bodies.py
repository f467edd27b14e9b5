"""Reads bodies of reports and results strictly: an error names the invalid field."""

from __future__ import annotations

import math
import re
from typing import Any, cast

from scaling_operator.core.reports import Report
from scaling_trainer.metric_names import METRIC_NAME_RULE, is_metric_name, shown_name
from scaling_trainer.results import MAX_METRICS, MAX_STEPS, ResultError, parse_result
from scaling_trainer.strict_json import (
    HALF_A_CHARACTER,
    NotAnObject,
    has_half_a_character,
    read_object_of_unique_names,
)

FIGURES = ("samples", "seconds", "peakHostBytes", "peakDeviceBytes")


class BadReport(ValueError):
    """The body is no report; the message goes back to the sender."""


def parse_report(body: bytes) -> Report:
    """Read a report. Raises BadReport that names the field and what is allowed."""
    document = _object(body)
    report = Report(
        seq=_whole(document, "seq"),
        step=_whole(document, "step"),
        metrics=_metrics(document.get("metrics")),
        figures=_figures(document.get("figures")),
        phase=_phase(document.get("phase")),
    )
    _refuse_halves(document)
    return report


def check_result(body: bytes) -> None:
    """Check that a body is a result. Raises BadReport."""
    try:
        parse_result(body)
    except ResultError as error:
        raise BadReport(str(error)) from error
    _refuse_halves(_object(body))


def _refuse_halves(document: object) -> None:
    """Refuse halves of characters, which JSON can escape and no text can hold."""
    if has_half_a_character(document):
        message = f"the body {HALF_A_CHARACTER}"
        raise BadReport(message)


def _object(body: bytes) -> dict[str, Any]:
    try:
        return read_object_of_unique_names(body, "the body")
    except NotAnObject as error:
        raise BadReport(str(error)) from error


def _whole(document: dict[str, Any], name: str) -> int:
    value = document.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_STEPS:
        message = f"{name} is {_shown(value)}; it must be a whole number from 1"
        raise BadReport(message)
    return value


def _phase(value: Any) -> str | None:
    if value is None or (isinstance(value, str) and re.fullmatch(r"[A-Za-z]{1,32}", value)):
        return value
    message = f"phase is {_shown(value)}; it must be a word of at most 32 letters, or be left out"
    raise BadReport(message)


def _metrics(value: Any) -> dict[str, float]:
    if not isinstance(value, dict):
        message = "metrics is missing or no object"
        raise BadReport(message)
    metrics = cast("dict[str, Any]", value)
    if len(metrics) > MAX_METRICS:
        message = f"metrics has {len(metrics)} entries; at most {MAX_METRICS} are allowed"
        raise BadReport(message)
    for name, number in metrics.items():
        if not is_metric_name(name):
            message = f"metrics.{shown_name(name)}: {METRIC_NAME_RULE}"
            raise BadReport(message)
        if not _is_finite(number):
            message = f"metrics.{shown_name(name)} is {_shown(number)}; it must be a finite number"
            raise BadReport(message)
    return {name: float(number) for name, number in metrics.items()}


def _figures(value: Any) -> dict[str, float]:
    """Read the known figures and leave out anything else: figures decide nothing."""
    figures = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    numbers = {name: figures[name] for name in FIGURES if name in figures}
    return {name: number for name, number in numbers.items() if _is_finite(number) and number >= 0}


def _is_finite(number: Any) -> bool:
    if isinstance(number, bool) or not isinstance(number, int | float):
        return False
    try:
        return math.isfinite(number)
    except OverflowError:  # a whole number beyond the range of floats
        return False


def _shown(value: Any) -> str:
    return repr(value)[:80]
