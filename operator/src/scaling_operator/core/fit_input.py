"""From what is observed to the input of a fit, and whether a decision waits for the fit."""

from __future__ import annotations

from collections.abc import Iterator

from scaling_operator.api.scaling import Scaling
from scaling_operator.core.edges import parameters_at_edge
from scaling_operator.core.fit_types import FitInput, TunedPoint
from scaling_operator.core.observed import Observed, ScaleView
from scaling_operator.core.progress import is_tuned, scale_has_ended
from scaling_operator.sizing.run_plan import KnownMachines


def fit_input_of(observed: Observed) -> FitInput | None:
    """Collect the best tuned trial of each (N, D); None without a ladder.

    Pruned, failed and stopped trials do not count: they are never the best.
    """
    spec = observed.spec
    if spec.scaling is None or spec.objective is None:
        return None
    views = sorted(observed.scales, key=lambda view: view.scale.index)
    tuned = [view for view in views if view.tally.best and is_tuned(observed, view)]
    tuning = tuple(view.scale.index for view in views if not scale_has_ended(observed, view))
    return FitInput(
        spec=spec,
        points=tuple(point for view in tuned for point in _points(observed, view)),
        tuning=tuning,
        untried=tuple(view.scale for view in views if not view.created),
        seed=spec.search.algorithm.seed or 0,
        machines=_machines(observed, spec.scaling, is_tuning=bool(tuning)),
    )


def _machines(observed: Observed, scaling: Scaling, *, is_tuning: bool) -> KnownMachines | None:
    """Give the machines by which recommended runs are planned.

    Measurements of trials count once all trials have ended. Every trial adds one, and no single
    measurement is worth another fit.
    """
    if observed.machines is None or not scaling.targets:
        return None
    return KnownMachines(observed.machines.policy) if is_tuning else observed.machines


def awaits_fit(observed: Observed) -> bool:
    """Whether the shell makes fits, and has made none of what is observed now."""
    fit_input = _to_fit(observed)
    return fit_input is not None and (observed.fit is None or observed.fit.fit_input != fit_input)


def awaits_prediction(observed: Observed) -> bool:
    """Whether a scale that opens now would miss the prediction of a fit under way.

    While trials run, best values change all the time: then a fit of the same scales is new enough.
    """
    if not observed.live_scales:
        return awaits_fit(observed)
    fit_input = _to_fit(observed)
    if fit_input is None:
        return False
    return observed.fit is None or _scales(observed.fit.fit_input) != _scales(fit_input)


def _to_fit(observed: Observed) -> FitInput | None:
    fit_input = fit_input_of(observed) if observed.rules.fits else None
    return fit_input if fit_input is not None and fit_input.points else None


def _scales(fit_input: FitInput) -> set[int]:
    return {point.scale.index for point in fit_input.points}


def _points(observed: Observed, view: ScaleView) -> Iterator[TunedPoint]:
    """Give the best trial of a scale, then the best at each D before its end."""
    search = observed.spec.search
    for place, best in enumerate((view.tally.best[0], *view.tally.early)):
        edges = parameters_at_edge(best, search, {})
        narrow = parameters_at_edge(best, search, view.ranges)
        yield TunedPoint(
            scale=view.scale,
            trial=best.trial,
            value=best.values[0],
            parameters=best.parameters,
            model_parameters=best.model_parameters,
            samples=best.samples or view.scale.samples,
            flops=best.flops,
            edges=edges,
            narrow_edges=tuple(name for name in narrow if name not in edges),
            curve=() if place else view.tally.curve,
        )
