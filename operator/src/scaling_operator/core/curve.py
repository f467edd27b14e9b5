"""Which points of a learning curve are kept: at most 64, however long the training.

The choice depends on the step alone, never on the other points, so that a curve that grew point by
point and one that is read back are the same, and so are the decisions that rest on them.
"""

from __future__ import annotations

from collections.abc import Iterable

CurvePoints = tuple[tuple[int, float], ...]

DENSE_STEPS = 32
"""Up to here every step is kept."""
LAST_KEPT_STEP = 7168
"""32 points, then 4 of each doubling: this is the 63rd. The last point of a curve is the 64th."""


def is_kept(step: int) -> bool:
    """Whether the point of a step (counted from 1) stays: 1 to 32, then quarters of an octave.

    After 32 follow 40, 48, 56, 64, 80, 96, 112, 128, 160 and so on, up to 7168.
    """
    if step <= DENSE_STEPS:
        return step >= 1
    octave = 1 << ((step - 1).bit_length() - 1)
    return step <= LAST_KEPT_STEP and step % (octave // 4) == 0


def kept(points: Iterable[tuple[int, float]]) -> CurvePoints:
    """Order points (step, value) by step and leave out those that are not kept.

    Of several values for one step the first given counts, as with reports that come twice.
    """
    return tuple(point for point in _by_step(points) if is_kept(point[0]))


def thin(points: Iterable[tuple[int, float]]) -> CurvePoints:
    """Like `kept`, with the last point in any case: what a trial's status holds, at most 64."""
    ordered = _by_step(points)
    return tuple(point for point in ordered if is_kept(point[0]) or point is ordered[-1])


def _by_step(points: Iterable[tuple[int, float]]) -> list[tuple[int, float]]:
    first: dict[int, float] = {}
    for step, value in points:
        first.setdefault(step, value)
    return sorted(first.items())
