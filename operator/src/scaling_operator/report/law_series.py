"""Curves, bands and runs of a fit as series of a plot.

Runs and the law are coloured by compute, from blue (least) to yellow (most). Runs without exact
budgets are put into at most six bins of equal width in ln C; the law is drawn at each bin's
geometric mean.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scaling_operator.law.law import Law
from scaling_operator.law.points import Array, Points
from scaling_operator.report import theme
from scaling_operator.report.axes import padded
from scaling_operator.report.formatting import number, quantity
from scaling_operator.report.plots import Axis, Series, Style

BINS = 6
MOST_EXACT = 9
SAME_COMPUTE = 0.02
"""Runs whose ln C lie within this of each other have one compute."""
CURVE_PLACES = 80
BAND = (10.0, 90.0)
"""Percentiles of the 80 % bands."""
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_MOST_TICKS = 8
# An axis of few decades has round numbers, one of some decades 1, 2 and 5, others powers of ten.
_FEW_DECADES, _SOME_DECADES = 0.8, 2.5
_PLAIN_BELOW = 1e4


@dataclass(frozen=True, slots=True)
class ComputeBin:
    """Runs of about one compute: their mask (n,), mean compute, name and colour."""

    member: NDArray[np.bool_]
    flops: float
    name: str
    colour: str


def compute_bins(points: Points) -> tuple[ComputeBin, ...]:
    """Split runs by compute, least first; nothing where compute is unknown."""
    if points.C is None or not len(points):
        return ()
    log_work = np.log(points.C)
    codes = _exact(points.C if points.group is None else points.group)
    if codes is None:
        edges = np.log(between(points.C.min(), points.C.max(), BINS + 1)[1:-1])
        codes = np.digitize(log_work, edges)
    members = [np.asarray(codes == code) for code in np.unique(codes)]
    members.sort(key=lambda member: float(log_work[member].mean()))
    return tuple(
        ComputeBin(
            member,
            flops := float(np.exp(log_work[member].mean())),
            f"{number(flops, 2)} FLOPs",
            theme.ladder_colour(place, len(members)),
        )
        for place, member in enumerate(members)
    )


def _exact(values: Array) -> NDArray[np.int64] | None:
    """Assign a number to each distinct value; None where there are many."""
    order = np.argsort(values)
    steps = np.diff(np.log(values[order])) > SAME_COMPUTE
    codes = np.empty(len(values), dtype=np.int64)
    codes[order] = np.concatenate([[0], np.cumsum(steps)])
    return codes if int(codes.max()) < MOST_EXACT else None


def run_series(points: Points, compute_bin: ComputeBin, y: Array, name: str = "") -> Series:
    """Draw runs of one compute as dots; the text of a dot names the line of the file."""
    rows = np.flatnonzero(compute_bin.member)
    return Series(
        name or compute_bin.name,
        [float(points.N[row]) for row in rows],
        [float(y[row]) for row in rows],
        Style(compute_bin.colour, size=6, opacity=0.8),
        [run_text(points, int(row)) for row in rows],
    )


def run_text(points: Points, row: int) -> str:
    """Describe a run where the pointer rests on it."""
    name = f"line {points.row[row]}" if points.name is None else str(points.name[row])
    parts = [name, f"N {quantity(float(points.N[row]))}"]
    if points.D is not None:
        parts.append(f"D {quantity(float(points.D[row]))}")
    if points.C is not None:
        parts.append(f"C {number(float(points.C[row]), 3)} FLOPs")
    return "\n".join([*parts, f"loss {number(float(points.L[row]))}"])


def line(name: str, x: Array, y: Array, style: Style) -> Series:
    """Join places by a line; a place without a number breaks it."""
    return Series(name, _list(x), _list(y), style)


def band(name: str, x: Array, draws: Array, style: Style) -> Series:
    """Fill between the 10th and 90th percentile of draws (k, n) over places x (n,)."""
    low, high = percentiles(draws, BAND)
    is_drawn = np.isfinite(low) & np.isfinite(high)
    x, low, high = x[is_drawn], low[is_drawn], high[is_drawn]
    outline = np.concatenate([x, x[::-1]]), np.concatenate([high, low[::-1]])
    return Series(name, _list(outline[0]), _list(outline[1]), style)


def percentiles(draws: Array, levels: tuple[float, float]) -> tuple[Array, Array]:
    """Return two percentiles of draws (k, n), each (n,), of the sound draws."""
    sound = draws[~np.isnan(draws).any(axis=1)]
    if not len(sound):
        nothing = np.full(draws.shape[1], np.nan)
        return nothing, nothing
    low, high = np.percentile(sound, levels, axis=0, method="nearest")
    return np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)


def sound_draws(law: Law) -> bool:
    """Whether at least one draw has finite coefficients."""
    return bool(law.sound.any())


def between(low: float, high: float, places: int = CURVE_PLACES) -> Array:
    """Return places from low to high, evenly in their logarithms."""
    return np.exp(np.linspace(math.log(low), math.log(high), places))


def log_axis(title: str, low: float, high: float) -> Axis:
    """Choose a logarithmic axis: powers of ten, or round numbers where it spans little."""
    ends = padded(low, high, log=True)
    decades = math.log10(ends[1] / ends[0])
    if decades < _FEW_DECADES:
        return Axis(title, log=True, range=ends, ticks=_round_ticks(ends))
    first, last = math.floor(math.log10(ends[0])), math.floor(math.log10(ends[1]))
    if decades < _SOME_DECADES:
        places = [lead * 10.0**power for power in range(first, last + 1) for lead in (1, 2, 5)]
        ticks = tuple((place, _name(place)) for place in places if ends[0] <= place <= ends[1])
        return Axis(title, log=True, range=ends, ticks=ticks)
    step = max(1, math.ceil((last - first) / _MOST_TICKS))
    ticks = tuple((10.0**power, _power(power)) for power in range(first + 1, last + 1, step))
    return Axis(title, log=True, range=ends, ticks=ticks)


def _round_ticks(ends: tuple[float, float]) -> tuple[tuple[float, str], ...]:
    rough = (ends[1] - ends[0]) / _MOST_TICKS
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= rough)
    first, last = math.ceil(ends[0] / step), math.floor(ends[1] / step)
    places = [float(f"{place * step:.12g}") for place in range(first, last + 1)]
    return tuple((place, _name(place)) for place in places)


def _name(place: float) -> str:
    return f"{place:g}" if place < _PLAIN_BELOW else number(place, 3)


def _power(exponent: int) -> str:
    return "10" + str(exponent).translate(_SUPERSCRIPTS)


def _list(values: Array) -> list[float | None]:
    return [float(value) if math.isfinite(value) else None for value in values]
