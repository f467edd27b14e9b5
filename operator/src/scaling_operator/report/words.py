"""A fit and the run it recommends, in words: sentences and texts that page and terminal share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import assert_never

import numpy as np

from scaling_operator.api.names import ConditionType
from scaling_operator.core.fit_types import FitCondition
from scaling_operator.law.bootstrap import Draws, Interval
from scaling_operator.law.envelope import Envelope
from scaling_operator.law.holdout import HoldOut
from scaling_operator.law.parametric_fit import NotFitted
from scaling_operator.law.points import Array
from scaling_operator.law.results import FitReport, SizeRecommendation
from scaling_operator.report.formatting import NOTHING, duration, listing, number, plural, quantity
from scaling_operator.sizing.run_plan import RunPlan

_MEANING: Mapping[str, str] = {
    ConditionType.FIT_READY: "there is no fit",
    ConditionType.INVALID_POINTS: "these points cannot be fitted",
    ConditionType.NOT_ENOUGH_POINTS: "these points do not determine a law",
    ConditionType.EDGE_OPTIMUM: "the best size is an end of what was tried",
    "HyperparameterEdge": "a search ended at an end of its range",
    ConditionType.FAR_EXTRAPOLATION: "a question lies far beyond the points",
    ConditionType.METHODS_DISAGREE: "the methods disagree; act on the range, not on the point",
    ConditionType.NOISE_TOO_HIGH: "the intervals are too wide to act on",
    ConditionType.TARGET_UNANSWERED: "a question has no answer",
}
LESS_THAN_A_SECOND = 1.0


def condition_sentence(condition: FitCondition) -> str:
    """Say what a condition means, then what the library found."""
    return f"{meaning_of(condition.type)}: {condition.message}"


def meaning_of(kind: str) -> str:
    """Say what a condition of this type means, here and in an experiment's status."""
    return _MEANING[kind]


def law_equation(report: FitReport) -> str:
    """Write the law with its coefficients."""
    if report.fitted is None:
        return ""
    law = report.fitted.law
    left, error = ("L(N)" if law.one_variable else "L(N, D)"), report.points.quantity == "error"
    terms = f"{number(float(law.E[0]))} + {_term(law.A, law.alpha, 'N')}"
    if not law.one_variable:
        terms += f" + {_term(law.B, law.beta, 'D')}"
    return f"{left.replace('L', '1 - score') if error else left} = {terms}"


def exponent_sentence(report: FitReport) -> str:
    """Say how the best size and the best amount of data grow with compute."""
    if report.fitted is not None and not report.fitted.law.one_variable:
        a, spread = float(report.fitted.law.a[0]), report.intervals.get("a", {}).get(95)
    elif report.isoflop is not None and report.isoflop.power is not None:
        a, spread = float(report.isoflop.power.a[0]), report.isoflop.intervals.get(95)
    elif isinstance(report.envelope, Envelope):
        a, spread = report.envelope.a, None
    else:
        return ""
    doubt = "" if spread is None else f" (95 %: {interval_text(spread, exponent=True)})"
    return (
        f"The best size grows as C^{a:.3f}{doubt}: ten times the compute asks for "
        f"{10**a:.3g} times the parameters and {10 ** (1 - a):.3g} times the tokens."
    )


def coupling_sentence(report: FitReport) -> str:
    """Say why A and B mean nothing alone, with the correlations that were measured."""
    if report.fitted is None:
        return ""
    draws, both = report.draws, not report.fitted.law.one_variable
    names = "A and B say nothing without the exponents" if both else "A says nothing without alpha"
    if draws is None:
        return f"{names}: a fit trades one for the other."
    parts = [f"ln A with alpha {_correlation(draws.law.ln_a, draws.law.alpha)}"]
    if both:
        parts.append(f"ln B with beta {_correlation(draws.law.ln_b, draws.law.beta)}")
    return f"{names}: over the resamples they move together (correlation of {', '.join(parts)})."


def resample_sentence(draws: Draws | None) -> str:
    """Say what the intervals come from."""
    if draws is None:
        return "No intervals were asked for."
    match draws.resample:
        case "pairs":
            drawn = "single runs"
        case "stratified":
            drawn = "runs within their budget"
        case "cluster":
            drawn = "clusters of runs"
        case _:
            assert_never(draws.resample)
    failed = f", of which {draws.failed} have no sound law" if draws.failed else ""
    return (
        f"Intervals are percentiles of {plural(draws.count, 'resample')} of {drawn}{failed}; "
        f"seed {draws.seed}."
    )


def hold_out_sentence(report: FitReport) -> str:
    """Say how well the small runs predict the large ones, beside the two baselines."""
    score = report.hold_out
    match score:
        case None:
            return ""
        case NotFitted():
            return f"No hold-out: {score.message}."
        case HoldOut():
            what = "parameters" if report.points.C is None else "FLOPs"
            return (
                f"Hold-out: fitted to the {score.below} runs up to {number(score.cut, 3)} {what}, "
                f"the law misses the loss of the {score.above} larger ones by "
                f"{100 * score.error:.2f} %; a straight line in ln C by "
                f"{100 * score.line_error:.2f} %, the nearest run by "
                f"{100 * score.nearest_error:.2f} %."
            ).replace("ln C", "ln N" if report.points.C is None else "ln C")
        case _:
            assert_never(score)


