"""The answer in a sentence, and the key figures below it.

It says what is true, no more: a best value with the point that gave it, or that there is none and
why.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from scaling_operator.api.experiment import Objective
from scaling_operator.api.names import FIT_CONDITIONS, ConditionType, Phase, TrialState
from scaling_operator.api.status import BestTrial, Condition
from scaling_operator.core.fit_types import plan_of
from scaling_operator.law.results import SizeRecommendation
from scaling_operator.report.data import (
    LawInput,
    ReportInput,
    in_state,
    scale_indices,
    scale_label,
    sign,
)
from scaling_operator.report.formatting import (
    duration,
    listing,
    number,
    plural,
    quantity,
    scalar,
    short_names,
    shortened,
)
from scaling_operator.report.words import (
    exponent_sentence,
    law_equation,
    machine_sentence,
    meaning_of,
    recommendation_sentence,
)

_MOST_NOTES = 3


@dataclass(frozen=True, slots=True)
class Headline:
    """A sentence in three pieces, the middle one emphasised; further sentences below."""

    before: str
    strong: str
    after: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KeyFigure:
    """A figure of the strip: what it is, the value, a line of context."""

    label: str
    value: str
    context: str


def headline(report: ReportInput) -> Headline:
    """Answer the experiment's question in a sentence."""
    data = tuple(f"Data: {note}." for note in report.status.data_notes)
    progress = (*law_notes(report), *_progress(report), *data)
    parts = recommendation_parts(report)
    if parts is not None and report.status.best is not None:
        best = _of_best(report, report.status.best, progress)
        return Headline(*parts, (f"{best.before}{best.strong}{best.after}", *best.notes))
    if report.status.best is not None:
        return _of_best(report, report.status.best, progress)
    if report.status.front:
        return _of_front(report, progress)
    return _of_nothing(report, progress)


def key_figures(report: ReportInput) -> tuple[KeyFigure, ...]:
    """Collect the strip of figures; those that are unknown are left out."""
    figures = (_trials(report), _best(report), _test(report), _size(report), _time(report))
    return tuple(figure for figure in figures if figure is not None)


def scores_on_test(best: BestTrial) -> Mapping[str, float]:
    """Test metrics by their name without the split."""
    scores = best.test_metrics or {}
    return {name.removeprefix("test_").removeprefix("val_"): v for name, v in scores.items()}


def _of_best(report: ReportInput, best: BestTrial, progress: tuple[str, ...]) -> Headline:
    objective = report.spec.all_objectives[0]
    searched = {name: best.parameters[name] for name in _searched(report, best)}
    names = short_names(searched)
    where = listing([f"{names[name]} {scalar(value)}" for name, value in searched.items()])
    at = f" at {scale_label(report, best.scale)}" if report.spec.scaling else ""
    return Headline(
        before=f"The best {objective.metric} {'so far ' if _unfinished(report) else ''}is ",
        strong=number(best.values[0]),
        after=f"{at}{', with ' if where else ''}{where}.",
        notes=(*_goal(report, objective, best.values[0]), *_test_sentence(report, best), *progress),
    )


def _searched(report: ReportInput, best: BestTrial) -> list[str]:
    """List the searched parameters of a trial, the most important four where there are many."""
    few = 4
    weights = report.importances.get(best.scale, {})
    names = [name for name in report.spec.search.parameters if name in best.parameters]
    if len(names) <= few:
        return names
    return sorted(names, key=lambda name: -weights.get(name, 0.0))[:few]


def _goal(report: ReportInput, objective: Objective, value: float) -> tuple[str, ...]:
    if objective.goal is None:
        return ()
    reached = sign(objective) * value <= sign(objective) * objective.goal
    if reached:
        return (f"The goal of {number(objective.goal)} is reached.",)
    yet = " yet" if _unfinished(report) else ""
    return (f"The goal of {number(objective.goal)} is not reached{yet}.",)


