"""How each searched number's best value moves with size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from scaling_operator.api.fitted import Trend
from scaling_operator.api.search import CategoricalParameter, Search
from scaling_operator.core.law import TunedPoint
from scaling_operator.fitting.answer import doubt_of, finite
from scaling_operator.fitting.prepare import size_of
from scaling_operator.laws.trend import TrendLine, fit_trend


def trends_of(points: Sequence[TunedPoint], search: Search, size: str) -> Mapping[str, Trend]:
    """Give an exponent for every number that is searched; values at an edge take no part."""
    found: dict[str, Trend] = {}
    for name, parameter in search.parameters.items():
        if isinstance(parameter, CategoricalParameter):
            continue
        pairs = best_values(points, name, size)
        line = trend_line(pairs)
        doubt = doubt_of({} if line is None else line.intervals)
        found[name] = Trend(
            exponent=None if line is None else finite(line.exponent),
            interval80=doubt.interval80,
            interval95=doubt.interval95,
            scales=len(pairs),
        )
    return found


def best_values(
    points: Sequence[TunedPoint], name: str, size: str
) -> tuple[tuple[float, float], ...]:
    """Collect (N, best value) of each scale whose value is above 0 and no edge of its range."""
    pairs: dict[int, tuple[float, float]] = {}
    for point in points:
        parameters, value = size_of(point, size), point.parameters.get(name)
        if parameters is None or value is None or isinstance(value, bool | str):
            continue
        if value > 0 and name not in point.edges:
            pairs.setdefault(point.scale.index, (parameters, float(value)))
    return tuple(pairs.values())


def trend_line(pairs: Sequence[tuple[float, float]]) -> TrendLine | None:
    """Fit the power law; None where too few sizes have a value."""
    if not pairs:
        return None
    sizes, values = np.array(pairs, dtype=np.float64).T
    return fit_trend(sizes, values)
