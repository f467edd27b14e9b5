"""Rules of `spec.resources` that look at the trainer, the search space and the ladder too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from scaling_operator.api.expressions import ExpressionError, compute, is_expression, variables_of
from scaling_operator.api.fields import Scalar
from scaling_operator.api.problems import Problem
from scaling_operator.api.search import CategoricalParameter, Parameter
from scaling_operator.validation.draft import Draft, spread

_PATH = "spec.resources.estimate"
_MOST_RUNGS = 20  # that are tried, the first and the last among them


def estimate_suits_the_trainer(draft: Draft) -> Iterable[Problem]:
    """Refuse an estimate of the built-in trainer, which is known better."""
    if draft.spec.resources.estimate is not None and draft.built_in is not None:
        message = "goes with trainer.container: what the built-in trainer needs is known"
        yield Problem(_PATH, message)


def amounts_can_be_computed(draft: Draft) -> Iterable[Problem]:
    """Try every expression at both ends of the search space, at the ladder's rungs."""
    estimate = draft.spec.resources.estimate
    if estimate is None:
        return
    waiting = {name: amount for name, amount in estimate.amounts() if is_expression(amount)}
    for where, values in _trials(draft) if waiting else ():
        variables = variables_of(values)
        for name, amount in list(waiting.items()):
            try:
                compute(amount, variables)
            except ExpressionError as error:
                yield Problem(f"{_PATH}.{name}", f"{error} ({where})")
                del waiting[name]


def _trials(draft: Draft) -> Iterator[tuple[str, Mapping[str, Scalar]]]:
    rungs = spread(draft.scales, _MOST_RUNGS) or (("", {}),)
    for end, pick in (("the smallest values", 0), ("the largest values", -1)):
        searched = {
            name: _ends(parameter)[pick]
            for name, parameter in draft.parameters.items()
        }  # fmt: skip
        for path, rung in rungs:
            yield f"tried with {end}" + (f" at {path}" if path else ""), {**searched, **rung}


def _ends(parameter: Parameter) -> tuple[Scalar, ...]:
    if isinstance(parameter, CategoricalParameter):
        return parameter.choices
    return parameter.low, parameter.high
