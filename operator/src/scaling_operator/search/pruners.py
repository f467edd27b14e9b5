"""From `search.pruner` to Optuna's pruners, and what pruners remember about a trial.

Successive halving notes on each trial the value with which the trial completed a rung. We derive
these notes from the trial's curve alone: a rebuilt study decides as the original study.
"""

from __future__ import annotations

from typing import assert_never

import optuna
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    PatientPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
)
from optuna.trial import TrialState, create_trial

from scaling_operator.api import algorithms as api
from scaling_operator.core.curve import LAST_KEPT_STEP, CurvePoints
from scaling_operator.search.optuna_messages import ignoring

RUNG = "completed_rung_"
"""Attribute of a trial, followed by the rung: its value there."""


def make_pruner(spec: api.Pruner) -> BasePruner:
    """Make the pruner. Steps count from 1, so `warmupSteps: 3` leaves steps 1, 2 and 3 alone."""
    match spec:
        case api.NoPruner():
            return NopPruner()
        case api.MedianPruner():
            return MedianPruner(
                n_startup_trials=spec.startup_trials,
                n_warmup_steps=spec.warmup_steps + 1,
                interval_steps=1,
                n_min_trials=1,
            )
        case api.PercentilePruner():
            return PercentilePruner(
                spec.percentile,
                n_startup_trials=spec.startup_trials,
                n_warmup_steps=spec.warmup_steps + 1,
                interval_steps=1,
                n_min_trials=1,
            )
        case api.PatientPruner():
            with ignoring():  # The class counts as experimental.
                return PatientPruner(None, patience=spec.patience, min_delta=spec.min_delta)
        case api.AshaPruner():
            return SuccessiveHalvingPruner(
                min_resource=spec.min_steps,
                reduction_factor=spec.reduction_factor,
                min_early_stopping_rate=0,
                bootstrap_count=0,
            )
        case api.HyperbandPruner():
            return HyperbandPruner(
                min_resource=spec.min_steps,
                max_resource=spec.max_steps,
                reduction_factor=spec.reduction_factor,
                bootstrap_count=0,
            )
    assert_never(spec)


def needs_whole_curves(spec: api.Pruner) -> bool:
    """Whether a decision compares with single steps of ended trials."""
    return isinstance(spec, api.MedianPruner | api.PercentilePruner)


class Rungs:
    """Which rungs a trial has completed, and with what value: a function of the trial's curve.

    Rung k of a bracket is complete with the first kept point at or after
    minSteps x reductionFactor^(bracket + k). ASHA has one bracket; Hyperband assigns one to each
    trial by a checksum of the study's name and the trial's number.
    """

    def __init__(self, spec: api.Pruner, pruner: BasePruner, study: optuna.Study) -> None:
        self._spec, self._pruner, self._study = spec, pruner, study
        if isinstance(pruner, HyperbandPruner):
            # Hyperband makes its brackets at its first decision.
            pruner.prune(study, create_trial(state=TrialState.RUNNING))

    def completed(self, number: int, curve: CurvePoints) -> dict[str, float]:
        """Give a trial's notes as Optuna writes them; `curve` is ordered by step."""
        if not isinstance(self._spec, api.AshaPruner | api.HyperbandPruner):
            return {}
        factor = self._spec.reduction_factor
        step = self._spec.min_steps * factor ** self._bracket(number)
        notes: dict[str, float] = {}
        while step <= LAST_KEPT_STEP:
            value = next((value for at, value in curve if at >= step), None)
            if value is None:
                break
            notes[f"{RUNG}{len(notes)}"] = value
            step *= factor
        return notes

    def _bracket(self, number: int) -> int:
        if not isinstance(self._pruner, HyperbandPruner):
            return 0
        trial = create_trial(state=TrialState.RUNNING)
        trial.number = number
        # Optuna shows the bracket in no public way, and a copy of its formula would be worse.
        return self._pruner._get_bracket_id(self._study, trial)  # pyright: ignore[reportPrivateUsage]
