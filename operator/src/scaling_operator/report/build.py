"""From an experiment and its trials to the report page: what both shells need to draw it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    ValidationError,
    model_validator,
)

from scaling_operator.core.fit_input import fit_input_of
from scaling_operator.core.observed import ABSENT, Rules
from scaling_operator.law.fit_experiment import FitOutcome, fit
from scaling_operator.law.hyperparameter_trends import best_values, trend_line
from scaling_operator.report.data import Confusion, LawInput, ReportInput
from scaling_operator.report.page import render
from scaling_operator.runtime.record import ExperimentRecord
from scaling_operator.runtime.state import read_state
from scaling_operator.runtime.study_settings import settings_of, trials_per_scale
from scaling_operator.search.optuna_trials import record_of
from scaling_operator.search.study import Study
from scaling_trainer.reading import MissingFile, UnreadableFile, read_json

METRICS = "metrics.json"
MOST_BYTES = 64 * 1024 * 1024
MOST_CLASSES = 2000

log = logging.getLogger(__name__)


def draw(
    record: ExperimentRecord, best: Path | None = None, fitted: FitOutcome | None = None
) -> str:
    """Draw report.html; `best` is the folder that the best trial was exported to, if it was.

    A ladder is fitted anew, unless `fitted` is its fit already.
    """
    confusion, removed = _evaluation(best)
    return render(
        ReportInput(
            name=record.name,
            spec=record.spec,
            status=record.status,
            trials=record.trials,
            importances=_importances(record),
            confusion=confusion,
            removed=removed,
            law=_law_input(fitted or fit_of(record)),
        )
    )


def _law_input(fitted: FitOutcome | None) -> LawInput | None:
    """Collect what a report draws of a fit."""
    if fitted is None:
        return None
    fit_input, prepared = fitted.view.fit_input, fitted.prepared
    values = {
        name: best_values(fit_input.points, name, prepared.size)
        for name in fitted.view.status.hyperparameters
    }
    lines = {name: trend_line(bests) for name, bests in values.items()}
    return LawInput(
        fit=fitted.report,
        measured=prepared.points,
        best_values=values,
        lines={name: line for name, line in lines.items() if line is not None},
    )


def fit_of(record: ExperimentRecord) -> FitOutcome | None:
    """Fit an experiment's trials; None without a ladder or without a value.

    The FLOPs that money buys come from the status: the policy with the prices is not at hand.
    """
    rules = Rules(max_trials=trials_per_scale(record.spec))
    state = read_state(record.spec, rules, record.status, record.trials)
    fit_input = fit_input_of(state.observe(lambda _trial, _key: ABSENT, (), 0.0))
    if fit_input is None or not fit_input.points:
        return None
    bought = {
        recommendation.target.cost: recommendation.flops
        for recommendation in record.status.recommendations
        if recommendation.target.cost is not None and recommendation.flops is not None
    }
    return fit(replace(fit_input, bought=bought))


def _importances(record: ExperimentRecord) -> Mapping[int, Mapping[str, float]]:
    """Work out the parameters' importances for each scale that has trials."""
    return {scale: study.importances() for scale, study in studies_of(record).items()}


def studies_of(record: ExperimentRecord) -> Mapping[int, Study]:
    """Rebuild the study of each scale that has trials."""
    spec = record.spec
    by_scale: dict[int, Study] = {}
    for trial in record.trials:
        scale = trial.spec.scale
        if scale not in by_scale:
            by_scale[scale] = Study(settings_of(record.name, record.uid, spec, scale, ranges={}))
        by_scale[scale].add(record_of(trial, spec.search))
    return by_scale


def _evaluation(best: Path | None) -> tuple[Confusion | None, Mapping[str, int]]:
    """Read the evaluation beside the best trial's weights; nothing where it cannot be used."""
    if best is None:
        return None, {}
    path = best / METRICS
    try:
        evaluation = _Evaluation.model_validate(
            read_json(path, MOST_BYTES, below=best.parent), strict=False
        )
    except MissingFile:
        return None, {}
    except (UnreadableFile, ValidationError) as error:
        reason = error if isinstance(error, UnreadableFile) else f"{path}: is no evaluation"
        log.warning("%s; left out of the report", reason)
        return None, {}
    counts = evaluation.confusion
    return Confusion(evaluation.classes, counts) if counts else None, evaluation.removed


class _Evaluation(BaseModel):
    """What the report shows of `best/metrics.json`: counts by true and by predicted class."""

    model_config = ConfigDict(frozen=True)

    classes: Annotated[tuple[str, ...], Field(max_length=MOST_CLASSES)] = ()
    confusion: tuple[tuple[NonNegativeInt, ...], ...] = ()
    removed: Annotated[dict[str, NonNegativeInt], Field(max_length=MOST_CLASSES)] = {}

    @model_validator(mode="after")
    def _is_square(self) -> Self:
        sides = {len(self.confusion), *map(len, self.confusion)} - {0}
        if sides - {len(self.classes)}:
            message = "confusion has not one row and column for each of the classes"
            raise ValueError(message)
        return self
