"""A ladder's answer in sentences: what to train, what the law is, what to beware of."""

from __future__ import annotations

from scaling_operator.api.names import FIT_CONDITIONS, ConditionType
from scaling_operator.core.fit_types import plan_of
from scaling_operator.law.results import SizeRecommendation
from scaling_operator.report.data import LawInput, ReportInput
from scaling_operator.report.formatting import number, quantity, short_names
from scaling_operator.report.law_words import (
    exponent_sentence,
    law_equation,
    meaning_of,
    recommendation_sentence,
)
from scaling_operator.report.machine_words import machine_sentence

_MOST_NOTES = 3


def recommendation_parts(report: ReportInput) -> tuple[str, str, str] | None:
    """Answer the first target: a sentence in three pieces, the size in the middle."""
    law = report.law
    if law is None or not law.fit.recommendation:
        return None
    first = law.fit.recommendation[0]
    sentence = _sentence(report, law, first)
    return sentence.partition(_strong(first))


def law_notes(report: ReportInput) -> tuple[str, ...]:
    """Say the further answers, the law, or why there is none, and what to beware of."""
    law = report.law
    if law is None or report.spec.scaling is None:
        return ()
    notes = [_sentence(report, law, each) for each in law.fit.recommendation[1 : 1 + _MOST_NOTES]]
    if law.fit.conditions[0].is_true:
        notes.append(f"The law is {law_equation(law.fit)}. {exponent_sentence(law.fit)}".strip())
    ready, *others = [each for each in report.status.conditions if each.type in FIT_CONDITIONS] or [
        None
    ]
    if ready is not None and ready.status != "True":
        notes.append(f"No law is fitted: {ready.message}.")
    for each in others:
        if each is not None and not (ready is not None and each.message in ready.message):
            meaning = meaning_of(ConditionType(each.type))
            notes.append(f"{each.type}: {meaning}; {each.message}.")
    return tuple(notes)


def _sentence(report: ReportInput, law: LawInput, each: SizeRecommendation) -> str:
    sentence = recommendation_sentence(each, law.fit.options.flat_percent)
    built_in = report.spec.trainer.built_in
    if built_in is not None and built_in.task != "language-modelling":
        sentence = sentence.replace(" tokens", " samples")
    stored = next(
        (r for r in report.status.recommendations if r.parameters == each.parameters), None
    )
    if stored is not None:
        sentence = f"{sentence} {machine_sentence(plan_of(stored))}".rstrip()
    scaling, size = report.spec.scaling, None if stored is None else stored.size
    if size is None or scaling is None or scaling.parameter is None:
        return sentence
    name = short_names([scaling.parameter])[scaling.parameter]
    strong = _strong(each)
    return sentence.replace(strong, f"{strong} at {name} {number(size, 3)}", 1)


def _strong(each: SizeRecommendation) -> str:
    return f"{quantity(each.parameters)} parameters"
