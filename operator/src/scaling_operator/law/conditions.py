"""What may be said: conditions and refusals as values, never a number from points that hold none.

The words are Kubernetes': a condition has a type, a status, a CamelCase reason and a message that
says what is missing. `FitReady` is always there; the others appear where they hold. Thresholds are
judgements (section 4 of the reference), gathered here so that they can be seen together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from scaling_operator.law.bootstrap import Draws, Intervals
from scaling_operator.law.forms import Form, coefficient_count
from scaling_operator.law.isoflop import MIN_BUDGETS, MIN_SIZES, Minimum, curves_of
from scaling_operator.law.optimum import on_one_line
from scaling_operator.law.points import Array, Points, keys, mentioned

DISTINCT_SIZES = 5
POINTS_FOR_TWO_EXPONENTS = 12
SAME_BUDGET = 0.02
"""Runs whose ln C lie within this of the smallest have one budget."""
FARTHEST = 100.0
"""Times the largest measured C."""
FARTHEST_SIZE = 10.0
"""Times the largest measured N, where C is unknown: compute grows about as N^2."""
EXPONENTS_APART = 0.05
SIZES_APART = 1.5
WIDEST_SIZE = 3.0
"""High end over low end of the 80 % interval of N*."""
WIDEST_LOSS = 1.2
"""High end over low end of the 80 % interval of a predicted loss."""
MOST_FAILED = 0.1
"""Share of resamples without a sound law."""
FEWEST_FLOPS = 0.01
"""Of C / (N D): less cannot be, unless a count overflowed."""
WRAP = 2**64
SMALLEST, LARGEST = 1e-100, 1e100
"""What a point may hold: products of what lies beyond are no doubles any more."""
_NAMES = {
    "N": "N (parameters)",
    "D": "D (tokens)",
    "C": "C (FLOPs)",
    "L": "L (loss)",
    "group": "the budget",
}


_WHAT = {
    "NotFinite": "not a finite number",
    "NotPositive": "not above 0",
    "OutOfRange": f"not between {SMALLEST:g} and {LARGEST:g}",
}


class ConditionType(StrEnum):
    """What a condition speaks of."""

    FIT_READY = "FitReady"
    INVALID_POINTS = "InvalidPoints"
    NOT_ENOUGH_POINTS = "NotEnoughPoints"
    EDGE_OPTIMUM = "EdgeOptimum"
    FAR_EXTRAPOLATION = "FarExtrapolation"
    METHODS_DISAGREE = "MethodsDisagree"
    NOISE_TOO_HIGH = "NoiseTooHigh"
    TARGET_UNANSWERED = "TargetUnanswered"


@dataclass(frozen=True, slots=True)
class LawCondition:
    """One statement about a fit."""

    type: ConditionType
    reason: str
    message: str
    status: bool = True


def invalid_points(points: Points) -> tuple[LawCondition, ...]:
    """Refuse values that no law can have: not finite, not positive, beyond all bounds, repeated."""
    columns = _columns(points)
    # C or D may have been computed of the others: what is wrong there is said once.
    given = np.isfinite(points.N) & (True if points.D is None else np.isfinite(points.D))
    found = [
        *(
            _bad(points, name, ~np.isfinite(column) & (given if name == "C" else True))
            for name, column in columns.items()
        ),
        *(_bad(points, name, column <= 0, "NotPositive") for name, column in columns.items()),
    ]
    beyond = [
        _bad(points, name, (column < SMALLEST) | (column > LARGEST), "OutOfRange")
        for name, column in columns.items()
    ]
    named = tuple(each for each in found if each) or tuple(each for each in beyond if each)
    return named or (*_overflowed(points), *_duplicates(points))


def missing_points(points: Points, form: Form) -> tuple[LawCondition, ...]:
    """Refuse designs that cannot determine the form; the messages say what to add."""
    least = coefficient_count(form) + 1
    sizes = len(np.unique(points.N))
    reasons: list[tuple[str, str]] = []
    if sizes < DISTINCT_SIZES:
        missing = DISTINCT_SIZES - sizes
        known = counted(sizes, "distinct size")
        reasons.append(("TooFewSizes", f"{known}; add {missing} to make 5"))
    if len(points) < least:
        known = counted(len(points), "point")
        reasons.append(("TooFewPoints", f"{known}; {form} needs {least} or more"))
    budgets = _budgets(points)
    if budgets == 1 and sizes > 1:
        reasons.append(("OneBudget", "every run has the same compute; add 2 budgets or more"))
    elif form != "power" and on_one_line(points):
        message = "the runs lie on one line of the (N, D) plane; vary D at fixed N, or use power"
        reasons.append(("OneLine", message))
    elif form != "power" and budgets is not None and budgets < MIN_BUDGETS:
        reasons.append(("TooFewBudgets", f"{budgets} distinct budgets; add 1 to make 3"))
    curves = len(curves_of(points))
    if points.group is not None and curves < MIN_BUDGETS:
        known = f"{counted(curves, 'budget')} {'has' if curves == 1 else 'have'}"
        message = f"{known} {MIN_SIZES} sizes or more; {MIN_BUDGETS} must"
        reasons.append(("TooFewCurves", message))
    return tuple(LawCondition(ConditionType.NOT_ENOUGH_POINTS, *reason) for reason in reasons)


def chosen_form(points: Points) -> Form:
    """Choose: one variable on one line, tied exponents below 12 points, else the whole law."""
    if on_one_line(points):
        return "power"
    return "tied" if len(points) < POINTS_FOR_TWO_EXPONENTS else "chinchilla"


def fit_ready(refusals: tuple[LawCondition, ...]) -> LawCondition:
    """Say whether there is a fit, with the first refusal's reason."""
    if not refusals:
        return LawCondition(ConditionType.FIT_READY, "Fitted", "the law is fitted")
    message = "; ".join(refusal.message for refusal in refusals)
    return LawCondition(ConditionType.FIT_READY, refusals[0].reason, message, status=False)


