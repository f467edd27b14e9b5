"""What may be said of an experiment's fit: the law's conditions, and those of its search."""

from __future__ import annotations

from collections.abc import Sequence

from scaling_operator.api.fitted import Recommendation
from scaling_operator.api.names import FIT_CONDITIONS, ConditionType
from scaling_operator.core.edges import SizedLoss, number_of, size_edges
from scaling_operator.core.fit_types import FitCondition, FitInput, TunedPoint
from scaling_operator.core.tally import loss_of
from scaling_operator.law.results import FitReport

MOST_NAMED = 8
_EDGE = ConditionType.HYPERPARAMETER_EDGE


def conditions_of(
    fit_input: FitInput, fit: FitReport, recommendations: Sequence[Recommendation]
) -> tuple[FitCondition, ...]:
    """Collect the conditions, at most one of a type, FitReady first."""
    ready = fit.conditions[0]
    own = [
        FitCondition(ConditionType(each.type.value), each.reason, each.message)
        for each in fit.conditions[1:]
        if each.type.value != ConditionType.TARGET_UNANSWERED
    ]
    found = [
        _ready(fit_input, fit)
        if ready.status
        else _not_ready(fit_input, ready.reason, ready.message),
        *own,
        *_hyperparameter_edges(fit_input),
        *([] if _has(own, ConditionType.EDGE_OPTIMUM) else _size_edges(fit_input)),
        *(_unanswered(recommendations) if ready.status else ()),
    ]
    return tuple(_merged(found, kind) for kind in FIT_CONDITIONS if _has(found, kind))


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
    found: list[FitCondition] = []
    if at_edge:
        message = f"best at an end of its range: {_values(at_edge)}; widen it; {consequence}"
        found.append(FitCondition(_EDGE, "BestAtRangeEdge", message))
    if narrow:
        message = (
            f"best at an end of the range that transfer has narrowed: {_values(narrow)}; raise "
            "transfer.shrink; their points are kept"
        )
        found.append(FitCondition(_EDGE, "BestAtNarrowedEdge", message))
    return found


def _values(found: Sequence[tuple[TunedPoint, str]]) -> str:
    return _listed(
        [
            f"{name} {float(point.parameters[name]):.4g} at scale {point.scale.index}"
            for point, name in found
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
    missing = [each for each in recommendations if each.reason is not None]
    if not missing:
        return []
    parts = [f"{_asked(each)}: {each.message}" for each in missing]
    reason = missing[0].reason or "OutOfReach"
    return [FitCondition(ConditionType.TARGET_UNANSWERED, reason, _listed(parts, "; "))]


def _asked(each: Recommendation) -> str:
    asked = each.target.model_dump(exclude_none=True)
    return ", ".join(f"{name} {value:g}" for name, value in asked.items())


def _listed(parts: Sequence[str], separator: str = ", ") -> str:
    more = len(parts) - MOST_NAMED
    shown = separator.join(parts[:MOST_NAMED])
    return f"{shown} and {more} more" if more > 0 else shown


def _has(conditions: Sequence[FitCondition], kind: ConditionType) -> bool:
    return any(condition.type is kind for condition in conditions)


def _merged(conditions: Sequence[FitCondition], kind: ConditionType) -> FitCondition:
    """Make one statement of all of a type, under the first one's reason."""
    of_kind = [condition for condition in conditions if condition.type is kind]
    first = of_kind[0]
    message = "; ".join(condition.message for condition in of_kind)
    return FitCondition(kind, first.reason, message, first.is_true)
