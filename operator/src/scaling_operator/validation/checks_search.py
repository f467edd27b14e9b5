"""Rules of objectives and search that look at more than one field."""

from __future__ import annotations

import typing
from collections.abc import Iterable, Iterator, Mapping

from scaling_operator.api.fields import Scalar
from scaling_operator.api.problems import Problem, below, shown, suggestion
from scaling_operator.api.search import (
    CategoricalParameter,
    FloatParameter,
    NoPruner,
    Parameter,
    cast,
)
from scaling_operator.validation.draft import Draft
from scaling_trainer.contract import parameter_variable

PARAMETERS = "spec.search.parameters"
_ON_STEP = 1e-8


def one_kind_of_objective(draft: Draft) -> Iterable[Problem]:
    """Ask for exactly one of objective and objectives, and two or more of the latter."""
    one, several = draft.written.get("objective"), draft.written.get("objectives")
    if (one is None) == (not several):
        yield Problem("spec", "set exactly one of objective, objectives")
    elif isinstance(several, list) and len(typing.cast("list[object]", several)) == 1:
        yield Problem("spec.objectives", "needs two or more; for one metric use objective")


def objectives_differ(draft: Draft) -> Iterable[Problem]:
    """Ask for each metric once."""
    seen: set[str] = set()
    for path, objective in draft.objectives:
        if objective.metric in seen:
            message = f"{objective.metric} is an objective already; each metric may stand once"
            yield Problem(f"{path}.metric", message)
        seen.add(objective.metric)


def conditions_name_parameters(draft: Draft) -> Iterable[Problem]:
    """Ask `when` for other searched parameters, and values that they can take."""
    for name, parameter in draft.parameters.items():
        for controller, values in parameter.when.items():
            path = below(below(PARAMETERS, name), f"when.{controller}")
            yield from _condition(draft, (name, controller), values, path)


def _condition(
    draft: Draft, names: tuple[str, str], values: tuple[Scalar, ...], path: str
) -> Iterator[Problem]:
    name, controller = names
    if controller == name:
        yield Problem(path, "a parameter cannot depend on itself; name another one")
    elif controller not in draft.declared:
        others = [each for each in draft.declared if each != name]
        yield Problem(path, f"no such searched parameter; {suggestion(controller, others)}")
    elif isinstance(draft.parameters.get(controller), FloatParameter):
        yield Problem(path, "is a float; when needs a categorical or int parameter")
    elif draft.is_whole(controller):
        for at, value in enumerate(values):
            objection = why_impossible(draft.parameters[controller], value)
            if objection is not None:
                yield Problem(f"{path}[{at}]", objection)


def conditions_end(draft: Draft) -> Iterable[Problem]:
    """Refuse a circle of `when`s: none of its parameters could ever become active."""
    reported: set[str] = set()
    for name in draft.parameters:
        circle = _circle_from(name, draft.parameters)
        if circle and not reported & set(circle):
            reported |= set(circle)
            way = " → ".join((*circle, circle[0]))
            message = f"depends on itself: {way}; take one of these conditions out"
            yield Problem(below(below(PARAMETERS, name), "when"), message)


def _circle_from(name: str, parameters: Mapping[str, Parameter]) -> tuple[str, ...]:
    """Find the shortest way of two or more steps along `when` back to a parameter, if any."""
    ways: list[tuple[str, ...]] = [(name,)]
    seen: set[str] = set()
    for way in ways:  # grows while it is walked: breadth first
        after = parameters[way[-1]].when if way[-1] in parameters else {}
        for controller in after:
            if controller == name and len(way) > 1:
                return way
            if controller not in seen and controller != name:
                seen.add(controller)
                ways.append((*way, controller))
    return ()


def variables_differ(draft: Draft) -> Iterable[Problem]:
    """Ask for names that reach the trainer as variables of their own."""
    owners: dict[str, str] = {}
    places = [(below(PARAMETERS, name), name) for name in draft.declared]
    places += [("spec.scaling", name) for name in draft.scaled if name not in draft.declared]
    for path, name in places:
        variable = parameter_variable(name)
        if variable in owners:
            message = f"{name} and {owners[variable]} both become {variable}; rename one of them"
            yield Problem(path, message)
        owners.setdefault(variable, name)


def pruner_has_one_objective(draft: Draft) -> Iterable[Problem]:
    """Ask a pruner for one objective: Optuna refuses intermediate values of several."""
    if draft.spec.objectives and not isinstance(draft.spec.search.pruner, NoPruner):
        message = "a pruner needs a single objective; with objectives use none"
        yield Problem("spec.search.pruner.name", message)


def points_are_possible(draft: Draft) -> Iterable[Problem]:
    """Ask points to try first for searched parameters, at values that they can take."""
    for at, point in enumerate(draft.spec.search.warm_start.points):
        for name, value in point.items():
            path = below(f"spec.search.warmStart.points[{at}]", name)
            if name in draft.scaled:
                yield Problem(path, "is set by scaling; leave it out")
            elif name not in draft.declared:
                known = suggestion(name, draft.declared)
                yield Problem(path, f"no such searched parameter; {known}")
            elif draft.is_whole(name):
                objection = why_impossible(draft.parameters[name], value)
                if objection is not None:
                    yield Problem(path, objection)
                elif not draft.conditions.is_active(name, point):
                    when = " and ".join(draft.parameters[name].when)
                    yield Problem(path, f"is active under a condition: set {when} in the point too")


def why_impossible(parameter: Parameter, value: Scalar) -> str | None:
    """Say why a parameter never takes a value; None where it may."""
    try:
        number = cast(parameter, value)
    except ValueError as error:
        return str(error)
    if isinstance(parameter, CategoricalParameter) or parameter.step is None:
        return None
    if isinstance(number, str):
        return None
    steps = (number - parameter.low) / parameter.step
    if abs(steps - round(steps)) > _ON_STEP:
        return f"{shown(value)} is not low {parameter.low:g} plus steps of {parameter.step:g}"
    return None
