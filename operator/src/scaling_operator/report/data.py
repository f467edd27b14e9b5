"""What a report is drawn from, and the questions that sections ask of it.

Plain API models come in; nothing here reads files, knows a clock or imports Optuna.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from scaling_operator.api.experiment import ExperimentSpec, Objective
from scaling_operator.api.fields import Scalar
from scaling_operator.api.names import TrialState
from scaling_operator.api.status import BestTrial, ExperimentStatus, ScaleStatus
from scaling_operator.api.trial import ScalingTrial
from scaling_operator.law.hyperparameter_trends import BestAt, TrendLine
from scaling_operator.law.points import Points
from scaling_operator.law.results import FitReport
from scaling_operator.report.formatting import number, quantity, scalar, short_names

# SVG stays fluid, and prints, up to about this many points a plot.
POINT_LIMIT = 2000
KEPT_BEST = 100
_LARGE = 1e6

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Confusion:
    """Classes told apart on the test part: rows are the truth, columns the prediction."""

    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class LawInput:
    """The fit of a ladder: `measured` are its points before any was left out by a declared rule.

    `best_values` and `lines` say, by parameter, how the best value moves with size.
    """

    fit: FitReport
    measured: Points
    best_values: Mapping[str, tuple[BestAt, ...]]
    lines: Mapping[str, TrendLine]


@dataclass(frozen=True, slots=True)
class ReportInput:
    """All that a report shows.

    `trials` stand in order of scale and number; `importances` give, by scale index, each searched
    parameter's share; `removed` counts what preprocessing left out, by kind; `law` is a ladder's.
    """

    name: str
    spec: ExperimentSpec
    status: ExperimentStatus
    trials: tuple[ScalingTrial, ...]
    importances: Mapping[int, Mapping[str, float]]
    confusion: Confusion | None
    removed: Mapping[str, int]
    law: LawInput | None = None


def in_state(report: ReportInput, state: TrialState) -> tuple[ScalingTrial, ...]:
    """All trials in a state."""
    return tuple(trial for trial in report.trials if trial.status.state is state)


def with_value(report: ReportInput, state: TrialState) -> tuple[ScalingTrial, ...]:
    """All trials in a state that have a value for every objective."""
    wanted = len(report.spec.all_objectives)
    return tuple(trial for trial in in_state(report, state) if len(trial.status.values) == wanted)


def sign(objective: Objective) -> int:
    """1 where less is better, -1 where more is better: the product with a value is a loss."""
    return 1 if objective.direction == "minimize" else -1


def ranked(trials: Sequence[ScalingTrial], objective: Objective) -> tuple[ScalingTrial, ...]:
    """Trials with a value, best first by the first objective, in order of number where equal."""
    direction = sign(objective)
    return tuple(sorted(trials, key=lambda trial: direction * trial.status.values[0]))


def winners(report: ReportInput) -> tuple[BestTrial, ...]:
    """Return the best trial, or the Pareto front where there are several objectives."""
    return report.status.front if report.status.best is None else (report.status.best,)


def kept_values(report: ReportInput, index: int) -> tuple[float, ...]:
    """Return the values of an objective that every plot shows: the best, also of each scale."""
    bests = (scale.best for scale in report.status.scales)
    shown = (*winners(report), *(best for best in bests if best is not None))
    return tuple(best.values[index] for best in shown)


def scale_indices(report: ReportInput) -> tuple[int, ...]:
    """Scales that have trials, ascending."""
    return tuple(sorted({trial.spec.scale for trial in report.trials}))


def scale_label(report: ReportInput, index: int) -> str:
    """Say what a scale is, such as `width 64`; `scale 3` where status does not know it."""
    scale = next((scale for scale in report.status.scales if scale.index == index), None)
    text = "" if scale is None else ", ".join(_scale_parts(scale))
    return text or f"scale {index}"


def _scale_parts(scale: ScaleStatus) -> list[str]:
    names = short_names(scale.parameters)
    parts = [f"{names[name]} {_size(value)}" for name, value in scale.parameters.items()]
    if scale.samples is not None:
        parts.append(f"D {quantity(scale.samples)}")
    if scale.budget_flops is not None:
        parts.append(f"C {number(scale.budget_flops)} FLOP")
    return parts


def _size(value: Scalar) -> str:
    """Write a size: large numbers with a prefix."""
    large = isinstance(value, int | float) and not isinstance(value, bool) and value >= _LARGE
    return quantity(float(value)) if large else scalar(value)


def evenly(items: Sequence[Item], limit: int) -> tuple[Item, ...]:
    """Thin a sequence to at most `limit` items at even distances, the first one among them."""
    if len(items) <= limit:
        return tuple(items)
    return tuple(items[index * len(items) // limit] for index in range(limit))


def drawn(trials: Sequence[ScalingTrial], objective: Objective) -> tuple[ScalingTrial, ...]:
    """Choose which trials with a value a plot shows: the best ones and an even sample."""
    if len(trials) <= POINT_LIMIT:
        return tuple(trials)
    order = ranked(trials, objective)
    best = {trial.spec.trial_id for trial in order[:KEPT_BEST]}
    rest = [trial for trial in trials if trial.spec.trial_id not in best]
    shown = best | {trial.spec.trial_id for trial in evenly(rest, POINT_LIMIT - KEPT_BEST)}
    return tuple(trial for trial in trials if trial.spec.trial_id in shown)


def thinning_note(report: ReportInput) -> str:
    """Say that plots show a sample, where they do; otherwise nothing."""
    states = (TrialState.SUCCEEDED, TrialState.PRUNED)
    total = max(len(with_value(report, state)) for state in states)
    if total <= POINT_LIMIT:
        return ""
    return (
        f"Drawn are at most {POINT_LIMIT:,} trials of each state: the best {KEPT_BEST} and an "
        f"even sample of the others."
    )
