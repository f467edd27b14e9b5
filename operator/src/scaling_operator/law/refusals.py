"""Data that cannot be fitted are refused: a refusal is a value with a reason, without a number.

Thresholds are judgements (section 4 of the reference); those of a fit are in `law.fit_conditions`.
"""

from __future__ import annotations

import numpy as np

from scaling_operator.api.names import ConditionType
from scaling_operator.core.fit_types import FitCondition
from scaling_operator.law.forms import Form, coefficient_count
from scaling_operator.law.isoflop import MIN_BUDGETS, MIN_SIZES, curves_of
from scaling_operator.law.points import Array, Points, keys, mentioned, on_one_line

DISTINCT_SIZES = 5
POINTS_FOR_TWO_EXPONENTS = 12
SAME_BUDGET = 0.02
"""Runs whose ln C lie within this of the smallest have one budget."""
FEWEST_FLOPS = 0.01
"""Least C / (N D); a lower value means that a count overflowed."""
WRAP = 2**64
SMALLEST, LARGEST = 1e-100, 1e100
"""The range of a point's numbers: products of numbers beyond it overflow doubles."""
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


def invalid_points(points: Points) -> tuple[FitCondition, ...]:
    """Refuse values that no law can have: not finite, not positive, out of range, repeated."""
    columns = _columns_of_points(points)
    # C or D may be computed from the other columns: a wrong number is reported once.
    counted_from = np.isfinite(points.N) & (True if points.D is None else np.isfinite(points.D))
    refusals = [
        *(
            _bad(points, name, ~np.isfinite(column) & (counted_from if name == "C" else True))
            for name, column in columns.items()
        ),
        *(_bad(points, name, column <= 0, "NotPositive") for name, column in columns.items()),
    ]
    beyond = [
        _bad(points, name, (column < SMALLEST) | (column > LARGEST), "OutOfRange")
        for name, column in columns.items()
    ]
    named = tuple(refusal for refusal in refusals if refusal) or tuple(
        refusal for refusal in beyond if refusal
    )
    return named or (*_overflowed(points), *_duplicates(points))


def missing_points(points: Points, form: Form) -> tuple[FitCondition, ...]:
    """Refuse designs that cannot determine the form; the messages say what to add."""
    least = coefficient_count(form) + 1
    sizes = len(np.unique(points.N))
    reasons: list[tuple[str, str]] = []
    if sizes < DISTINCT_SIZES:
        missing = DISTINCT_SIZES - sizes
        count = counted(sizes, "distinct size")
        reasons.append(("TooFewSizes", f"{count}; add {missing} to make 5"))
    if len(points) < least:
        count = counted(len(points), "point")
        reasons.append(("TooFewPoints", f"{count}; {form} needs {least} or more"))
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
        count = f"{counted(curves, 'budget')} {'has' if curves == 1 else 'have'}"
        message = f"{count} {MIN_SIZES} sizes or more; {MIN_BUDGETS} must"
        reasons.append(("TooFewCurves", message))
    return tuple(FitCondition(ConditionType.NOT_ENOUGH_POINTS, *reason) for reason in reasons)


def chosen_form(points: Points) -> Form:
    """Choose the form: power where runs lie on one line, tied below 12 points, else chinchilla."""
    if on_one_line(points):
        return "power"
    return "tied" if len(points) < POINTS_FOR_TWO_EXPONENTS else "chinchilla"


def _columns_of_points(points: Points) -> dict[str, Array]:
    optional = {"D": points.D, "C": points.C, "group": points.group}
    present = {name: column for name, column in optional.items() if column is not None}
    return {"N": points.N, "L": points.L, **present}


def _bad(
    points: Points, name: str, bad: np.ndarray, reason: str = "NotFinite"
) -> FitCondition | None:
    if not bad.any():
        return None
    what = _WHAT[reason]
    shown = "1 - score" if name == "L" and points.quantity == "error" else _NAMES[name]
    message = f"{shown} is {what} in {counted(int(bad.sum()), 'point')} ({mentioned(points, bad)})"
    if name == "C" and points.C is not None and (points.C[bad] < 0).any():
        message += "; it may have overflowed int64: compute it in float"
    return FitCondition(ConditionType.INVALID_POINTS, reason, message)


def counted(count: int, noun: str) -> str:
    """Write how many of something there are."""
    return f"{count} {noun}" + ("" if count == 1 else "s")


def _duplicates(points: Points) -> tuple[FitCondition, ...]:
    seen: dict[tuple[float, ...], int] = {}
    repeated = [
        f"{row} repeats {seen[key]}"
        for key, row in zip(keys(points), points.row.tolist(), strict=True)
        if seen.setdefault(key, row) != row
    ]
    if not repeated:
        return ()
    message = f"one point per (N, D), the best-tuned run: row {', row '.join(repeated[:10])}"
    return (FitCondition(ConditionType.INVALID_POINTS, "DuplicatePoints", message),)


def _overflowed(points: Points) -> tuple[FitCondition, ...]:
    if points.C is None or points.D is None:
        return ()
    with np.errstate(all="ignore"):  # a point may be the smallest or the largest double
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
    return (FitCondition(ConditionType.INVALID_POINTS, "FlopsOverflow", message),)


def _budgets(points: Points) -> int | None:
    """Return how many distinct C there are, counted up to 3; None where C is unknown."""
    if points.C is None:
        return None
    rest, count = np.log(points.C), 0
    while len(rest) and count < MIN_BUDGETS:
        rest = rest[rest > rest.min() + SAME_BUDGET]
        count += 1
    return count
