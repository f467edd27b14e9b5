"""The one function that both shells call: from the best trials to the status of a fit.

Pure: the same input gives the same answer, because the experiment's seed fixes random starts and
resamples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scaling_operator.api.scaling import Scaling, Target
from scaling_operator.api.status_fit import (
    FitStatus,
    LeftOut,
    Recommendation,
    ScalePrediction,
    Trend,
    finite,
)
from scaling_operator.core.fit_types import FitInput, FitView, with_machine
from scaling_operator.law.experiment_points import (
    COUNTED,
    ExperimentPoints,
    comparable_curves,
    expected_runs,
    prepare,
)
from scaling_operator.law.fit_conditions import conditions_of
from scaling_operator.law.fit_points import fit_points
from scaling_operator.law.hyperparameter_trends import trends_of
from scaling_operator.law.published_results import (
    prediction_of,
    recommendation_of,
    status_of,
)
from scaling_operator.law.recommended_runs import CostSolver, RunPlanner, StoredCost, ladder_size
from scaling_operator.law.results import FitOptions, FitReport, Unanswered
from scaling_operator.sizing.run_plan import RunPlan
from scaling_trainer.foreign_text import MAX_MESSAGE

Runs = Mapping[int, tuple[float, float | None]]
NO_POLICY = RunPlan(reason="NoPolicy", message="no ResourcePolicy is at hand")


@dataclass(frozen=True, slots=True)
class FitOutcome:
    """The view that the status shows, with the report and points from which a page is drawn."""

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
    if report.conditions[0].is_true:
        recommendations = tuple(
            _recommend(target, report, (prepared, scaling), asked) for target in scaling.targets
        )
    trends = trends_of(fit_input.points, fit_input.spec.search, prepared.size)
    view = FitView(
        fit_input=fit_input,
        status=_status(report, prepared, trends),
        conditions=conditions_of(fit_input, report, recommendations),
        recommendations=recommendations,
        predictions=_predictions(report, asked.runs),
    )
    return FitOutcome(view, report, prepared)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the law is asked: for each target of the file a target that it can answer, or why not.

    Beside the targets: the runs to predict, and the planners of machines and costs, where known.
    """

    targets: Mapping[Target, Target | Unanswered]
    runs: Runs
    run_planner: RunPlanner | None
    cost_solver: CostSolver | StoredCost


def _asked(fit_input: FitInput, prepared: ExperimentPoints, scaling: Scaling) -> _Asked:
    targets = {target: _answerable(target, prepared, fit_input) for target in scaling.targets}
    runs = expected_runs(fit_input, prepared)
    if fit_input.machines is None or not prepared.used:
        return _Asked(targets, runs, None, StoredCost(fit_input.bought))
    run_planner = RunPlanner(fit_input, prepared, scaling, fit_input.machines)
    return _Asked(targets, runs, run_planner, CostSolver(run_planner.plan))


def _answerable(
    target: Target, prepared: ExperimentPoints, fit_input: FitInput
) -> Target | Unanswered:
    """Return the target with the loss it stands for, or say why the target cannot be asked."""
    needs_flops = target.flops is not None or target.cost is not None or target.served > 0
    if needs_flops and prepared.size != COUNTED and prepared.points.C is None:
        message = (
            f"the trainer counts neither parameters nor FLOPs, and {prepared.size} says nothing of "
            "compute: report modelParameters"
        )
        return Unanswered(target, "UnknownFlops", message)
    is_priced = fit_input.machines is not None or target.cost in fit_input.bought
    if target.cost is not None and not is_priced:
        message = "prices and speeds of machines come from a ResourcePolicy; none is at hand"
        return Unanswered(target, "NoPrices", message)
    if target.kind != "loss" or target.loss is not None:
        return target
    # Tokens to serve alone ask for the best loss that was seen, at the least cost.
    best = float(prepared.points.L.min()) if len(prepared.points) else 1.0
    return target.model_copy(update={"loss": best})


def _options(
    fit_input: FitInput, scaling: Scaling, prepared: ExperimentPoints, asked: _Asked
) -> FitOptions:
    settings, targets = scaling.fit, asked.targets.values()
    return FitOptions(
        form=settings.form,
        optimum=settings.optimum,
        drop_worst=settings.drop_worst,
        bootstrap=settings.bootstrap,
        seed=fit_input.seed,
        unique_tokens=None if prepared.points.D is None else settings.unique_samples,
        flat_percent=settings.flat_percent,
        targets=tuple(dict.fromkeys(target for target in targets if isinstance(target, Target))),
        predict=tuple(asked.runs.values()),
        exchange=asked.cost_solver.flops_for,
    )


def _recommend(
    target: Target, report: FitReport, context: tuple[ExperimentPoints, Scaling], asked: _Asked
) -> Recommendation:
    question = asked.targets[target]
    if isinstance(question, Unanswered):
        return _without_answer(target, question)
    answer = next((a for a in report.recommendation if a.target == question), None)
    if answer is None:
        return _without_answer(target, next(u for u in report.unanswered if u.target == question))
    size = finite(ladder_size(answer.parameters, *context))
    recommendation = recommendation_of(answer).model_copy(update={"target": target, "size": size})
    if asked.run_planner is None:
        return with_machine(recommendation, NO_POLICY)
    plan = asked.run_planner.plan(answer.parameters, answer.tokens, answer.flops)
    return with_machine(recommendation, plan)


def _without_answer(target: Target, why: Unanswered) -> Recommendation:
    return Recommendation(target=target, reason=why.reason, message=why.message[:MAX_MESSAGE])


def _status(
    report: FitReport, prepared: ExperimentPoints, trends: Mapping[str, Trend]
) -> FitStatus:
    """Write what was fitted; without a fit, how many points there are and which are left out."""
    worst = tuple(
        LeftOut(scale=prepared.used[row].scale.index, reason="DropWorst") for row in report.dropped
    )
    return status_of(report).model_copy(
        update={
            "size": prepared.size,
            "left_out": (*prepared.left_out, *worst),
            "hyperparameters": dict(trends),
        }
    )


def _predictions(report: FitReport, runs: Runs) -> Mapping[int, ScalePrediction]:
    """Match the predictions to their scales by (N, D)."""
    by_scale: dict[int, ScalePrediction] = {}
    by_run = {
        (prediction.parameters, prediction.tokens): prediction for prediction in report.predictions
    }
    for index, run in runs.items():
        prediction = prediction_of(by_run[run], report) if run in by_run else None
        if prediction is not None:
            by_scale[index] = prediction
    return by_scale
