"""Rules of `spec.resources` that look at the trainer, the search space and the ladder too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from scaling_operator.api.draft import Draft
from scaling_operator.api.expressions import ExpressionError, evaluate, is_expression
from scaling_operator.api.fields import Scalar
from scaling_operator.api.problems import Problem
from scaling_operator.api.search import CategoricalParameter, Parameter

_PATH = "spec.resources.estimate"


def estimate_suits_the_trainer(draft: Draft) -> Iterable[Problem]:
    """Refuse an estimate of the built-in trainer, which is known better."""
    if draft.spec.resources.estimate is not None and draft.built_in is not None:
        message = "goes with trainer.container: what the built-in trainer needs is known"
        yield Problem(_PATH, message)


def amounts_can_be_computed(draft: Draft) -> Iterable[Problem]:
    """Try every expression at both ends of the search space, at every rung."""
    estimate = draft.spec.resources.estimate
    if estimate is None:
        return
    for name, amount in estimate.amounts():
        if not is_expression(amount):
            continue
        for where, values in _trials(draft):
            try:
                evaluate(amount, values)
            except ExpressionError as error:
                yield Problem(f"{_PATH}.{name}", f"{error} ({where})")
                break


def _trials(draft: Draft) -> Iterator[tuple[str, Mapping[str, Scalar]]]:
    rungs = draft.scales or (("", {}),)
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
