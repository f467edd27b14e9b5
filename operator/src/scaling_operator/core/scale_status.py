"""The scales of a status, and the best of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from scaling_operator.api.names import TrialState
from scaling_operator.api.status import MAX_FRONT, BestTrial, Counts, ScaleStatus
from scaling_operator.core.fit_types import checked
from scaling_operator.core.observed import Observed, ScaleView
from scaling_operator.core.progress import most_trials
from scaling_operator.core.tally import losses_of, spread


@dataclass(frozen=True, slots=True)
class LiveCounts:
    """Live trials of a scale, by state."""

    running: int = 0
    queued: int = 0


NONE_LIVE = LiveCounts()


def live_counts(observed: Observed) -> dict[int, LiveCounts]:
    """Count the live trials of all scales in one pass."""
    found = Counter((trial.scale, trial.state) for trial in observed.live)
    return {
        scale: LiveCounts(found[scale, TrialState.RUNNING], found[scale, TrialState.QUEUED])
        for scale, _ in found
    }


def scale_status(observed: Observed, view: ScaleView, live: LiveCounts) -> ScaleStatus:
    """Say what a scale is, how far it is, what it found and what was foretold of it."""
    best = view.tally.best[0] if view.tally.best else None
    counts = view.tally.counts.model_copy(
        update={
            "running": live.running,
            "queued": live.queued,
            "max": most_trials(observed, view),
        }
    )
    return ScaleStatus(
        index=view.scale.index,
        parameters=dict(view.scale.parameters),
        samples=view.scale.samples,
        budget_flops=view.scale.budget_flops,
        open=view.open,
        ranges=dict(view.ranges),
        points=tuple(dict(point) for point in view.points),
        counts=counts,
        best=best,
        predicted=view.predicted
        if view.predicted is None or best is None
        else checked(view.predicted, best.values[0]),
        sizing=None if observed.sizing is None else observed.sizing.scales.get(view.scale.index),
    )


def total(scales: tuple[ScaleStatus, ...]) -> Counts:
    """Count the trials of all scales."""
    fields = ("running", "queued", "succeeded", "pruned", "failed", "stopped")
    sums = {field: sum(int(getattr(scale.counts, field)) for scale in scales) for field in fields}
    return Counts(**sums, max=sum(scale.counts.max for scale in scales))


def best_of(observed: Observed, scales: tuple[ScaleStatus, ...]) -> BestTrial | None:
    """Of all scales the best value; the smaller scale where two are equal."""
    objectives = observed.spec.all_objectives
    candidates = [scale.best for scale in scales if scale.best is not None]
    if len(objectives) > 1 or not candidates:
        return None
    best = min(candidates, key=lambda trial: (*losses_of(trial, objectives), trial.scale))
    before = observed.status.best
    if before is not None and before.trial == best.trial and before.test_metrics is not None:
        return best.model_copy(update={"test_metrics": before.test_metrics})
    return best


def front(observed: Observed) -> tuple[BestTrial, ...]:
    """Give the Pareto front; several objectives have one scale."""
    return tuple(trial for view in observed.scales for trial in spread(view.tally.front, MAX_FRONT))
