"""Which points of a learning curve are kept: at most 64, however long the training.

The choice depends on the step alone, never on the other points. So a curve that grew point by point
and a curve that is read back are the same, and the decisions that depend on them are the same too.
"""

from __future__ import annotations

from collections.abc import Iterable

CurvePoints = tuple[tuple[int, float], ...]

DENSE_STEPS = 32
"""Up to this step every point is kept."""
LAST_KEPT_STEP = 7168
"""The step of the 63rd point: 32 points, then 4 of each doubling. A curve's last is the 64th."""


def is_kept(step: int) -> bool:
    """Whether the point of a step (counted from 1) is kept: 1 to 32, then quarters of an octave.

    After 32 the steps 40, 48, 56, 64, 80, 96, 112, 128, 160 and so on are kept, up to 7168.
    """
    if step <= DENSE_STEPS:
        return step >= 1
    octave = 1 << ((step - 1).bit_length() - 1)
    return step <= LAST_KEPT_STEP and step % (octave // 4) == 0


def kept(points: Iterable[tuple[int, float]]) -> CurvePoints:
    """Order points (step, value) by step and leave out those that are not kept.

    Where a step has several values the first one counts, as for a report that comes twice.
    """
    return tuple(point for point in _by_step(points) if is_kept(point[0]))


def thin(points: Iterable[tuple[int, float]]) -> CurvePoints:
    """Like `kept`, but always with the last point: a trial's status holds these, at most 64."""
    ordered = _by_step(points)
    return tuple(point for point in ordered if is_kept(point[0]) or point is ordered[-1])


def _by_step(points: Iterable[tuple[int, float]]) -> list[tuple[int, float]]:
    first: dict[int, float] = {}
    for step, value in points:
        first.setdefault(step, value)
    return sorted(first.items())
