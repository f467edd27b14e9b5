"""The one function that both shells call: from the best trials to the status of a fit.

Pure, and the same for the same basis: starts and resamples follow the experiment's seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from scaling_operator.api.fitted import FitStatus, Recommendation, ScalePrediction
from scaling_operator.api.names import ConditionType
from scaling_operator.api.scaling import Scaling, Target
from scaling_operator.core.edges import number_of
from scaling_operator.core.law import FitBasis, FitCondition, FitView
from scaling_operator.fitting.answer import prediction_of, recommendation_of, status_of
from scaling_operator.fitting.conditions import conditions_of
from scaling_operator.fitting.prepare import COUNTED, Prepared, prepare
from scaling_operator.fitting.targets import Unasked, question_of
from scaling_operator.fitting.trends import trends_of
from scaling_operator.fitting.untried import along, expected_runs
from scaling_operator.laws.fit import FitOptions, FitReport, fit_points
from scaling_operator.laws.optimum import Target as Question


@dataclass(frozen=True, slots=True)
class FitOutcome:
    """What the status says, and what a page is drawn from."""

    view: FitView
    report: FitReport
    prepared: Prepared


def fit(basis: FitBasis) -> FitOutcome:
    """Fit, answer the targets, predict the scales that no trial has had."""
    scaling = basis.spec.scaling or Scaling(parameter="size", sizes=(1,))
    prepared = prepare(basis)
    questions = {target: question_of(target, prepared) for target in scaling.targets}
    runs = expected_runs(basis, prepared)
    report = fit_points(prepared.points, _options(basis, scaling, prepared, (questions, runs)))
    recommendations: tuple[Recommendation, ...] = ()
    if report.conditions[0].status:
        recommendations = tuple(
            _recommend(target, questions[target], report, (prepared, scaling))
            for target in scaling.targets
        )
    view = FitView(
        basis=basis,
        status=status_of(
            report, prepared, trends_of(basis.points, basis.spec.search, prepared.size)
        ),
        conditions=conditions_of(basis, report, recommendations),
        recommendations=recommendations,
        predictions=_predictions(report, runs),
    )
    return FitOutcome(view, report, prepared)


def failed(basis: FitBasis, message: str) -> FitView:
    """Say that the fit broke: a fault of ours, not of the points."""
    condition = FitCondition(ConditionType.FIT_READY, "FitFailed", message, is_true=False)
    return FitView(basis, FitStatus(points=0), (condition,))


Questions = Mapping[Target, Question | Unasked]
Runs = Mapping[int, tuple[float, float | None]]


def _options(
    basis: FitBasis, scaling: Scaling, prepared: Prepared, asked: tuple[Questions, Runs]
) -> FitOptions:
    questions, runs = asked
    settings = scaling.fit
    return FitOptions(
        form=settings.form,
        optimum=settings.optimum,
        drop_worst=settings.drop_worst,
        bootstrap=settings.bootstrap,
        seed=basis.seed,
        unique_tokens=None if prepared.points.D is None else settings.unique_samples,
        flat_percent=settings.flat_percent,
        targets=tuple(dict.fromkeys(q for q in questions.values() if isinstance(q, Question))),
        predict=tuple(runs.values()),
    )


def _recommend(
    target: Target,
    question: Question | Unasked,
    report: FitReport,
    context: tuple[Prepared, Scaling],
) -> Recommendation:
    if isinstance(question, Unasked):
        return Recommendation(target=target, reason=question.reason, message=question.message)
    answer = next((each for each in report.recommendation if each.target == question), None)
    if answer is None:
        floor = "" if report.fitted is None else f" (E is {float(report.fitted.law.E[0]):.4g})"
        message = f"this law has no answer{floor}"
        return Recommendation(target=target, reason="OutOfReach", message=message)
    return recommendation_of(target, answer, _ladder_size(answer.parameters, *context))


def _ladder_size(parameters: float, prepared: Prepared, scaling: Scaling) -> float | None:
    """Read off the ladder which value of its parameter has this N."""
    if prepared.size != COUNTED:
        return parameters
    if scaling.parameter is None:
        return None
    numbers = np.array([number_of(point.scale) for point in prepared.used])
    return along(parameters, prepared.points.N, numbers) if (numbers > 0).all() else None


def _predictions(report: FitReport, runs: Runs) -> Mapping[int, ScalePrediction]:
    """Match predictions to their scales: they come in the order in which they were asked."""
    found: dict[int, ScalePrediction] = {}
    by_run = {(each.parameters, each.tokens): each for each in report.predictions}
    for index, run in runs.items():
        prediction = prediction_of(by_run[run], report) if run in by_run else None
        if prediction is not None:
            found[index] = prediction
    return found
