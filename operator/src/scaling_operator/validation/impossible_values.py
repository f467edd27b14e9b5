"""Values that the built-in trainer never takes, whatever the other parameters of a trial are.

A field may take a value that the rest of the configuration does not: 3 heads divide no width of 64.
A value that fits beside some values of the other parameters is accepted; a value that fits beside
none is refused at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice, product

from scaling_operator.api.fields import Scalar
from scaling_operator.api.problems import Problem, shown
from scaling_operator.validation.draft import Draft, spread
from scaling_operator.validation.errors import examine
from scaling_operator.validation.trainer_rules import (
    MOST_OBJECTIONS,
    paths_exist,
    values_are_allowed,
    written_values,
)
from scaling_trainer.config.builtin import BuiltIn, overlay

Values = Mapping[str, Scalar]
# By a parameter's name what it may be set to; a rung of the ladder sets several at once.
Axes = Mapping[str, Sequence[Values]]
_LADDER = ""
_MOST_VALUES = 100  # of one parameter that are looked at
_MOST_TRIES = 300  # configurations that are tried for one value
_SAMPLES = 5  # values of another parameter that show whether it changes the objection
MOST_TRIES_OF_A_DOCUMENT = 3000
"""After so many the rest is left alone: no document takes longer than a quarter of a second."""


def values_fit_the_rest(draft: Draft) -> Iterable[Problem]:
    """Refuse values that the configuration never takes, whatever the other parameters are."""
    built_in = draft.built_in
    if built_in is None or any(values_are_allowed(draft)) or any(paths_exist(draft)):
        return
    tries = _Tries(draft, built_in)
    for path, rung in draft.scales:
        objection = _why_never(tries, rung)
        if objection is not None:
            yield Problem(path, f"does not fit: {objection}")
    for name, parameter in draft.parameters.items():
        problems = (
            Problem(path, f"{shown(value)} does not fit: {objection}")
            for path, value in written_values(name, parameter)[:_MOST_VALUES]
            if (objection := _why_never(tries, {name: value})) is not None
        )
        yield from islice(problems, MOST_OBJECTIONS)


class _Tries:
    """Tries of configurations of one document; after the last one every value counts as fitting.

    Starts and axes, which are asked for again with each value, are worked out once.
    """

    def __init__(self, draft: Draft, built_in: BuiltIn) -> None:
        self.draft = draft
        self._built_in = built_in
        self._left = MOST_TRIES_OF_A_DOCUMENT
        self._starts: dict[frozenset[str], Values | None] = {}
        self._axes: dict[str, Sequence[Values]] = {
            name: [{name: value} for _, value in written_values(name, parameter)]
            for name, parameter in draft.parameters.items()
        }
        if draft.scales:
            self._axes[_LADDER] = [rung for _, rung in draft.scales]

    @property
    def is_over(self) -> bool:
        """Whether the last try was made: an answer after that says nothing."""
        return self._left <= 0

    def objection(self, values: Values) -> str | None:
        """Say what is wrong with a configuration; None where nothing is known to be."""
        if not self._one_more():
            return None
        active = self.draft.conditions.active_only(values)
        _, problems = examine(BuiltIn, overlay(self._built_in, active))
        return str(problems[0]) if problems else None

    def is_active(self, names: Iterable[str], values: Values) -> bool:
        """Whether these parameters are active; not, as far as is known, after the last try."""
        return self._one_more() and set(names) <= self.draft.conditions.active_only(values).keys()

    def start(self, fixed: Values, needed: Axes) -> Values | None:
        """Give values with which these are active, if there are any; which, the names decide."""
        names = frozenset(fixed)
        if names not in self._starts:
            combinations = islice(_combinations(fixed, needed), _MOST_TRIES)
            starts = (values for values in combinations if self.is_active(names, values))
            self._starts[names] = next(starts, None)
        start = self._starts[names]
        return None if start is None else {**start, **fixed}

    def others(self, start: Values) -> Iterator[tuple[str, Sequence[Values]]]:
        """Give the axes that a start leaves open; first that which last made a value fit."""
        scaled = set(self.draft.scaled)
        for name, axis in tuple(self._axes.items()):
            if name not in start and not (name == _LADDER and start.keys() & scaled):
                yield name, axis

    def made_it_fit(self, name: str) -> None:
        """Ask this parameter first from now on."""
        self._axes = {name: self._axes[name], **self._axes}

    def _one_more(self) -> bool:
        self._left -= 1
        return self._left >= 0


def _why_never(tries: _Tries, fixed: Values) -> str | None:
    """Say why no combination with these values is a configuration; None where one may be."""
    needed = _conditions_of(tries.draft, fixed)
    start = tries.start(fixed, needed)
    if start is None:
        return None
    before = tries.objection(start)
    deciding = None if before is None else _deciding(tries, start, before)
    if deciding is None:
        return None
    axes = {**needed, **deciding}
    combinations = tuple(islice(_combinations(fixed, axes), _MOST_TRIES + 1))
    if len(combinations) > _MOST_TRIES:
        return None
    active = (values for values in combinations if tries.is_active(fixed, values))
    objections = (tries.objection(values) for values in active)
    first = next(objections, None)
    fits = any(objection is None for objection in objections)
    return None if fits or tries.is_over else first


def _combinations(fixed: Values, axes: Axes) -> Iterator[Values]:
    for choice in product(*axes.values()):
        together: dict[str, Scalar] = {}
        for values in choice:
            together |= values
        yield together | dict(fixed)


def _conditions_of(draft: Draft, names: Iterable[str]) -> Axes:
    """Parameters on which the conditions of these depend, directly or not, at values that hold."""
    asked = tuple(names)
    controllers: dict[str, Sequence[Values]] = {}
    waiting = list(asked)
    while waiting:
        name = waiting.pop()
        if name not in draft.parameters:
            continue
        for controller, allowed in draft.parameters[name].when.items():
            if controller in draft.parameters and controller not in (*controllers, *asked):
                controllers[controller] = [{controller: value} for value in allowed]
                waiting.append(controller)
    return controllers


def _deciding(tries: _Tries, start: Values, before: str) -> Axes | None:
    """Find the parameters that change the objection to the start, and their conditions.

    Each is changed alone. None where such a change leaves nothing to object to.
    """
    deciding: dict[str, Sequence[Values]] = {}
    for name, axis in tries.others(start):
        conditions = {
            controller: values
            for controller, values in _conditions_of(tries.draft, [name]).items()
            if controller not in start
        }
        axes = {**conditions, name: axis}
        few = {changed: spread(values, _SAMPLES) for changed, values in axes.items()}
        for change in islice(_combinations({}, few), _SAMPLES**2):
            objection = tries.objection({**start, **change})
            if objection is None:
                tries.made_it_fit(name)
                return None
            if objection != before:
                deciding |= {**conditions, **deciding, name: axis}
                break
    return deciding
