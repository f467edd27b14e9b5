"""From points to a report: the whole procedure, read from top to bottom.

Check the points, apply the declared rules that leave points out, choose the form, check that there
is enough for it, fit, resample, take the second opinion, answer the questions, judge. Where a step
refuses, the report holds conditions and no number. Pure: the same points and options give the same
report.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from scaling_operator.api.names import ConditionType
from scaling_operator.core.fit_types import FitCondition
from scaling_operator.law.bootstrap import Draws, Intervals, bootstrap_law, intervals
from scaling_operator.law.envelope import Curves, Envelope, fit_envelope
from scaling_operator.law.fit_conditions import (
    edge_optima,
    far_extrapolation,
    fit_ready,
    methods_disagree,
    noise_too_high,
)
from scaling_operator.law.holdout import hold_out
from scaling_operator.law.isoflop import IsoFlop, fit_isoflop
from scaling_operator.law.optimum import with_effective_tokens
from scaling_operator.law.parametric_fit import Fitted, NotFitted, fit_law
from scaling_operator.law.points import (
    Points,
    RunPath,
    drop_worst,
    keep_best,
    run_path_of,
    seed_noise,
)
from scaling_operator.law.recommend import Basis, predict, recommend, with_range
from scaling_operator.law.refusals import chosen_form, invalid_points, missing_points
from scaling_operator.law.results import (
    FitOptions,
    FitReport,
    Prediction,
    SizeRecommendation,
    Unanswered,
)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """Points ready to be fitted, the declared omissions, and a noise measured on repeats."""

    points: Points
    path: RunPath
    dropped: tuple[int, ...]
    noise: float | None


def fit_points(
    points: Points, options: FitOptions, curves: Curves | NotFitted | None = None
) -> FitReport:
    """Fit, resample, cross-check and answer. Raises ValueError for options that make no sense.

    `curves` are the learning curves of the runs, or say why there are none to compare.
    """
    prepared = _prepared(points, options)
    if isinstance(prepared, tuple):
        return _refused(_Prepared(points, RunPath(), (), None), options, prepared)
    form = chosen_form(prepared.points) if options.form == "auto" else options.form
    refusals = missing_points(prepared.points, form)
    if options.method == "isoflop" and prepared.points.group is None:
        message = "IsoFLOP needs the compute budget of each run"
        refusals += (FitCondition(ConditionType.NOT_ENOUGH_POINTS, "NoBudgets", message),)
    if refusals:
        return _refused(prepared, options, refusals)
    isoflop = _isoflop(prepared.points, options)
    edges = () if isoflop is None else edge_optima(isoflop.optima)
    if isoflop is not None and isoflop.power is None and options.method != "parametric":
        return _refused(prepared, options, edges)
    if options.method == "isoflop":
        basis = _basis(prepared, options, (None, isoflop), curves)
        return _answered(prepared, basis, edges)
    fitted = fit_law(
        prepared.points, form, seed=options.seed, noise=prepared.noise, start=options.start
    )
    if isinstance(fitted, NotFitted):
        refusal = FitCondition(ConditionType.NOT_ENOUGH_POINTS, fitted.reason, fitted.message)
        return _refused(prepared, options, (*edges, refusal))
    return _answered(prepared, _basis(prepared, options, (fitted, isoflop), curves), edges)


def _prepared(points: Points, options: FitOptions) -> _Prepared | tuple[FitCondition, ...]:
    """Apply the declared rules to checked points, or say why the points are refused."""
    repeated: tuple[int, ...] = ()
    noise = options.noise
    refusals = invalid_points(points)
    if options.duplicates == "best" and all(r.reason == "DuplicatePoints" for r in refusals):
        noise = seed_noise(points) if noise is None else noise
        points, repeated = keep_best(points)
        refusals = ()
    if refusals:
        return refusals
    points, dropped = drop_worst(points, options.drop_worst)
    # Compute follows from the tokens seen, not from the effective tokens D'.
    path = RunPath() if not len(points) else run_path_of(points)
    if options.unique_tokens is not None:
        points = with_effective_tokens(points, options.unique_tokens)
    return _Prepared(points, path, tuple(sorted(repeated + dropped)), noise)


def _isoflop(points: Points, options: FitOptions) -> IsoFlop | None:
    """Fit IsoFLOP; for the parametric method its minima only show whether one is on an edge."""
    if points.group is None:
        return None
    count = 0 if options.method == "parametric" else options.bootstrap
    return fit_isoflop(points, interpolation=options.optimum, count=count, seed=options.seed)


def _basis(
    prepared: _Prepared,
    options: FitOptions,
    fits: tuple[Fitted | None, IsoFlop | None],
    curves: Curves | NotFitted | None,
) -> Basis:
    fitted, isoflop = fits
    draws = None
    if fitted is not None and options.bootstrap:
        draws = bootstrap_law(
            prepared.points,
            fitted,
            count=options.bootstrap,
            seed=options.seed,
            resample=options.resample,
        )
    shown = None if options.method == "parametric" else isoflop
    basis = Basis(options, prepared.path, fitted, draws, shown)
    if not isinstance(curves, Curves):
        return replace(basis, envelope=curves)
    envelope = fit_envelope(curves.curves, curves.course)
    return replace(basis, envelope=envelope, curves=curves)


def _answered(prepared: _Prepared, basis: Basis, edges: tuple[FitCondition, ...]) -> FitReport:
    options, fitted = basis.options, basis.fitted
    answers = [recommend(basis, target) for target in options.targets]
    recommendation = tuple(answer for answer in answers if isinstance(answer, SizeRecommendation))
    unanswered = tuple(answer for answer in answers if isinstance(answer, Unanswered))
    losses = [predict(basis, size, tokens) for size, tokens in options.predict]
    predictions = tuple(prediction for prediction in losses if prediction is not None)
    disagree = _disagreement(basis, recommendation)
    if disagree:
        recommendation = tuple(with_range(answer, basis.isoflop) for answer in recommendation)
    conditions = (
        fit_ready(()),
        *edges,
        *_unanswered(unanswered, len(losses) - len(predictions)),
        *_far(prepared.points, basis, (recommendation, predictions)),
        *disagree,
        *_noise(basis.draws, recommendation, predictions),
    )
    return FitReport(
        options=options,
        points=prepared.points,
        dropped=prepared.dropped,
        conditions=conditions,
        form=None if fitted is None else fitted.form,
        path=basis.path,
        fitted=fitted,
        draws=basis.draws,
        intervals=_coefficient_intervals(basis.draws),
        isoflop=basis.isoflop,
        envelope=basis.envelope,
        curves=basis.curves,
        recommendation=recommendation,
        unanswered=unanswered,
        predictions=predictions,
        hold_out=None
        if fitted is None
        else hold_out(prepared.points, fitted.form, noise=prepared.noise),
    )


def _refused(
    prepared: _Prepared, options: FitOptions, refusals: tuple[FitCondition, ...]
) -> FitReport:
    return FitReport(
        options=options,
        points=prepared.points,
        dropped=prepared.dropped,
        conditions=(fit_ready(refusals), *refusals),
        path=prepared.path,
        intervals={},
    )


def _coefficient_intervals(draws: Draws | None) -> dict[str, Intervals]:
    if draws is None:
        return {}
    law = draws.law
    columns = {"E": law.E, "A": law.A, "alpha": law.alpha}
    if not law.one_variable:
        columns |= {"B": law.B, "beta": law.beta, "a": law.a}
    return {name: intervals(column) for name, column in columns.items()}


def _disagreement(
    basis: Basis, recommendation: tuple[SizeRecommendation, ...]
) -> tuple[FitCondition, ...]:
    fitted, isoflop = basis.fitted, basis.isoflop
    exponents: dict[str, float] = {}
    if fitted is not None and not fitted.law.one_variable:
        exponents["the parametric fit"] = float(fitted.law.a[0])
    if isoflop is not None and isoflop.a is not None:
        exponents["IsoFLOP"] = isoflop.a
    if isinstance(basis.envelope, Envelope):
        exponents["the envelope of curves"] = basis.envelope.a
    sizes = tuple(
        (answer.parameters, answer.isoflop_parameters)
        for answer in recommendation
        if answer.isoflop_parameters is not None and "the parametric fit" in exponents
    )
    return methods_disagree(exponents, sizes, {} if isoflop is None else isoflop.intervals)


def _unanswered(missing: tuple[Unanswered, ...], predictions: int) -> tuple[FitCondition, ...]:
    parts = [
        f"{question.target.kind} {question.target.value:g}: {question.message}"
        for question in missing
    ]
    if predictions:
        what = "prediction needs" if predictions == 1 else "predictions need"
        parts.append(f"{predictions} {what} a parametric fit and tokens")
    if not parts:
        return ()
    reason = missing[0].reason if missing else "OutOfReach"
    return (FitCondition(ConditionType.TARGET_UNANSWERED, reason, "; ".join(parts)),)


def _far(
    points: Points,
    basis: Basis,
    asked: tuple[tuple[SizeRecommendation, ...], tuple[Prediction, ...]],
) -> tuple[FitCondition, ...]:
    """Return only the condition of the farthest question: one condition of a type."""
    recommendation, predictions = asked
    questions = [(answer.flops, answer.parameters) for answer in recommendation]
    factor = basis.path.flops_factor
    questions += [
        (None if p.tokens is None else factor * p.parameters * p.tokens, p.parameters)
        for p in predictions
    ]
    questions.sort(key=lambda question: (question[0] or 0.0, question[1]), reverse=True)
    conditions = (far_extrapolation(points, flops, size) for flops, size in questions)
    return tuple(condition for condition in conditions if condition is not None)[:1]


def _noise(
    draws: Draws | None,
    recommendation: tuple[SizeRecommendation, ...],
    predictions: tuple[Prediction, ...],
) -> tuple[FitCondition, ...]:
    if draws is None:
        return ()
    sizes = tuple(answer.intervals.get("parameters", {}) for answer in recommendation)
    losses = tuple(answer.intervals.get("loss", {}) for answer in recommendation)
    return noise_too_high(
        draws, sizes, losses + tuple(prediction.intervals for prediction in predictions)
    )