def edge_optima(minima: tuple[Minimum, ...]) -> tuple[LawCondition, ...]:
    """Name the budgets whose best size is an end of the grid, and the size to add."""
    at_edge = [minimum for minimum in minima if minimum.edge is not None]
    if not at_edge:
        return ()
    parts = [
        f"at {m.budget_flops:.3g} FLOPs the {m.edge} size is best: add one near "
        f"{m.proposed_size:.3g} parameters"
        for m in at_edge
    ]
    return (LawCondition(ConditionType.EDGE_OPTIMUM, "MinimumOnEdge", "; ".join(parts)),)


def far_extrapolation(points: Points, flops: float | None, size: float) -> LawCondition | None:
    """Say that a question lies more than 100 times beyond the largest measured compute."""
    if points.C is not None and flops is not None and np.isfinite(flops):
        ratio, limit, what = flops / float(points.C.max()), FARTHEST, "the largest measured compute"
    else:
        ratio, limit, what = size / float(points.N.max()), FARTHEST_SIZE, "the largest size"
    if not ratio > limit:
        return None
    message = f"{ratio:.3g} times {what} is asked for; beyond {limit:g} times it is a guess"
    return LawCondition(ConditionType.FAR_EXTRAPOLATION, "BeyondThePoints", message)


def methods_disagree(
    exponents: Mapping[str, float], sizes: tuple[tuple[float, float], ...], spread: Intervals
) -> tuple[LawCondition, ...]:
    """Compare exponents by method, and N* at each target by two of them.

    `spread` is IsoFLOP's a. The envelope's sizes are not compared: its curves had not decayed.
    """
    if len(exponents) < 2:  # noqa: PLR2004 - one method has nothing to disagree with
        return ()
    worst = max((max(p / i, i / p) for p, i in sizes), default=1.0)
    apart = max(exponents.values()) - min(exponents.values())
    if apart <= EXPONENTS_APART and worst <= SIZES_APART:
        return ()
    parts = [f"{a:.3f} by {method}" for method, a in exponents.items()]
    if 95 in spread:  # noqa: PLR2004 - per cent
        low, high = spread[95]
        parts = [
            f"{part} (95 % of resamples: {low:.3f} to {high:.3f})" if "IsoFLOP" in part else part
            for part in parts
        ]
    message = f"a is {', '.join(parts[:-1])} and {parts[-1]}"
    if sizes:
        message += f"; N* at the targets differs by up to {worst:.3g} times"
    return (LawCondition(ConditionType.METHODS_DISAGREE, "ExponentsOrSizesApart", message),)


