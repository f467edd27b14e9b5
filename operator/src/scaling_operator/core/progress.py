"""How far a scale has come."""

from __future__ import annotations

from scaling_operator.core.observed import Observed, ScaleView

TUNED_SHARE = 0.5
"""From this share of its trials on, the best of a scale counts as tuned while the rest run."""


def scale_has_ended(observed: Observed, view: ScaleView) -> bool:
    """Whether no trial of the scale is live and none will follow."""
    if view.scale.index in observed.live_scales:
        return False
    return view.tally.goal_reached or view.created >= observed.rules.max_trials


def all_scales_have_ended(observed: Observed) -> bool:
    """Whether nothing is live and no scale that is known has trials left."""
    if observed.live_scales:
        return False
    return all(scale_has_ended(observed, view) for view in observed.scales)


def is_tuned(observed: Observed, view: ScaleView) -> bool:
    """Whether the best of a scale may stand for it: it has ended, or is half done."""
    half_done = view.tally.ended >= TUNED_SHARE * observed.rules.max_trials
    return half_done or scale_has_ended(observed, view)