def _test_sentence(report: ReportInput, best: BestTrial) -> tuple[str, ...]:
    scores = scores_on_test(best)
    wanted = _plain_metric(report.spec.all_objectives[0])
    shown = [name for name in (wanted, "accuracy", "f1", "mse", "r2", "perplexity", "loss")]
    parts = [f"{name} {number(scores[name])}" for name in dict.fromkeys(shown) if name in scores]
    if not parts:
        return ()
    return (f"On the test part, which tuning never saw, it scores {listing(parts[:3])}.",)


def _of_front(report: ReportInput, progress: tuple[str, ...]) -> Headline:
    metrics = listing([objective.metric for objective in report.spec.all_objectives])
    count = len(report.status.front)
    after = (
        f" on the Pareto front of {metrics}: none of them is beaten in all."
        if count > 1
        else f" is at least as good as every other in {metrics}."
    )
    return Headline("", plural(count, "trial"), after, progress)


def _of_nothing(report: ReportInput, progress: tuple[str, ...]) -> Headline:
    refused = _condition(report, ConditionType.ACCEPTED, "False")
    if refused is not None:
        return Headline("The experiment was ", "not accepted", f": {refused.message}", ())
    if not report.trials:
        return Headline("", "No trial", " has run yet.", progress)
    failed = in_state(report, TrialState.FAILED)
    ended = [trial for trial in report.trials if trial.status.state.ended]
    if not failed:
        yet = " yet" if _unfinished(report) else ""
        return Headline("", "No trial", f" has succeeded{yet}.", progress)
    reasons = Counter(trial.status.reason for trial in failed).most_common(1)
    reason, count = reasons[0]
    example = next(trial.status.message for trial in failed if trial.status.reason == reason)
    sentence = f": {shortened(example, 300)}" if example else "."
    why = f"{reason or 'No reason given'}, {count} of {plural(len(failed), 'time')}{sentence}"
    return Headline(
        "", "No trial succeeded", f"; {len(failed)} of {len(ended)} failed.", (why, *progress)
    )


def _progress(report: ReportInput) -> tuple[str, ...]:
    """Say what the end of the experiment, or that it still runs, means for the answer."""
    failed = _condition(report, ConditionType.FAILED, "True")
    if failed is not None:
        return (f"The experiment failed: {failed.message or failed.reason}",)
    ended = sum(trial.status.state.ended for trial in report.trials)
    most = f" of {report.status.counts.max:,}" if report.status.counts.max else ""
    match report.status.phase:
        case Phase.RUNNING | Phase.PENDING:
            return (f"It is not finished: {ended:,}{most} trials have ended.",)
        case Phase.SUSPENDED:
            return (f"It is suspended: {ended:,}{most} trials have ended.",)
        case _:
            return ()


def _unfinished(report: ReportInput) -> bool:
    return report.status.phase in (Phase.PENDING, Phase.RUNNING, Phase.SUSPENDED)


def _condition(report: ReportInput, kind: ConditionType, status: str) -> Condition | None:
    return next((c for c in report.status.conditions if (c.type, c.status) == (kind, status)), None)


def _plain_metric(objective: Objective) -> str:
    return objective.metric.removeprefix("val_")


def _trials(report: ReportInput) -> KeyFigure:
    states = Counter(trial.status.state for trial in report.trials)
    parts = [f"{states[state]:,} {state.lower()}" for state in TrialState if states[state]]
    return KeyFigure("Trials", f"{len(report.trials):,}", " · ".join(parts) or "none yet")


def _best(report: ReportInput) -> KeyFigure | None:
    best, objective = report.status.best, report.spec.all_objectives[0]
    if best is None:
        count = len(report.status.front)
        context = f"of {len(report.spec.objectives)} objectives"
        return KeyFigure("Pareto front", plural(count, "trial"), context) if count else None
    goal = "" if objective.goal is None else f" · goal {number(objective.goal)}"
    return KeyFigure(
        f"Best {objective.metric}", number(best.values[0]), f"trial {best.trial}{goal}"
    )


