"""The conditions of a fit, as values.

The words are Kubernetes': a condition has a type, a status, a CamelCase reason and a message that
says what is missing. `FitReady` is always there; the others appear where they hold. First come
the conditions of any fit; their thresholds are judgements (section 4 of the reference) and stand
together here. Then come the conditions of an experiment's fit, which adds those of its search.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from scaling_operator.api.names import FIT_CONDITIONS, ConditionType
from scaling_operator.api.status_fit import Recommendation
from scaling_operator.core.edges import SizedLoss, number_of, size_edges
from scaling_operator.core.fit_types import FitCondition, FitInput, TunedPoint
from scaling_operator.core.tally import loss_of
from scaling_operator.law.bootstrap import Draws, Intervals
from scaling_operator.law.isoflop import Minimum
from scaling_operator.law.points import Points
from scaling_operator.law.results import FitReport

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
MOST_NAMED = 8
_EDGE = ConditionType.HYPERPARAMETER_EDGE


def fit_ready(refusals: tuple[FitCondition, ...]) -> FitCondition:
    """Give FitReady: true without a refusal, else false with the reason of the first refusal."""
    if not refusals:
        return FitCondition(ConditionType.FIT_READY, "Fitted", "the law is fitted")
    message = "; ".join(refusal.message for refusal in refusals)
    return FitCondition(ConditionType.FIT_READY, refusals[0].reason, message, is_true=False)


def edge_optima(minima: tuple[Minimum, ...]) -> tuple[FitCondition, ...]:
    """Name the budgets whose best size is an end of the grid, and the size to add."""
    at_edge = [minimum for minimum in minima if minimum.edge is not None]
    if not at_edge:
        return ()
    parts = [
        f"at {m.budget_flops:.3g} FLOPs the {m.edge} size is best: add one near "
        f"{m.proposed_size:.3g} parameters"
        for m in at_edge
    ]
    return (FitCondition(ConditionType.EDGE_OPTIMUM, "MinimumOnEdge", "; ".join(parts)),)


def far_extrapolation(points: Points, flops: float | None, size: float) -> FitCondition | None:
    """Warn of a question that lies more than 100 times beyond the largest measured compute."""
    if points.C is not None and flops is not None and np.isfinite(flops):
        ratio, limit, what = flops / float(points.C.max()), FARTHEST, "the largest measured compute"
    else:
        ratio, limit, what = size / float(points.N.max()), FARTHEST_SIZE, "the largest size"
    if not ratio > limit:
        return None
    message = f"{ratio:.3g} times {what} is asked for; beyond {limit:g} times it is a guess"
    return FitCondition(ConditionType.FAR_EXTRAPOLATION, "BeyondThePoints", message)


def methods_disagree(
    exponents: Mapping[str, float], sizes: tuple[tuple[float, float], ...], spread: Intervals
) -> tuple[FitCondition, ...]:
    """Compare exponents by method, and N* at each target by two of them.

    `spread` are the intervals of IsoFLOP's exponent a. The envelope's sizes are not compared: its
    curves had not decayed.
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
    return (FitCondition(ConditionType.METHODS_DISAGREE, "ExponentsOrSizesApart", message),)


def noise_too_high(
    draws: Draws, sizes: tuple[Intervals, ...], losses: tuple[Intervals, ...]
) -> tuple[FitCondition, ...]:
    """Warn of intervals too wide to act on at 80 %: N* by more than 3 times, a loss by 1.2."""
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
    return (FitCondition(ConditionType.NOISE_TOO_HIGH, "IntervalTooWide", message),)


def _width(interval: Intervals) -> float:
    low, high = interval.get(80, (1.0, 1.0))
    return high / low if low > 0 else float("inf")


def conditions_of(
    fit_input: FitInput, fit: FitReport, recommendations: Sequence[Recommendation]
) -> tuple[FitCondition, ...]:
    """Collect the conditions, at most one of a type, FitReady first."""
    ready = fit.conditions[0]
    own = [
        condition
        for condition in fit.conditions[1:]
        if condition.type is not ConditionType.TARGET_UNANSWERED
    ]
    conditions = [
        _ready(fit_input, fit)
        if ready.is_true
        else _not_ready(fit_input, ready.reason, ready.message),
        *own,
        *_hyperparameter_edges(fit_input),
        *([] if _has(own, ConditionType.EDGE_OPTIMUM) else _size_edges(fit_input)),
        *(_unanswered(recommendations) if ready.is_true else ()),
    ]
    return tuple(_merged(conditions, kind) for kind in FIT_CONDITIONS if _has(conditions, kind))


