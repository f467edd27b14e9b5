"""Running totals of a scale: of bounded size, however many trials end; one is added at a time.

The cost of adding a trial depends on the length of `best` and `front`, not on the history. The
totals do not depend on the order in which trials end: a restarted operator computes the same
totals.
"""

from __future__ import annotations

from bisect import bisect
from dataclasses import dataclass, field, replace
from operator import le

from scaling_operator.api.experiment import Objective
from scaling_operator.api.names import Reason, TrialState
from scaling_operator.api.status import BestTrial, Counts, CurvePoint, EarlyPoint
from scaling_operator.api.trial import ScalingTrial
from scaling_operator.core.reasons import counts

KEPT_BEST = 50
KEPT_FRONT = 500
"""A larger front costs memory: its first trials are kept, in the order of their losses."""
KEPT_EARLY = 8


@dataclass(frozen=True, slots=True)
class Tally:
    """How the trials of a scale ended.

    `data_error`: number and message of the first trial that could not use the data. `best`: with
    one objective the best trials, best first. `front`: with several objectives the trials that no
    other trial dominates, by their losses. `early`: the best trial at each of the largest D before
    the end, by D. `curve`: the learning curve of the best trial.
    """

    counts: Counts = field(default_factory=Counts)
    counted_failures: int = 0
    data_error: tuple[int, str] | None = None
    best: tuple[BestTrial, ...] = ()
    front: tuple[BestTrial, ...] = ()
    goal_reached: bool = False
    early: tuple[BestTrial, ...] = ()
    curve: tuple[CurvePoint, ...] = ()

    @property
    def ended(self) -> int:
        """How many trials have ended."""
        counts = self.counts
        return counts.succeeded + counts.pruned + counts.failed + counts.stopped


def add(tally: Tally, trial: ScalingTrial, objectives: tuple[Objective, ...]) -> Tally:
    """Add a trial that has ended. Raises ValueError for a trial that has not."""
    status = trial.status
    if not status.state.ended:
        message = f"trial {trial.spec.trial_id} has not ended: {status.state}"
        raise ValueError(message)
    key = status.state.value.lower()
    by_state = tally.counts.model_copy(update={key: getattr(tally.counts, key) + 1})
    counted = status.state is TrialState.FAILED and counts(status.reason)
    tally = replace(tally, counts=by_state, counted_failures=tally.counted_failures + counted)
    if status.reason is Reason.DATA_ERROR:
        errors = (tally.data_error, (trial.spec.number, status.message))
        return replace(tally, data_error=min(error for error in errors if error is not None))
    if status.state is not TrialState.SUCCEEDED:
        return tally
    entry = best_trial(trial)
    if len(objectives) == 1:
        early = _best_early(tally.early, entry, status.points, objectives[0])
        best = _insert(tally.best, entry, objectives[0])
        curve = status.curve if best[0] is entry else tally.curve
        tally = replace(tally, best=best, early=early, curve=curve)
    else:
        tally = replace(tally, front=_merge_front(tally.front, entry, objectives))
    return replace(tally, goal_reached=tally.goal_reached or meets_goals(entry, objectives))


def best_trial(trial: ScalingTrial) -> BestTrial:
    """Reduce a trial to its entry in the experiment's status."""
    spec, status = trial.spec, trial.status
    return BestTrial(
        trial=spec.trial_id,
        scale=spec.scale,
        number=spec.number,
        parameters=spec.parameters,
        values=status.values,
        metrics=status.metrics,
        model_parameters=status.model_parameters,
        samples=status.samples,
        flops=status.flops,
    )


def loss_of(value: float, objective: Objective) -> float:
    """Turn a value so that smaller is better."""
    return value if objective.direction == "minimize" else -value


def meets_goals(trial: BestTrial, objectives: tuple[Objective, ...]) -> bool:
    """Whether a trial reaches every goal that is set; False where none is."""
    goals = [
        loss_of(value, objective) <= loss_of(objective.goal, objective)
        for value, objective in zip(trial.values, objectives, strict=True)
        if objective.goal is not None
    ]
    return bool(goals) and all(goals)


def _insert(
    best: tuple[BestTrial, ...], entry: BestTrial, objective: Objective
) -> tuple[BestTrial, ...]:
    ranked = sorted(
        (*best, entry), key=lambda trial: (loss_of(trial.values[0], objective), trial.number)
    )
    return tuple(ranked[:KEPT_BEST])


def _best_early(
    before: tuple[BestTrial, ...],
    entry: BestTrial,
    points: tuple[EarlyPoint, ...],
    objective: Objective,
) -> tuple[BestTrial, ...]:
    """Keep the best trial at each of the largest D; nearly equal amounts count as one D.

    Amounts differ a little because batches differ. The set of D only grows, so that a D that was
    cut once would be cut in any order of trials.
    """
    best = {_amount(trial): trial for trial in before}
    for point in points:
        figures = {"samples": point.samples, "flops": point.flops, "values": (point.value,)}
        rival = entry.model_copy(update={**figures, "metrics": {}})
        holder = best.setdefault(_amount(rival), rival)
        if _early_rank(rival, objective) < _early_rank(holder, objective):
            best[_amount(rival)] = rival
    kept = sorted(best, reverse=True)[:KEPT_EARLY]
    return tuple(best[amount] for amount in reversed(kept))


def _amount(trial: BestTrial) -> float:
    return float(f"{trial.samples or 0.0:.2g}")


def _early_rank(trial: BestTrial, objective: Objective) -> tuple[float, int, float]:
    return loss_of(trial.values[0], objective), trial.number, trial.samples or 0.0


def losses_of(trial: BestTrial, objectives: tuple[Objective, ...]) -> tuple[float, ...]:
    """Turn a trial's values so that smaller is better in each."""
    return tuple(
        loss_of(value, objective) for value, objective in zip(trial.values, objectives, strict=True)
    )


def _merge_front(
    front: tuple[BestTrial, ...], entry: BestTrial, objectives: tuple[Objective, ...]
) -> tuple[BestTrial, ...]:
    """Insert a trial in the front, unless another trial dominates it.

    In the order of losses, every trial that dominates another one stands before it.
    """
    ranks = [(losses_of(trial, objectives), trial.number) for trial in front]
    losses = losses_of(entry, objectives)
    place = bisect(ranks, (losses, entry.number))
    if any(_dominates(losses_before, losses) for losses_before, _ in ranks[:place]):
        return front
    behind = tuple(
        trial
        for trial, (losses_behind, _) in zip(front[place:], ranks[place:], strict=True)
        if not _dominates(losses, losses_behind)
    )
    return (*front[:place], entry, *behind)[:KEPT_FRONT]


def _dominates(losses: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return losses != other and all(map(le, losses, other))


def spread(front: tuple[BestTrial, ...], count: int) -> tuple[BestTrial, ...]:
    """Select `count` trials of a front, evenly from one end to the other, both included."""
    if len(front) <= count:
        return front
    steps = max(count - 1, 1)
    return tuple(front[round(place * (len(front) - 1) / steps)] for place in range(count))
