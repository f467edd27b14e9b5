"""The one function that both shells call: from the best trials to the status of a fit.

Pure, and the same for the same basis: starts and resamples follow the experiment's seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scaling_operator.api.fitted import Recommendation, ScalePrediction
from scaling_operator.api.scaling import Scaling, Target
from scaling_operator.core.fit_types import FitInput, FitView
from scaling_operator.law.cost_solver import CostSolver, StoredCost
from scaling_operator.law.experiment_conditions import conditions_of
from scaling_operator.law.experiment_curves import comparable_curves
from scaling_operator.law.experiment_points import ExperimentPoints, prepare
from scaling_operator.law.experiment_trends import trends_of
from scaling_operator.law.fit_points import FitOptions, FitReport, fit_points
from scaling_operator.law.fit_status import (
    LONGEST,
    prediction_of,
    recommendation_of,
    status_of,
    with_machine,
)
from scaling_operator.law.optimum import Question
from scaling_operator.law.questions import NoQuestion, question_of
from scaling_operator.law.run_planner import RunPlanner, ladder_size
from scaling_operator.law.unstarted import expected_runs
from scaling_operator.sizing.run_plan import RunPlan


@dataclass(frozen=True, slots=True)
class FitOutcome:
    """What the status says, and what a page is drawn from."""

    view: FitView
    report: FitReport
    prepared: ExperimentPoints


def fit(fit_input: FitInput) -> FitOutcome:
    """Fit, answer the targets, predict the scales that no trial has had."""
    scaling = fit_input.spec.scaling or Scaling(parameter="size", sizes=(1,))
    prepared = prepare(fit_input)
    asked = _asked(fit_input, prepared, scaling)
    options = _options(fit_input, scaling, prepared, asked)
    report = fit_points(prepared.points, options, comparable_curves(fit_input, prepared))
    recommendations: tuple[Recommendation, ...] = ()
    if report.conditions[0].status:
        recommendations = tuple(
            _recommend(target, report, (prepared, scaling), asked) for target in scaling.targets
        )
    view = FitView(
        fit_input=fit_input,
        status=status_of(
            report, prepared, trends_of(fit_input.points, fit_input.spec.search, prepared.size)
        ),
        conditions=conditions_of(fit_input, report, recommendations),
        recommendations=recommendations,
        predictions=_predictions(report, asked.runs),
    )
    return FitOutcome(view, report, prepared)


Questions = Mapping[Target, Question | NoQuestion]
Runs = Mapping[int, tuple[float, float | None]]
NO_POLICY = RunPlan(reason="NoPolicy", message="no ResourcePolicy is at hand")


@dataclass(frozen=True, slots=True)
class _Asked:
    """The questions, the runs to predict, and what plans and pays for runs, as far as known."""

    questions: Questions
    runs: Runs
    run_planner: RunPlanner | None
    cost_solver: CostSolver | StoredCost


def _asked(fit_input: FitInput, prepared: ExperimentPoints, scaling: Scaling) -> _Asked:
    questions = {target: question_of(target, prepared, fit_input) for target in scaling.targets}
    runs = expected_runs(fit_input, prepared)
    if fit_input.machines is None or not prepared.used:
        return _Asked(questions, runs, None, StoredCost(fit_input.bought))
    run_planner = RunPlanner(fit_input, prepared, scaling, fit_input.machines)
    return _Asked(questions, runs, run_planner, CostSolver(run_planner.plan))


def _options(
    fit_input: FitInput, scaling: Scaling, prepared: ExperimentPoints, asked: _Asked
) -> FitOptions:
    settings, questions = scaling.fit, asked.questions.values()
    return FitOptions(
        form=settings.form,
        optimum=settings.optimum,
        drop_worst=settings.drop_worst,
        bootstrap=settings.bootstrap,
        seed=fit_input.seed,
        unique_tokens=None if prepared.points.D is None else settings.unique_samples,
        flat_percent=settings.flat_percent,
        targets=tuple(dict.fromkeys(q for q in questions if isinstance(q, Question))),
        predict=tuple(asked.runs.values()),
        exchange=asked.cost_solver.flops_for,
    )


def _recommend(
    target: Target, report: FitReport, context: tuple[ExperimentPoints, Scaling], asked: _Asked
) -> Recommendation:
    question = asked.questions[target]
    if isinstance(question, NoQuestion):
        return Recommendation(target=target, reason=question.reason, message=question.message)
    answer = next((each for each in report.recommendation if each.target == question), None)
    if answer is None:
        missing = next(each for each in report.unanswered if each.target == question)
        message = missing.message[:LONGEST]
        return Recommendation(target=target, reason=missing.reason, message=message)
    found = recommendation_of(target, answer, ladder_size(answer.parameters, *context))
    if asked.run_planner is None:
        return with_machine(found, NO_POLICY)
    plan = asked.run_planner.plan(answer.parameters, answer.tokens, answer.flops)
    return with_machine(found, plan)


def _predictions(report: FitReport, runs: Runs) -> Mapping[int, ScalePrediction]:
    """Match predictions to their scales: they come in the order in which they were asked."""
    found: dict[int, ScalePrediction] = {}
    by_run = {(each.parameters, each.tokens): each for each in report.predictions}
    for index, run in runs.items():
        prediction = prediction_of(by_run[run], report) if run in by_run else None
        if prediction is not None:
            found[index] = prediction
    return found
