"""IsoFLOP: the second opinion. Per budget the size of least loss, then a power law through them.

Between measured sizes ln L over ln N is interpolated by a quadratic (the default) or by Akima's
cubic, the choice of published analyses. The two fail in opposite ways: the quadratic has a bias of
about 1 % without noise on a grid of 1/8 to 8 times the optimum, Akima almost none, but at a seed
noise of .5 % Akima's exponent has ten times the spread. PCHIP is left out, since being monotone
between sizes it can only put a minimum on a measured one. The envelope of training curves needs
more than points, which hold only the curves' ends: see `envelope`.

A least loss at an end of the grid may not be the minimum. Such a budget is named in a condition and
is not used in the power law.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, assert_never, cast

import numpy as np
from scipy.interpolate import Akima1DInterpolator

from scaling_operator.law.bootstrap import Interval, Intervals, intervals
from scaling_operator.law.points import Array, Points

Interpolation = Literal["quadratic", "akima"]
MIN_BUDGETS, MIN_SIZES = 3, 5
SAME_BUDGET = 0.1
"""Largest distance in ln C between a budget's label and its runs."""
LARGEST_CONDITION = 1e12
DENSE = 2001
"""Places at which an Akima curve is read off between the smallest and the largest size."""


@dataclass(frozen=True, slots=True)
class Curve:
    """The runs of one budget: ln N ascending and ln L, each of shape (s,)."""

    budget_flops: float
    log_size: Array
    log_loss: Array


@dataclass(frozen=True, slots=True)
class Minimum:
    """The size of least loss of a budget.

    Where the least loss is at an end of the sizes, `edge` names that end and N and L are None;
    `proposed_size` continues the grid by one step beyond that end.
    """

    budget_flops: float
    parameters: float | None
    loss: float | None
    edge: Literal["smallest", "largest"] | None = None
    proposed_size: float | None = None


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """N*(C) = exp(log_k) C^a: fields of shape (k,), as for a law."""

    a: Array
    log_k: Array


@dataclass(frozen=True, slots=True)
class IsoFlop:
    """Optima by budget, ascending; the power law through the interior ones where 3 or more are.

    `draws` are the refits of resampled runs, NaN where a resample has no minimum.
    """

    interpolation: Interpolation
    optima: tuple[Minimum, ...]
    power: PowerLaw | None
    draws: PowerLaw | None

    @property
    def a(self) -> float | None:
        """The exponent of the best size, N* ~ C^a; None without a power law."""
        return None if self.power is None else float(self.power.a[0])

    @property
    def intervals(self) -> Intervals:
        """The doubt about the exponent; nothing without resamples."""
        return {} if self.draws is None else intervals(self.draws.a)

    @property
    def interval80(self) -> Interval | None:
        """The exponent's interval at 80 %."""
        return self.intervals.get(80)

    @property
    def interval95(self) -> Interval | None:
        """The exponent's interval at 95 %."""
        return self.intervals.get(95)


def curves_of(points: Points) -> tuple[Curve, ...]:
    """Return the curves of budgets with at least 5 sizes, budgets ascending.

    A budget is its label, or the geometric mean of the runs' C where that is far from the label.
    """
    if points.group is None:
        return ()
    curves = [_curve(points, budget) for budget in np.unique(points.group)]
    enough = [curve for curve in curves if len(curve.log_size) >= MIN_SIZES]
    return tuple(sorted(enough, key=lambda curve: curve.budget_flops))


def fit_isoflop(
    points: Points, *, interpolation: Interpolation = "quadratic", count: int = 0, seed: int = 0
) -> IsoFlop:
    """Find every budget's minimum and the power law through them; `count` resamples give draws.

    Runs are resampled within their budget. Akima, which cannot pass through a size twice, sees the
    distinct sizes of a resample.
    """
    curves = curves_of(points)
    minima = tuple(_minimum(curve, interpolation) for curve in curves)
    inside = [index for index, minimum in enumerate(minima) if minimum.edge is None]
    if len(inside) < MIN_BUDGETS:
        return IsoFlop(interpolation, minima, None, None)
    log_budgets = np.log([minima[index].budget_flops for index in inside])
    sizes = np.log([[minima[index].parameters or np.nan for index in inside]])
    power = _power_law(log_budgets, sizes)
    if not count:
        return IsoFlop(interpolation, minima, power, None)
    rng = np.random.default_rng(seed)
    drawn = [_resampled(curves[index], interpolation, (count, rng)) for index in inside]
    return IsoFlop(interpolation, minima, power, _power_law(log_budgets, np.stack(drawn, axis=1)))


def optimal_size(power: PowerLaw, flops: float) -> Array:
    """Return N*(C), shape (k,); infinite beyond the floats."""
    with np.errstate(over="ignore"):
        return np.exp(power.log_k + power.a * np.log(flops))


