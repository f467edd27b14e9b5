"""The fit of an experiment that is read back, and what its report draws."""

from __future__ import annotations

from dataclasses import replace

from scaling_operator.core.fit_input import fit_input_of
from scaling_operator.core.observed import ABSENT, Rules
from scaling_operator.law.fit_experiment import FitOutcome, fit
from scaling_operator.law.hyperparameter_trends import best_values, trend_line
from scaling_operator.report.data import BestValue, LawInput
from scaling_operator.runtime.record import ExperimentRecord
from scaling_operator.runtime.rules import trials_per_scale
from scaling_operator.runtime.state import read_state


def fit_of(record: ExperimentRecord) -> FitOutcome | None:
    """Fit an experiment's trials; None without a ladder or without a value.

    What money buys is taken from the status: the policy that said so is not at hand.
    """
    rules = Rules(max_trials=trials_per_scale(record.spec))
    state = read_state(record.spec, rules, record.status, record.trials)
    fit_input = fit_input_of(state.observe(lambda _trial, _key: ABSENT, (), 0.0))
    if fit_input is None or not fit_input.points:
        return None
    bought = {
        each.target.cost: each.flops
        for each in record.status.recommendations
        if each.target.cost is not None and each.flops is not None
    }
    return fit(replace(fit_input, bought=bought))


def law_input(fitted: FitOutcome | None) -> LawInput | None:
    """Take from a fit what a report draws."""
    if fitted is None:
        return None
    fit_input, prepared = fitted.view.fit_input, fitted.prepared
    values = {
        name: best_values(fit_input.points, name, prepared.size)
        for name in fitted.view.status.hyperparameters
    }
    lines = {name: trend_line(each) for name, each in values.items()}
    return LawInput(
        fit=fitted.report,
        given=prepared.points,
        best_values={
            name: tuple(BestValue(v.parameters, v.value, v.trial, v.at_edge) for v in each)
            for name, each in values.items()
        },
        lines={name: each for name, each in lines.items() if each is not None},
    )
