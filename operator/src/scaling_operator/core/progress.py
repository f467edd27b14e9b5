"""How far the trials of a scale are, and which sizes are added beyond an edge of the ladder."""

from __future__ import annotations

import math

from pydantic import ValidationError

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.names import DEFAULT_TRIALS
from scaling_operator.api.scaling import Scaling
from scaling_operator.core.edges import SizeEdge, size_edges, sized_loss
from scaling_operator.core.ladder import Scale, scales_of
from scaling_operator.core.observed import Observed, ScaleView
from scaling_trainer.config.builtin import with_parameters

TUNED_SHARE = 0.5
"""The share of a scale's trials after which its best counts as tuned while the rest run."""


def most_trials(observed: Observed, view: ScaleView) -> int:
    """Give the most trials of a scale: as many as the shell allows, or as it has points."""
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
    """Whether no trial is live and no scale has trials left."""
    if observed.live_scales:
        return False
    return all(scale_has_ended(observed, view) for view in observed.scales)


def is_tuned(observed: Observed, view: ScaleView) -> bool:
    """Whether the best of a scale may stand for it: it, or half its trials, have ended."""
    half_done = view.tally.ended >= TUNED_SHARE * most_trials(observed, view)
    return half_done or scale_has_ended(observed, view)


Size = int | float


def scales_to_add(observed: Observed) -> tuple[Scale, ...]:
    """Add one size beyond an edge, once all scales have ended and while `refine` allows.

    The new size gets one scale for each amount of data or budget whose best lies at that end. The
    new scales take the next indices.
    """
    scaling, objective = observed.spec.scaling, observed.spec.objective
    if scaling is None or objective is None or scaling.parameter is None:
        return ()
    if not scaling.refine.max_sizes or not all_scales_have_ended(observed):
        return ()
    tried = _sizes(observed, scaling.parameter)
    if len(tried) >= len(scaling.sizes) + scaling.refine.max_sizes:
        return ()
    sizes = (sized_loss(view, objective) for view in observed.scales)
    edges = size_edges(sized for sized in sizes if sized is not None)
    for side in ("largest", "smallest"):
        on_side = [edge for edge in edges if edge.side == side]
        for size in beyond(tried, side, scaling) if on_side else ():
            if _is_allowed(observed.spec, scaling.parameter, size):
                return _scales(observed, {scaling.parameter: size}, on_side)
    return ()


def beyond(tried: tuple[Size, ...], side: str, scaling: Scaling) -> tuple[Size, ...]:
    """Continue the sizes by the ratio of the two at that end; return candidates, best first.

    Whole sizes stay whole. Where the trainer refuses the first candidate (heads divide a width), a
    multiple of the greatest common divisor of the file's sizes may fit.
    """
    if len(tried) < 2:  # noqa: PLR2004 - a ratio needs two
        return ()
    edge, inner = (tried[-1], tried[-2]) if side == "largest" else (tried[0], tried[1])
    size = edge * (edge / inner)
    candidates: tuple[Size, ...] = (size,)
    if all(isinstance(rung, int) for rung in scaling.sizes):
        unit = math.gcd(*(int(rung) for rung in scaling.sizes))
        candidates = (round(size), unit * round(size / unit))
    is_larger = side == "largest"
    return tuple(
        candidate
        for candidate in candidates
        if (candidate > edge if is_larger else 0 < candidate < edge)
    )


def _sizes(observed: Observed, parameter: str) -> tuple[Size, ...]:
    sizes = {view.scale.parameters.get(parameter) for view in observed.scales}
    return tuple(sorted(size for size in sizes if not isinstance(size, str | bool | None)))


def _is_allowed(spec: ExperimentSpec, parameter: str, size: Size) -> bool:
    """Whether the built-in trainer takes the size; a user's own trainer must take every size."""
    if spec.trainer.built_in is None:
        return True
    try:
        with_parameters(spec.trainer.built_in, {parameter: size})
    except ValidationError:
        return False
    return True


def _scales(
    observed: Observed, parameters: dict[str, Size], edges: list[SizeEdge]
) -> tuple[Scale, ...]:
    first = max(len(scales_of(observed.spec)), *(view.scale.index + 1 for view in observed.scales))
    return tuple(
        Scale(first + place, dict(parameters), edge.samples, edge.budget_flops)
        for place, edge in enumerate(edges)
    )