def noise_too_high(
    draws: Draws, sizes: tuple[Intervals, ...], losses: tuple[Intervals, ...]
) -> tuple[LawCondition, ...]:
    """Say that intervals are too wide to act on: N* by 3 times, a loss by 1.2, at 80 %."""
    parts: list[str] = []
    for what, asked, limit in (("N*", sizes, WIDEST_SIZE), ("the loss", losses, WIDEST_LOSS)):
        widest = max((_width(interval) for interval in asked), default=1.0)
        if widest > limit:
            parts.append(f"the 80 % interval of {what} spans {widest:.3g} times, over {limit:g}")
    if draws.failed > MOST_FAILED * draws.count:
        parts.append(f"{draws.failed} of {draws.count} resamples have no sound law")
    if not parts:
        return ()
    message = "; ".join([*parts, "tune further, add seeds, or evaluate on more data"])
    return (LawCondition(ConditionType.NOISE_TOO_HIGH, "IntervalTooWide", message),)


def _width(interval: Intervals) -> float:
    low, high = interval.get(80, (1.0, 1.0))
    return high / low if low > 0 else float("inf")


def _columns(points: Points) -> dict[str, Array]:
    optional = {"D": points.D, "C": points.C, "group": points.group}
    given = {name: column for name, column in optional.items() if column is not None}
    return {"N": points.N, "L": points.L, **given}


def _bad(
    points: Points, name: str, bad: np.ndarray, reason: str = "NotFinite"
) -> LawCondition | None:
    if not bad.any():
        return None
    what = _WHAT[reason]
    shown = "1 - score" if name == "L" and points.quantity == "error" else _NAMES[name]
    message = f"{shown} is {what} in {counted(int(bad.sum()), 'point')} ({mentioned(points, bad)})"
    if name == "C" and points.C is not None and (points.C[bad] < 0).any():
        message += "; it may have overflowed int64: compute it in float"
    return LawCondition(ConditionType.INVALID_POINTS, reason, message)


def counted(count: int, noun: str) -> str:
    """Write how many of something there are."""
    return f"{count} {noun}" + ("" if count == 1 else "s")


def _duplicates(points: Points) -> tuple[LawCondition, ...]:
    seen: dict[tuple[float, ...], int] = {}
    repeated = [
        f"{row} repeats {seen[key]}"
        for key, row in zip(keys(points), points.row.tolist(), strict=True)
        if seen.setdefault(key, row) != row
    ]
    if not repeated:
        return ()
    message = f"one point per (N, D), the best-tuned run: row {', row '.join(repeated[:10])}"
    return (LawCondition(ConditionType.INVALID_POINTS, "DuplicatePoints", message),)


def _overflowed(points: Points) -> tuple[LawCondition, ...]:
    if points.C is None or points.D is None:
        return ()
    with np.errstate(all="ignore"):  # the smallest and the largest doubles are points too
        bad = points.C / (points.N * points.D) < FEWEST_FLOPS
        suspects = np.flatnonzero(6.0 * points.N * points.D >= WRAP / 2)
    for index in suspects:
        exact = 6 * int(points.N[index]) * int(points.D[index])
        wrapped = (exact + WRAP // 2) % WRAP - WRAP // 2
        bad[index] |= bool(np.isclose(points.C[index], wrapped, rtol=1e-9, atol=0.0))
    if not bad.any():
        return ()
    where = mentioned(points, bad)
    message = f"C is far below 6 N D ({where}), as after an int64 overflow: compute it in float"
    return (LawCondition(ConditionType.INVALID_POINTS, "FlopsOverflow", message),)


def _budgets(points: Points) -> int | None:
    """Return how many distinct C there are, counted up to 3; None where C is unknown."""
    if points.C is None:
        return None
    rest, count = np.log(points.C), 0
    while len(rest) and count < MIN_BUDGETS:
        rest = rest[rest > rest.min() + SAME_BUDGET]
        count += 1
    return count
