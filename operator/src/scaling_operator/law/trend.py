"""How a hyperparameter's best value moves with size: a power law h ~ N^p, with its interval.

Ordinary least squares of ln h over ln N; the interval is Student's, since a ladder has few sizes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from scaling_operator.law.bootstrap import LEVELS, Intervals
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
    ends = {level: (exponent - each, exponent + each) for level, each in reach.items()}
    return TrendLine(exponent, intercept, ends)
