"""The ranges of axes: logarithmic over decades, and not squashed by one outlier."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from scaling_operator.api.experiment import Objective
from scaling_operator.api.fields import Scalar
from scaling_operator.api.search import (
    CategoricalParameter,
    FloatParameter,
    IntParameter,
    Parameter,
)
from scaling_operator.report.data import sign
from scaling_operator.report.formatting import plural, scalar, shortened
from scaling_operator.report.plots import LARGEST, Axis

# Nine values in ten span this ratio or more: a linear axis would hide the good end.
_LOG_SPAN = 5.0
# Smaller values, and larger than the inverse, would overflow on the way to a range.
_LEAST = 1e-100
# How far beyond the third quartile the axis goes, in distances from the best to that quartile.
_REACH = 1.5
_PAD = 0.05


@dataclass(frozen=True, slots=True)
class ValueAxis:
    """An objective's axis, and how many values lie beyond it."""

    axis: Axis
    beyond: int

    @property
    def note(self) -> str:
        """Say how many values the axis leaves out; nothing where it shows all."""
        lie = "lies" if self.beyond == 1 else "lie"
        return f"{plural(self.beyond, 'value')} {lie} beyond the axis." if self.beyond else ""


def value_axis(
    objective: Objective, values: Sequence[float], keep: Sequence[float] = (), *, log: bool = False
) -> ValueAxis:
    """Choose the axis of an objective: all values but those far worse than most values.

    Those in `keep` are always on it; `log` asks for a logarithmic axis where that is possible.
    """
    title = f"{objective.metric} ({'less' if sign(objective) > 0 else 'more'} is better)"
    keep, drawn = _drawn(keep), _drawn(values)
    everything = [*drawn, *keep]
    if not everything:
        return ValueAxis(Axis(title), len(values))
    low, high = quantiles(everything, (0.0, 0.9))
    inside = low >= _LEAST and max(everything) <= 1 / _LEAST
    logarithmic = inside and (log or high / low >= _LOG_SPAN)
    if logarithmic and sign(objective) < 0:
        logarithmic = log

    def loss(value: float) -> float:
        return sign(objective) * (math.log(value) if logarithmic else value)

    best, third = quantiles([loss(value) for value in everything], (0.0, 0.75))
    limit = max(third + _REACH * (third - best), *map(loss, keep), best)
    shown = [value for value in everything if loss(value) <= limit]
    ends = padded(min(shown), max(shown), log=logarithmic)
    beyond = len(values) - sum(loss(value) <= limit for value in drawn)
    return ValueAxis(Axis(title, logarithmic, ends), beyond)


def _drawn(values: Sequence[float]) -> list[float]:
    return [value for value in values if abs(value) <= LARGEST]


def with_footer(axis: Axis) -> tuple[Axis, float]:
    """Add room below the values; also return the height there for marks without a value."""
    if axis.range is None:
        return Axis(axis.title, range=(0.0, 1.0)), 0.05
    low, high = (math.log10(end) if axis.log else end for end in axis.range)
    bottom, marks = low - 0.09 * (high - low), low - 0.05 * (high - low)
    ends = tuple(10**end if axis.log else end for end in (bottom, high, marks))
    return Axis(axis.title, axis.log, (ends[0], ends[1]), axis.ticks), ends[2]


def quantiles(values: Sequence[float], shares: Sequence[float]) -> tuple[float, ...]:
    """Return the values below which these shares of all values lie."""
    order = sorted(values)
    return tuple(order[round(share * (len(order) - 1))] for share in shares)


def parameter_axis(name: str, parameter: Parameter) -> Axis:
    """Choose the axis of a searched parameter: its range, its scale, its choices."""
    match parameter:
        case FloatParameter() | IntParameter():
            ends = padded(parameter.low, parameter.high, log=parameter.log)
            return Axis(name, log=parameter.log, range=ends)
        case CategoricalParameter():
            labels = choice_labels(parameter)
            ticks = tuple((float(place), label) for place, label in enumerate(labels))
            return Axis(name, range=(-0.5, len(labels) - 0.5), ticks=ticks)
        case _:
            assert_never(parameter)


def choice_labels(parameter: CategoricalParameter) -> tuple[str, ...]:
    """Names of the choices; text stands in quotes where another choice reads the same."""
    plain = [scalar(choice) for choice in parameter.choices]
    return tuple(
        shortened(f'"{text}"' if isinstance(choice, str) and plain.count(text) > 1 else text, 24)
        for text, choice in zip(plain, parameter.choices, strict=True)
    )


def place(parameter: Parameter, value: Scalar) -> float | None:
    """Return the place of a value on its parameter's axis; None for a value not in its range."""
    match parameter:
        case FloatParameter() | IntParameter():
            return None if isinstance(value, str | bool) else float(value)
        case CategoricalParameter():
            return next(
                (
                    float(position)
                    for position, choice in enumerate(parameter.choices)
                    if choice == value and isinstance(choice, bool) == isinstance(value, bool)
                ),
                None,
            )
        case _:
            assert_never(parameter)


def at_edge(parameter: Parameter, value: Scalar) -> bool:
    """Whether a number lies within 2 % of an end of its range, measured as it is searched."""
    position = place(parameter, value)
    if isinstance(parameter, CategoricalParameter) or position is None:
        return False
    if parameter.low == parameter.high:
        return False
    low, high, here = (
        math.log(end) if parameter.log else end
        for end in (float(parameter.low), float(parameter.high), position)
    )
    margin = 0.02 * (high - low)
    return here <= low + margin or here >= high - margin


def padded(low: float, high: float, *, log: bool) -> tuple[float, float]:
    """Widen a range a little, so that markers at its ends are whole."""
    if log:
        bottom, top = math.log10(low), math.log10(high)
        pad = min(_PAD * (top - bottom), 0.5) or 0.2
        return 10 ** (bottom - pad), 10 ** (top + pad)
    pad = _PAD * (high - low) or 0.1 * abs(high) or 0.5
    return low - pad, high + pad
