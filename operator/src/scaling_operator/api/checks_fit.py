"""Values that the built-in trainer never takes, whatever the other parameters of a trial are.

A field may take a value that the rest of the configuration does not: 3 heads divide no width of 64.
Where another parameter may make it fit, it is left alone; where none can, it is refused at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice, product

from scaling_operator.api.checks_builtin import (
    MOST_OBJECTIONS,
    ends,
    paths_exist,
    values_are_allowed,
)
from scaling_operator.api.draft import Draft, spread
from scaling_operator.api.fields import Scalar
from scaling_operator.api.problems import Problem, shown
from scaling_operator.api.sections import examine
from scaling_trainer.config.builtin import BuiltIn, overlay

Values = Mapping[str, Scalar]
# By a parameter's name what it may be set to; a rung of the ladder sets several at once.
Axes = Mapping[str, Sequence[Values]]
_LADDER = ""
_MOST_VALUES = 100  # of one parameter that are looked at
_MOST_TRIES = 300  # configurations that are tried for one value
_SAMPLES = 5  # values of another parameter that show whether it has a say


def values_fit_the_rest(draft: Draft) -> Iterable[Problem]:
    """Refuse values that the configuration never takes, whatever the other parameters are."""
    built_in = draft.built_in
    if built_in is None or any(values_are_allowed(draft)) or any(paths_exist(draft)):
        return
    for name, parameter in draft.parameters.items():
        found = (
            Problem(path, f"{shown(value)} does not fit: {objection}")
            for path, value in ends(name, parameter)[:_MOST_VALUES]
            if (objection := _why_never(draft, built_in, {name: value})) is not None
        )
        yield from islice(found, MOST_OBJECTIONS)
    for path, rung in draft.scales:
        objection = _why_never(draft, built_in, rung)
        if objection is not None:
            yield Problem(path, f"does not fit: {objection}")


def _why_never(draft: Draft, built_in: BuiltIn, fixed: Values) -> str | None:
    """Say why no combination with these values is a configuration; None where one may be."""
    needed = _conditions_of(draft, fixed)
    starts = islice(_combinations(fixed, needed), _MOST_TRIES)
    start = next((values for values in starts if _is_active(draft, values, fixed)), None)
    if start is None:
        return None
    if _objection(draft, built_in, start) is None:
        return None
    axes = {**needed, **_with_a_say(draft, built_in, start)}
    combinations = tuple(islice(_combinations(fixed, axes), _MOST_TRIES + 1))
    if len(combinations) > _MOST_TRIES:
        return None
    active = (values for values in combinations if _is_active(draft, values, fixed))
    objections = [_objection(draft, built_in, values) for values in active]
    return objections[0] if objections and None not in objections else None


def _objection(draft: Draft, built_in: BuiltIn, values: Values) -> str | None:
    _, found = examine(BuiltIn, overlay(built_in, draft.conditions.active_only(values)))
    return str(found[0]) if found else None


def _is_active(draft: Draft, values: Values, fixed: Values) -> bool:
    return fixed.keys() <= draft.conditions.active_only(values).keys()


def _combinations(fixed: Values, axes: Axes) -> Iterator[Values]:
    for values in product(*axes.values()):
        together: dict[str, Scalar] = {}
        for each in values:
            together |= each
        yield together | dict(fixed)


def _conditions_of(draft: Draft, names: Iterable[str]) -> Axes:
    """Parameters on which the conditions of these depend, directly or not, at values that hold."""
    given = tuple(names)
    found: dict[str, Sequence[Values]] = {}
    waiting = list(given)
    while waiting:
        name = waiting.pop()
        if name not in draft.parameters:
            continue
        for controller, allowed in draft.parameters[name].when.items():
            if controller in draft.parameters and controller not in (*found, *given):
                found[controller] = [{controller: value} for value in allowed]
                waiting.append(controller)
    return found


def _with_a_say(draft: Draft, built_in: BuiltIn, start: Values) -> Axes:
    """Find what changes the objection to the start when it alone changes, and its conditions."""
    others: dict[str, Sequence[Values]] = {
        name: [{name: value} for _, value in ends(name, parameter)]
        for name, parameter in draft.parameters.items()
        if name not in start
    }
    if draft.scales and not start.keys() & set(draft.scaled):
        others[_LADDER] = [rung for _, rung in draft.scales]
    before = _objection(draft, built_in, start)
    found: dict[str, Sequence[Values]] = {}
    for name, axis in others.items():
        conditions = {
            each: values
            for each, values in _conditions_of(draft, [name]).items()
            if each not in start
        }
        few = {
            each: spread(values, _SAMPLES) for each, values in {**conditions, name: axis}.items()
        }
        for changed in islice(_combinations({}, few), _SAMPLES**2):
            if _objection(draft, built_in, {**start, **changed}) != before:
                found |= {**conditions, **found, name: axis}
                break
    return found