def recommendation_sentence(answer: SizeRecommendation, flat_percent: float) -> str:
    """Answer a target in one sentence: the size, its doubt, the data, the loss, the flat range."""
    if answer.target.kind == "parameters":
        return _sentence_of_size(answer)
    parts = [f"For {target_text(answer)} train {quantity(answer.parameters)} parameters"]
    spread = answer.intervals.get("parameters", {}).get(95)
    if size_text(spread) != NOTHING:
        parts.append(f" (95 %: {size_text(spread)})")
    if answer.tokens is not None:
        parts.append(f" on {quantity(answer.tokens)} tokens")
    if answer.target.kind == "loss" and answer.flops is not None:
        parts.append(f", {number(answer.flops, 3)} FLOPs")
    elif answer.loss is not None:
        parts.append(f" and expect a loss of {number(answer.loss)}")
    if answer.flat_range is not None:
        parts.append(
            f"; sizes of {interval_text(answer.flat_range, prefixed=True)} come within "
            f"{flat_percent:g} % of the best loss"
        )
    if answer.range is not None:
        parts.append(
            f". The methods disagree: act on the range {interval_text(answer.range, prefixed=True)}"
        )
    return "".join(parts) + "."


def _sentence_of_size(answer: SizeRecommendation) -> str:
    """Say which loss to expect of a size that the target names."""
    data = "" if answer.tokens is None else f" on {quantity(answer.tokens)} tokens"
    doubt = answer.intervals.get("loss", {}).get(95)
    spread = "" if doubt is None else f" (95 %: {interval_text(doubt)})"
    loss = NOTHING if answer.loss is None else number(answer.loss)
    return f"With {quantity(answer.parameters)} parameters{data} expect a loss of {loss}{spread}."


def target_text(answer: SizeRecommendation) -> str:
    """Name a target: 1e21 FLOPs, 7 G parameters, a loss of 2.1."""
    served = (
        f" and {quantity(answer.target.served)} tokens to serve" if answer.target.served else ""
    )
    match answer.target.kind:
        case "flops":
            return f"{number(answer.target.value, 3)} FLOPs{served}"
        case "parameters":
            return f"{quantity(answer.target.value)} parameters"
        case "loss":
            return f"a loss of {number(answer.target.value)}{served}"
        case "cost":
            return f"a cost of {number(answer.target.value)}"
        case _:
            assert_never(answer.target.kind)


def dropped_sentence(report: FitReport) -> str:
    """Say which runs the declared rules left out; nothing where they left out none."""
    if not report.dropped:
        return ""
    rules: list[str] = []
    if report.options.drop_worst:
        rules.append(f"loss at or above the {_ordinal(report.options.drop_worst)} largest")
    if report.options.duplicates == "best":
        rules.append("not the best run of its (N, D)")
    lines = ", ".join(str(row) for row in report.dropped[:10])
    more = f" and {len(report.dropped) - 10} more" if len(report.dropped) > 10 else ""  # noqa: PLR2004
    return f"Left out by rule ({'; '.join(rules)}): lines {lines}{more}."


def size_text(interval: Interval | None) -> str:
    """Write an interval of sizes; a dash where a target, or a ladder's line, decides the size."""
    decided = interval is None or interval[0] == interval[1]
    return NOTHING if decided else interval_text(interval, prefixed=True)


def interval_text(
    interval: Interval | None, *, prefixed: bool = False, exponent: bool = False
) -> str:
    """Write an interval from its low to its high end; a dash where there is none."""
    if interval is None:
        return NOTHING
    ends = (_end(end, prefixed=prefixed, exponent=exponent) for end in interval)
    return " to ".join(ends)


def _end(value: float, *, prefixed: bool, exponent: bool) -> str:
    if not math.isfinite(value):
        return "unbounded"
    if exponent:
        return f"{value:.3f}"
    return quantity(value) if prefixed else number(value)


def _term(coefficient: Array, exponent: Array, variable: str) -> str:
    return f"{number(float(coefficient[0]))} / {variable}^{float(exponent[0]):.4f}"


def _correlation(first: Array, second: Array) -> str:
    is_finite = np.isfinite(first) & np.isfinite(second)
    if is_finite.sum() < 3 or not (first[is_finite].std() and second[is_finite].std()):  # noqa: PLR2004
        return "unknown"
    return f"{float(np.corrcoef(first[is_finite], second[is_finite])[0, 1]):.4f}"


def _ordinal(count: int) -> str:
    tens = 10 < count % 100 < 14  # noqa: PLR2004 - 11th, 12th, 13th
    return f"{count}{'th' if tens else {1: 'st', 2: 'nd', 3: 'rd'}.get(count % 10, 'th')}"


def run_words(plan: RunPlan) -> tuple[str, ...]:
    """Write what is known: `8 x h100`, `6 h 2 min`, `48.3 GPU hours`, `a cost of 193`."""
    words: list[str] = []
    if plan.shape is not None:
        words.append(f"{plan.count} x {plan.shape}" if plan.count else plan.shape)
    if plan.hours is not None:
        words.append(duration(max(plan.hours * 3600, LESS_THAN_A_SECOND)))
    if plan.gpu_hours:
        words.append(f"{number(plan.gpu_hours, 3)} GPU hours")
    if plan.cost is not None:
        words.append(f"a cost of {number(plan.cost, 3)}")
    return tuple(words)


def machine_sentence(plan: RunPlan) -> str:
    """Say what a run takes, and what is unknown; nothing where no policy was given."""
    if plan.reason == "NoPolicy":
        return ""
    words = run_words(plan)
    if not words:
        return f"What it takes is unknown: {plan.message}." if plan.message else ""
    unknown = f"; {plan.message}" if plan.message else ""
    return f"Such a run takes {listing(words)}{unknown}."
