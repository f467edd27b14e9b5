"""Values that the built-in trainer never takes, whatever the other parameters of a trial are.

A field may take a value that the rest of the configuration does not: 3 heads divide no width of 64.
Where another parameter may make it fit, it is left alone; where none can, it is refused at once.
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
_SAMPLES = 5  # values of another parameter that show whether it has a say
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
        found = (
            Problem(path, f"{shown(value)} does not fit: {objection}")
            for path, value in written_values(name, parameter)[:_MOST_VALUES]
            if (objection := _why_never(tries, {name: value})) is not None
        )
        yield from islice(found, MOST_OBJECTIONS)


class _Tries:
    """Configurations of one document that are tried; after the last one whatever is asked may fit.

    What is asked for each value again is worked out once.
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
        """Whether the last try was made: what is not known since then says nothing."""
        return self._left <= 0

    def objection(self, values: Values) -> str | None:
        """Say what is wrong with a configuration; None where nothing is known to be."""
        if not self._one_more():
            return None
        active = self.draft.conditions.active_only(values)
        _, found = examine(BuiltIn, overlay(self._built_in, active))
        return str(found[0]) if found else None

    def is_active(self, names: Iterable[str], values: Values) -> bool:
        """Whether these parameters are active; not, as far as is known, after the last try."""
        return self._one_more() and set(names) <= self.draft.conditions.active_only(values).keys()

    def start(self, fixed: Values, needed: Axes) -> Values | None:
        """Give values with which these are active, if there are any; which, the names decide."""
        names = frozenset(fixed)
        if names not in self._starts:
            starts = islice(_combinations(fixed, needed), _MOST_TRIES)
            self._starts[names] = next(
                (each for each in starts if self.is_active(names, each)), None
            )
        start = self._starts[names]
        return None if start is None else {**start, **fixed}

    def others(self, start: Values) -> Iterator[tuple[str, Sequence[Values]]]:
        """Give what a start leaves open; first what last turned out to make something fit."""
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
    having_a_say = None if before is None else _with_a_say(tries, start, before)
    if having_a_say is None:
        return None
    axes = {**needed, **having_a_say}
    combinations = tuple(islice(_combinations(fixed, axes), _MOST_TRIES + 1))
    if len(combinations) > _MOST_TRIES:
        return None
    active = (values for values in combinations if tries.is_active(fixed, values))
    objections = (tries.objection(values) for values in active)
    first = next(objections, None)
    fits = any(each is None for each in objections)
    return None if fits or tries.is_over else first


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


def _with_a_say(tries: _Tries, start: Values, before: str) -> Axes | None:
    """Find what changes the objection to the start when it alone changes, and its conditions.

    None where such a change leaves nothing to object to.
    """
    found: dict[str, Sequence[Values]] = {}
    for name, axis in tries.others(start):
        conditions = {
            each: values
            for each, values in _conditions_of(tries.draft, [name]).items()
            if each not in start
        }
        few = {
            each: spread(values, _SAMPLES) for each, values in {**conditions, name: axis}.items()
        }
        for changed in islice(_combinations({}, few), _SAMPLES**2):
            objection = tries.objection({**start, **changed})
            if objection is None:
                tries.made_it_fit(name)
                return None
            if objection != before:
                found |= {**conditions, **found, name: axis}
                break
    return found