def _test(report: ReportInput) -> KeyFigure | None:
    if report.status.best is None:
        return None
    scores = scores_on_test(report.status.best)
    if not scores:
        return None
    wanted = _plain_metric(report.spec.all_objectives[0])
    name = wanted if wanted in scores else next(iter(scores))
    return KeyFigure(f"Test {name}", number(scores[name]), "of the best trial, once")


def _size(report: ReportInput) -> KeyFigure | None:
    best = report.status.best
    if best is None or best.model_parameters is None:
        return None
    tried = len(scale_indices(report))
    context = f"best of {tried} scales" if tried > 1 else "parameters of the best"
    if best.flops is not None:
        context += f" · {quantity(best.flops, 'FLOP')}"
    return KeyFigure("Model size N", quantity(best.model_parameters), context)


def _time(report: ReportInput) -> KeyFigure | None:
    status = report.status
    trained = sum(trial.status.seconds or 0.0 for trial in report.trials)
    training = f"{duration(trained)} of training in all" if trained else ""
    ends = [t.status.completion_time for t in report.trials if t.status.completion_time is not None]
    end = status.completion_time or max(ends, default=None)
    if status.start_time is None or end is None:
        return KeyFigure("Training time", duration(trained), "all trials") if trained else None
    seconds = max((end - status.start_time).total_seconds(), 0.0)
    label = "Time" if status.completion_time else "Time so far"
    return KeyFigure(label, duration(seconds), training)


def recommendation_parts(report: ReportInput) -> tuple[str, str, str] | None:
    """Answer the first target by a sentence in three pieces, the size in the middle."""
    law = report.law
    if law is None or not law.fit.recommendation:
        return None
    first = law.fit.recommendation[0]
    sentence = _sentence(report, law, first)
    return sentence.partition(_strong(first))


def law_notes(report: ReportInput) -> tuple[str, ...]:
    """Write the further answers, the law or why there is none, and the warnings."""
    law = report.law
    if law is None or report.spec.scaling is None:
        return ()
    notes = [
        _sentence(report, law, answer) for answer in law.fit.recommendation[1 : 1 + _MOST_NOTES]
    ]
    if law.fit.conditions[0].is_true:
        notes.append(f"The law is {law_equation(law.fit)}. {exponent_sentence(law.fit)}".strip())
    ready, *others = [
        condition for condition in report.status.conditions if condition.type in FIT_CONDITIONS
    ] or [None]
    if ready is not None and ready.status != "True":
        notes.append(f"No law is fitted: {ready.message}.")
    for condition in others:
        if condition is not None and not (ready is not None and condition.message in ready.message):
            meaning = meaning_of(ConditionType(condition.type))
            notes.append(f"{condition.type}: {meaning}; {condition.message}.")
    return tuple(notes)


def _sentence(report: ReportInput, law: LawInput, answer: SizeRecommendation) -> str:
    sentence = recommendation_sentence(answer, law.fit.options.flat_percent)
    built_in = report.spec.trainer.built_in
    if built_in is not None and built_in.task != "language-modelling":
        sentence = sentence.replace(" tokens", " samples")
    stored = next(
        (r for r in report.status.recommendations if r.parameters == answer.parameters), None
    )
    if stored is not None:
        sentence = f"{sentence} {machine_sentence(plan_of(stored))}".rstrip()
    scaling, size = report.spec.scaling, None if stored is None else stored.size
    if size is None or scaling is None or scaling.parameter is None:
        return sentence
    name = short_names([scaling.parameter])[scaling.parameter]
    strong = _strong(answer)
    return sentence.replace(strong, f"{strong} at {name} {number(size, 3)}", 1)


def _strong(answer: SizeRecommendation) -> str:
    return f"{quantity(answer.parameters)} parameters"