def _ready(fit_input: FitInput, fit: FitReport) -> FitCondition:
    if not fit_input.tuning:
        message = f"the law is fitted to {len(fit.points)} points"
        return FitCondition(ConditionType.FIT_READY, "Fitted", message)
    message = f"the law is fitted to {len(fit.points)} points; {_still_tuned(fit_input)}"
    return FitCondition(ConditionType.FIT_READY, "Preliminary", message)


def _not_ready(fit_input: FitInput, reason: str, message: str) -> FitCondition:
    if fit_input.tuning:
        message = f"{message}; {_still_tuned(fit_input)}"
    return FitCondition(ConditionType.FIT_READY, reason, message, is_true=False)


def _still_tuned(fit_input: FitInput) -> str:
    scales = _listed([str(index) for index in fit_input.tuning])
    return f"scale{'s' if len(fit_input.tuning) > 1 else ''} {scales} not fully tuned yet"


def _hyperparameter_edges(fit_input: FitInput) -> list[FitCondition]:
    scaling = fit_input.spec.scaling
    left_out = scaling is not None and scaling.fit.hyperparameter_edge == "leave-out"
    consequence = "these scales are left out of the fit" if left_out else "their points are kept"
    at_edge = [(point, name) for point in fit_input.points for name in point.edges]
    narrow = [(point, name) for point in fit_input.points for name in point.narrow_edges]
    conditions: list[FitCondition] = []
    if at_edge:
        message = f"best at an end of its range: {_values(at_edge)}; widen it; {consequence}"
        conditions.append(FitCondition(_EDGE, "BestAtRangeEdge", message))
    if narrow:
        message = (
            f"best at an end of the range that transfer has narrowed: {_values(narrow)}; raise "
            "transfer.shrink; their points are kept"
        )
        conditions.append(FitCondition(_EDGE, "BestAtNarrowedEdge", message))
    return conditions


def _values(points: Sequence[tuple[TunedPoint, str]]) -> str:
    return _listed(
        [
            f"{name} {float(point.parameters[name]):.4g} at scale {point.scale.index}"
            for point, name in points
        ]
    )


def _size_edges(fit_input: FitInput) -> list[FitCondition]:
    objective, scaling = fit_input.spec.all_objectives[0], fit_input.spec.scaling
    first = {point.scale.index: point for point in reversed(fit_input.points)}
    edges = size_edges(
        SizedLoss(
            point.scale,
            point.model_parameters or number_of(point.scale),
            loss_of(point.value, objective),
        )
        for point in first.values()
    )
    if not edges or scaling is None:
        return []
    parts = [f"the {edge.side} size{_of_what(edge.samples, edge.budget_flops)}" for edge in edges]
    more = "" if scaling.refine.max_sizes else "; scaling.refine.maxSizes lets sizes be added"
    if scaling.parameter is None:
        more = ""
    message = f"{objective.metric} is best at {_listed(parts)}: one beyond may be better{more}"
    return [FitCondition(ConditionType.EDGE_OPTIMUM, "BestAtLadderEdge", message)]


def _of_what(samples: float | None, budget_flops: float | None) -> str:
    if budget_flops is not None:
        return f" of {budget_flops:.3g} FLOPs"
    return "" if samples is None else f" of {samples:.4g} samples"


def _unanswered(recommendations: Sequence[Recommendation]) -> list[FitCondition]:
    missing = [
        recommendation for recommendation in recommendations if recommendation.reason is not None
    ]
    if not missing:
        return []
    parts = [f"{_asked(recommendation)}: {recommendation.message}" for recommendation in missing]
    reason = missing[0].reason or "OutOfReach"
    return [FitCondition(ConditionType.TARGET_UNANSWERED, reason, _listed(parts, "; "))]


def _asked(recommendation: Recommendation) -> str:
    aims = recommendation.target.model_dump(exclude_none=True)
    return ", ".join(f"{name} {value:g}" for name, value in aims.items())


def _listed(parts: Sequence[str], separator: str = ", ") -> str:
    more = len(parts) - MOST_NAMED
    shown = separator.join(parts[:MOST_NAMED])
    return f"{shown} and {more} more" if more > 0 else shown


def _has(conditions: Sequence[FitCondition], kind: ConditionType) -> bool:
    return any(condition.type is kind for condition in conditions)


def _merged(conditions: Sequence[FitCondition], kind: ConditionType) -> FitCondition:
    """Join all conditions of a type into one, with the reason of the first."""
    of_kind = [condition for condition in conditions if condition.type is kind]
    first = of_kind[0]
    message = "; ".join(condition.message for condition in of_kind)
    return FitCondition(kind, first.reason, message, first.is_true)
