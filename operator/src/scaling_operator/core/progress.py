"""How far a scale has come."""

from __future__ import annotations

from scaling_operator.api.names import DEFAULT_TRIALS
from scaling_operator.core.observed import Observed, ScaleView

TUNED_SHARE = 0.5
"""From this share of its trials on, the best of a scale counts as tuned while the rest run."""


def most_trials(observed: Observed, view: ScaleView) -> int:
    """How many trials a scale has at most: so many as are asked for, or as there are points."""
    wanted = observed.rules.max_trials
    return wanted if view.space_points is None else min(wanted, view.space_points)


def is_exhausted(observed: Observed, view: ScaleView) -> bool:
    """Whether a scale has no more trials because all points of its space were tried."""
    if view.space_points is None or view.created < view.space_points:
        return False
    return view.space_points < (observed.spec.trials.max or DEFAULT_TRIALS)


def scale_has_ended(observed: Observed, view: ScaleView) -> bool:
    """Whether no trial of the scale is live and none will follow."""
    if view.scale.index in observed.live_scales:
        return False
    return view.tally.goal_reached or view.created >= most_trials(observed, view)


def all_scales_have_ended(observed: Observed) -> bool:
    """Whether nothing is live and no scale that is known has trials left."""
    if observed.live_scales:
        return False
    return all(scale_has_ended(observed, view) for view in observed.scales)


def is_tuned(observed: Observed, view: ScaleView) -> bool:
    """Whether the best of a scale may stand for it: it has ended, or is half done."""
    half_done = view.tally.ended >= TUNED_SHARE * most_trials(observed, view)
    return half_done or scale_has_ended(observed, view)