def interpolated(curve: Curve, interpolation: Interpolation, log_sizes: Array) -> Array:
    """Return ln L at ln N of any shape, as the minimum was sought; NaN beyond Akima's sizes."""
    match interpolation:
        case "quadratic":
            centre = curve.log_size.mean()
            powers = np.vander(curve.log_size - centre, 3)
            bend = np.linalg.lstsq(powers, curve.log_loss)[0]
            return ((bend[0] * (log_sizes - centre)) + bend[1]) * (log_sizes - centre) + bend[2]
        case "akima":
            akima = Akima1DInterpolator(curve.log_size, curve.log_loss)
            return cast("Callable[[Array], Array]", akima)(log_sizes)
        case _:
            assert_never(interpolation)


def _curve(points: Points, budget: np.float64) -> Curve:
    member = np.asarray(points.group == budget)
    sizes, inverse = np.unique(np.log(points.N[member]), return_inverse=True)
    losses = np.full(len(sizes), np.inf)
    np.minimum.at(losses, inverse, np.log(points.L[member]))
    flops = budget if points.C is None else np.exp(np.log(points.C[member]).mean())
    # A group may be a mere label, such as 1, 2, 3; where the group is the budget, use it exactly.
    declared = abs(np.log(flops / budget)) < SAME_BUDGET
    return Curve(float(budget if declared else flops), sizes, losses)


def _minimum(curve: Curve, interpolation: Interpolation) -> Minimum:
    x, y = curve.log_size, curve.log_loss
    lowest = int(np.argmin(y))
    match interpolation:
        case "quadratic":
            weights = np.ones((1, len(x)))
            place, value = (float(column[0]) for column in _vertex(x, y, weights))
        case "akima":
            place, value = _dense_minimum(x, y)
        case _:
            assert_never(interpolation)
    # A parabola that opens downwards has no vertex (NaN); the runs then say which end is better.
    guide = place if np.isfinite(place) else x[lowest]
    if lowest == 0 or guide <= x[0]:
        return _at_edge(curve, "smallest", 2 * x[0] - x[1])
    if lowest == len(x) - 1 or guide >= x[-1]:
        return _at_edge(curve, "largest", 2 * x[-1] - x[-2])
    if not np.isfinite(place):
        side = "smallest" if y[0] < y[-1] else "largest"
        return _at_edge(curve, side, 2 * x[0] - x[1] if side == "smallest" else 2 * x[-1] - x[-2])
    return Minimum(curve.budget_flops, float(np.exp(place)), float(np.exp(value)))


def _at_edge(curve: Curve, edge: Literal["smallest", "largest"], log_proposed: float) -> Minimum:
    return Minimum(curve.budget_flops, None, None, edge, float(np.exp(log_proposed)))


def _vertex(x: Array, y: Array, weights: Array) -> tuple[Array, Array]:
    """Return place and value (k,) of the minimum of weighted parabolas; NaN where there is none."""
    centre = x.mean()
    powers = np.stack([np.ones_like(x), x - centre, (x - centre) ** 2])
    gram = np.einsum("kn,in,jn->kij", weights, powers, powers)
    moments = np.einsum("kn,in,n->ki", weights, powers, y)
    # Fewer than three distinct sizes make no parabola.
    usable = np.linalg.cond(gram) < LARGEST_CONDITION
    gram[~usable] = np.eye(3)
    solved = np.asarray(np.linalg.solve(gram, moments[:, :, None]), dtype=np.float64)
    constant, slope, bend = solved[:, 0, 0], solved[:, 1, 0], solved[:, 2, 0]
    bend = np.where(usable & (bend > 0), bend, np.nan)
    offset = -slope / (2.0 * bend)
    return centre + offset, constant + 0.5 * slope * offset


def _dense_minimum(x: Array, y: Array) -> tuple[float, float]:
    places = np.linspace(float(x[0]), float(x[-1]), DENSE)
    interpolate = cast("Callable[[Array], Array]", Akima1DInterpolator(x, y))
    values = interpolate(places)
    lowest = int(np.argmin(values))
    return float(places[lowest]), float(values[lowest])


def _resampled(
    curve: Curve, interpolation: Interpolation, draw: tuple[int, np.random.Generator]
) -> Array:
    """Return ln N of the minimum, shape (count,), for resamples of a budget's runs."""
    count, rng = draw
    size = len(curve.log_size)
    counts = rng.multinomial(size, np.full(size, 1 / size), size=count)
    match interpolation:
        case "quadratic":
            return _vertex(curve.log_size, curve.log_loss, counts.astype(np.float64))[0]
        case "akima":
            log_sizes = np.full(count, np.nan)
            for index, present in enumerate(counts > 0):
                if present.sum() >= MIN_BUDGETS:
                    x, y = curve.log_size[present], curve.log_loss[present]
                    log_sizes[index] = _dense_minimum(x, y)[0]
            return log_sizes
        case _:
            assert_never(interpolation)


def _power_law(log_budgets: Array, log_sizes: Array) -> PowerLaw:
    """Fit ln N* = log_k + a ln C by least squares; log_sizes (k, b), log_budgets (b,)."""
    centred = log_budgets - log_budgets.mean()
    a = log_sizes @ centred / (centred @ centred)
    return PowerLaw(a, log_sizes.mean(axis=1) - a * log_budgets.mean())
