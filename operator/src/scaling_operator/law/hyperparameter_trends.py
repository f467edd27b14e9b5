"""How a hyperparameter's best value moves with size: a power law h ~ N^p, with its interval.

Ordinary least squares of ln h over ln N; the interval is Student's, since a ladder has few sizes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from scaling_operator.api.search import CategoricalParameter, Search
from scaling_operator.api.status_fit import Trend
from scaling_operator.core.fit_types import TunedPoint
from scaling_operator.law.bootstrap import LEVELS, Intervals
from scaling_operator.law.experiment_points import size_of
from scaling_operator.law.points import Array

FEWEST_SIZES = 3


@dataclass(frozen=True, slots=True)
class TrendLine:
    """ln h = intercept + exponent ln N; the intervals are of the exponent."""

    exponent: float
    intercept: float
    intervals: Intervals


def fit_trend(parameters: Array, values: Array) -> TrendLine | None:
    """Fit h over N, both (n,) and positive; None for fewer than 3 distinct sizes."""
    if len(np.unique(parameters)) < FEWEST_SIZES:
        return None
    x, y = np.log(parameters), np.log(values)
    centred = x - x.mean()
    spread = float(centred @ centred)
    exponent = float(centred @ y) / spread
    intercept = float(y.mean()) - exponent * float(x.mean())
    residual = y - intercept - exponent * x
    freedom = len(x) - 2
    error = float(np.sqrt(residual @ residual / freedom / spread))
    reach = {level: float(stdtrit(freedom, 0.5 + level / 200)) * error for level in LEVELS}
    ends = {
        level: (exponent - half_width, exponent + half_width) for level, half_width in reach.items()
    }
    return TrendLine(exponent, intercept, ends)


@dataclass(frozen=True, slots=True)
class BestAt:
    """The best value of a searched number at one N."""

    parameters: float
    value: float
    trial: str
    at_edge: bool


def trends_of(points: Sequence[TunedPoint], search: Search, size: str) -> Mapping[str, Trend]:
    """Fit the exponent of every searched number."""
    trends: dict[str, Trend] = {}
    for name, parameter in search.parameters.items():
        if isinstance(parameter, CategoricalParameter):
            continue
        values = best_values(points, name, size)
        line = trend_line(values)
        spread = {} if line is None else line.intervals
        trends[name] = Trend.model_validate(
            {
                "exponent": None if line is None else line.exponent,
                "interval80": spread.get(80),
                "interval95": spread.get(95),
                "scales": sum(not best.at_edge for best in values),
            }
        )
    return trends


def best_values(points: Sequence[TunedPoint], name: str, size: str) -> tuple[BestAt, ...]:
    """Collect the best value of each scale where N is known and the value is above 0."""
    bests: dict[int, BestAt] = {}
    for point in points:
        parameters, value = size_of(point, size), point.parameters.get(name)
        if parameters is None or value is None or isinstance(value, bool | str) or value <= 0:
            continue
        best = BestAt(parameters, float(value), f"trial {point.trial}", name in point.edges)
        bests.setdefault(point.scale.index, best)
    return tuple(bests.values())


def trend_line(values: Sequence[BestAt]) -> TrendLine | None:
    """Fit the power law; values at an edge take no part. None where too few sizes have one."""
    inside = [(best_at.parameters, best_at.value) for best_at in values if not best_at.at_edge]
    if not inside:
        return None
    sizes, best = np.array(inside, dtype=np.float64).T
    return fit_trend(sizes, best)
