"""Hold-out: fit the small runs, predict the large ones, compare with baselines without a law.

Points with C up to C_max / 8 are fitted; the score is the mean absolute percentage error of the
loss at the points above. The two baselines are a straight line of ln L over ln C, and the nearest
small run in (ln N, ln D). Where C is unknown, N takes its place. A law may predict the loss well
and the best size badly: the intervals show that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scaling_operator.law.forms import Form, coefficient_count
from scaling_operator.law.law import loss
from scaling_operator.law.parametric_fit import NotFitted, fit_law
from scaling_operator.law.points import Array, Points, select

CUT_SHARE = 1 / 8


@dataclass(frozen=True, slots=True)
class HoldOut:
    """Mean absolute errors of the loss above the cut, as fractions; points below and above.

    `cut` is in FLOPs, or in parameters where C is unknown. `large` are the points above it,
    `predicted` (above,) the losses that the law of the small ones gives them.
    """

    cut: float
    below: int
    above: int
    error: float
    line_error: float
    nearest_error: float
    large: Points
    predicted: Array


def hold_out(
    points: Points, form: Form, *, cut: float | None = None, noise: float | None = None
) -> HoldOut | NotFitted:
    """Fit on C <= cut (default C_max/8) and score the rest; NotFitted says what is missing."""
    scale = points.N if points.C is None else points.C
    limit = float(scale.max()) * CUT_SHARE if cut is None else cut
    low = scale <= limit
    small, large = select(points, low), select(points, ~low)
    least = coefficient_count(form) + 1
    if len(small) < least or not len(large):
        message = (
            f"{len(small)} points lie at or below {limit:.3g} and {len(large)} above; a hold-out "
            f"needs {least} below and 1 above"
        )
        return NotFitted("NotEnoughPoints", message)
    fitted = fit_law(small, form, noise=noise)
    if isinstance(fitted, NotFitted):
        return fitted
    predicted = loss(fitted.law, large.N, large.D)[0]
    return HoldOut(
        cut=limit,
        below=len(small),
        above=len(large),
        error=_error(predicted, large.L),
        line_error=_error(_line(scale, points.L, low), large.L),
        nearest_error=_error(_nearest(small, large), large.L),
        large=large,
        predicted=predicted,
    )


def _error(predicted: Array, measured: Array) -> float:
    return float(np.mean(np.abs(predicted - measured) / measured))


def _line(scale: Array, losses: Array, low: NDArray[np.bool_]) -> Array:
    x, y = np.log(scale), np.log(losses)
    centred = x[low] - x[low].mean()
    slope = centred @ y[low] / (centred @ centred)
    return np.exp(y[low].mean() + slope * (x[~low] - x[low].mean()))


def _nearest(small: Points, large: Points) -> Array:
    distance = np.square(np.subtract.outer(np.log(large.N), np.log(small.N)))
    if small.D is not None and large.D is not None:
        distance += np.square(np.subtract.outer(np.log(large.D), np.log(small.D)))
    return small.L[np.argmin(distance, axis=1)]
