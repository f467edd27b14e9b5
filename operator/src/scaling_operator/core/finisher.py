"""What happens to the best trial's model once an experiment has succeeded: pure, like `settle`.

With a claim for artifacts one pod, the finisher, scores the saved weights on the test part, copies
them to `best/` and draws the report. The finisher runs once for each best trial.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.names import Phase
from scaling_operator.api.status import BestTrial, ExperimentStatus, Export, Metrics
from scaling_operator.core.observed import AttemptPhase, AttemptView
from scaling_trainer.foreign_text import as_message


class FinishingStep(StrEnum):
    """What the shell should do next."""

    WAIT = "Wait"
    CREATE = "Create"
    DISCARD = "Discard"


@dataclass(frozen=True, slots=True)
class Finished:
    """The finisher has ended: what the status should say."""

    export: Export
    test_metrics: Metrics | None = None


def to_finish(status: ExperimentStatus, *, has_claim: bool) -> BestTrial | None:
    """Name the trial whose model has yet to be saved; None where there is nothing to do."""
    best = status.best
    if not has_claim or best is None or status.phase is not Phase.SUCCEEDED:
        return None
    return None if status.export is not None and status.export.trial == best.trial else best


def finishing(
    best: BestTrial,
    view: AttemptView,
    spec: ExperimentSpec,
    now_seconds: float,
    ended_seconds: float | None,
) -> FinishingStep | Finished:
    """Decide what follows from the finisher's pod; an interrupted pod is made again, for a while.

    `ended_seconds`: when the experiment's trials had ended. No field counts the interruptions, so
    that time bounds them.
    """
    age_seconds = now_seconds - view.since_seconds
    match view.phase:
        case AttemptPhase.ABSENT:
            return FinishingStep.CREATE
        case AttemptPhase.LOST:
            since = now_seconds if ended_seconds is None else ended_seconds
            return _interrupted(best, view, spec, now_seconds - since)
        case AttemptPhase.EXITED:
            return _exited(best, view)
        case AttemptPhase.WAITING:
            bound, trouble = spec.trials.pending_timeout, f"{view.reason}: {view.message}"
        case AttemptPhase.RUNNING:
            bound, trouble = spec.trials.timeout, f"it ran longer than {spec.trials.timeout}"
        case _:
            assert_never(view.phase)
    return not_saved(best, trouble) if age_seconds >= bound.total_seconds() else FinishingStep.WAIT


def _interrupted(
    best: BestTrial, view: AttemptView, spec: ExperimentSpec, waited_seconds: float
) -> FinishingStep | Finished:
    longest = spec.trials.pending_timeout + spec.trials.timeout
    if view.reason is None or waited_seconds < longest.total_seconds():
        return FinishingStep.DISCARD  # without a reason the pod is an earlier best trial's
    trouble = f"{view.reason}: {view.message}" if view.message else str(view.reason)
    return not_saved(best, f"{trouble}; more than {longest} after the end it is not tried again")


def _exited(best: BestTrial, view: AttemptView) -> Finished:
    if view.exit_code != 0 or view.result is None:
        ended = f"the pod ended with exit code {view.exit_code}"
        return not_saved(best, view.result_problem or view.message or ended)
    export = Export(trial=best.trial, saved=True, message="saved on the claim, with the report")
    return Finished(export, dict(view.result.metrics) or None)


def not_saved(best: BestTrial, message: str) -> Finished:
    """Say why a trial's model could not be saved."""
    return Finished(Export(trial=best.trial, saved=False, message=as_message(message)))
