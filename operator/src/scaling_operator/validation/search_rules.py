"""Rules of objectives, the search space and the pruner that look at more than one section."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import cast

from scaling_operator.api.algorithms import GpAlgorithm, GridAlgorithm, NoPruner
from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.fields import Scalar
from scaling_operator.api.names import MAX_TRIALS_PER_SCALE
from scaling_operator.api.problems import Problem, below, listing, nearest, suggestion
from scaling_operator.api.rules import Rule, is_given, is_unique
from scaling_operator.api.search import FloatParameter, IntParameter, Parameter, Search
from scaling_operator.validation.draft import PARAMETERS, Draft, mapping_at
from scaling_operator.validation.grid import TooEntangled, grid_size, is_countable
from scaling_operator.validation.space import UnsoundConditions, lattice_size, why_impossible
from scaling_trainer.config.builtin import class_names, objective_metrics
from scaling_trainer.config.tasks import METRICS_BY_TASK, PER_CLASS_METRICS
from scaling_trainer.config.training import Cosine
from scaling_trainer.contract import parameter_variable
from scaling_trainer.metric_names import is_metric_name

MOST_LISTED = 100_000
"""Values of ints and steps that the algorithm gp looks at, all parameters together."""
_PER_CLASS = re.compile(rf"val_({'|'.join(PER_CLASS_METRICS)})_[A-Za-z0-9_]+")
_ONE_KIND = "set exactly one of objective, objectives"
_TWO_OR_MORE = "needs two or more; for one metric use objective"
_ONE_IF_PRUNED = "a pruner needs a single objective; with objectives use none"
_COUNTABLE = "algorithm grid cannot count the values of a float: give it a step, or choices"


def one_kind_of_objective(draft: Draft) -> Iterator[Problem]:
    """Ask for exactly one of objective and objectives, faulty ones too."""
    if (draft.written.get("objective") is None) == (not draft.written.get("objectives")):
        yield Problem("spec", _ONE_KIND)


def several_objectives_are_two_or_more(draft: Draft) -> Iterator[Problem]:
    """Ask for two or more in objectives, faulty ones too."""
    objectives = draft.written.get("objectives")
    is_single = isinstance(objectives, list) and len(cast("list[object]", objectives)) == 1
    if is_single and draft.written.get("objective") is None:
        yield Problem("spec.objectives", _TWO_OR_MORE)


def objectives_differ(draft: Draft) -> Iterator[Problem]:
    """Ask for each metric once."""
    metrics: set[str] = set()
    for path, objective in draft.objectives:
        if objective.metric in metrics:
            message = f"{objective.metric} is an objective already; each metric may stand once"
            yield Problem(f"{path}.metric", message)
        metrics.add(objective.metric)


def metrics_exist(draft: Draft) -> Iterator[Problem]:
    """Ask for objectives that the built-in trainer's task gives."""
    tasks: Mapping[str, tuple[str, ...]] = {**METRICS_BY_TASK}
    task = mapping_at(draft.written, "trainer", "builtIn").get("task")
    if not isinstance(task, str) or task not in tasks:
        return
    built_in, of_task = draft.built_in, tuple(f"val_{metric}" for metric in tasks[task])
    allowed = of_task if built_in is None else objective_metrics(built_in)
    classes = None if built_in is None else class_names(built_in)
    if any(name.startswith("dataset.") for name in draft.declared):
        classes = None
    for path, name in _metrics(draft):
        if name in allowed or (classes is None and _PER_CLASS.fullmatch(name)):
            continue
        near = nearest(name, allowed)
        meant = f"did you mean {near}? " if near is not None else ""
        per_class = _per_class_metrics(task, classes)
        message = f"task {task} gives no {name}; {meant}allowed: {listing(of_task)}{per_class}"
        yield Problem(path, message)


def _per_class_metrics(task: str, classes: tuple[str, ...] | None) -> str:
    if task != "classification":
        return ""
    if not classes:
        return " and, per class, such as val_recall_<class>"
    return f" and val_precision_, val_recall_ and val_f1_ with one of {listing(classes)}"


def _metrics(draft: Draft) -> Iterator[tuple[str, str]]:
    """Names of the metrics as written: an objective with other faults names one too."""
    objectives = draft.written.get("objectives")
    written = [("spec.objective", draft.written.get("objective"))]
    if isinstance(objectives, list):
        items = enumerate(cast("list[object]", objectives))
        written += [(f"spec.objectives[{index}]", objective) for index, objective in items]
    for path, objective in written:
        if isinstance(objective, dict):
            name = cast("dict[str, object]", objective).get("metric")
            if isinstance(name, str) and is_metric_name(name):
                yield f"{path}.metric", name


def conditions_name_parameters(draft: Draft) -> Iterator[Problem]:
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
        others = [other for other in draft.declared if other != name]
        yield Problem(path, f"no such searched parameter; {suggestion(controller, others)}")
    elif isinstance(draft.parameters.get(controller), FloatParameter):
        yield Problem(path, "is a float; when needs a categorical or int parameter")
    elif draft.is_whole(controller):
        for index, value in enumerate(values):
            objection = why_impossible(draft.parameters[controller], value)
            if objection is not None:
                yield Problem(f"{path}[{index}]", objection)


def conditions_end(draft: Draft) -> Iterator[Problem]:
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
    reached: set[str] = set()
    for way in ways:  # grows while it is walked: breadth first
        controllers = parameters[way[-1]].when if way[-1] in parameters else {}
        for controller in controllers:
            if controller == name and len(way) > 1:
                return way
            if controller not in reached and controller != name:
                reached.add(controller)
                ways.append((*way, controller))
    return ()


def variables_differ(draft: Draft) -> Iterator[Problem]:
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


def grid_is_finite(draft: Draft) -> Iterator[Problem]:
    """Ask a grid for parameters whose values can be counted."""
    if isinstance(draft.spec.search.algorithm, GridAlgorithm):
        for name in _uncountable(draft):
            yield Problem(below(PARAMETERS, name), _COUNTABLE)


def _uncountable(draft: Draft) -> list[str]:
    return [name for name, parameter in draft.parameters.items() if not is_countable(parameter)]


def grid_is_small(draft: Draft) -> Iterator[Problem]:
    """Ask a grid for points that can be counted in bounded time, and not too many of them."""
    if not isinstance(draft.spec.search.algorithm, GridAlgorithm) or _uncountable(draft):
        return
    try:
        points = grid_size(draft.spec.search)
    except UnsoundConditions:
        return  # they have problems of their own, and no number of points
    except TooEntangled as error:
        yield Problem("spec.search.algorithm", f"{error}; use fewer, or another algorithm")
        return
    if points > MAX_TRIALS_PER_SCALE:
        message = (
            f"the grid has more than {MAX_TRIALS_PER_SCALE:,} points; "
            "widen the steps, or use another algorithm"
        )
        yield Problem("spec.search.algorithm", message)


def values_can_be_listed(draft: Draft) -> Iterator[Problem]:
    """Ask for few enough values of ranges with steps where the algorithm looks at each of them."""
    if not isinstance(draft.spec.search.algorithm, GpAlgorithm):
        return
    sizes = {
        name: lattice_size(parameter)
        for name, parameter in draft.parameters.items()
        if isinstance(parameter, IntParameter)
        or (isinstance(parameter, FloatParameter) and parameter.step is not None)
    }
    if sum(sizes.values()) > MOST_LISTED:
        path = below(PARAMETERS, max(sizes, key=lambda name: sizes[name]))
        message = (
            f"algorithm gp looks at every value of ints and steps, at most {MOST_LISTED:,} in all; "
            "widen the steps, use type float, or another algorithm"
        )
        yield Problem(path, message)


def pruner_has_one_objective(draft: Draft) -> Iterator[Problem]:
    """Ask a pruner for one objective: Optuna refuses intermediate values of several."""
    if draft.spec.objectives and not isinstance(draft.spec.search.pruner, NoPruner):
        yield Problem("spec.search.pruner.name", _ONE_IF_PRUNED)


def pruner_compares_equal_phases(draft: Draft) -> Iterator[Problem]:
    """Refuse to prune where equal steps of two trials are other phases of their schedules.

    A cosine falls all the time, over as many steps as the trial has. wsd has a stable phase, in
    which the trainer lets itself be compared.
    """
    built_in = draft.built_in
    if built_in is None or isinstance(draft.spec.search.pruner, NoPruner):
        return
    schedule = "optimizer.schedule"
    if f"{schedule}.name" in draft.declared:
        message = f"compares trials step by step, but {schedule}.name is searched: use none"
        yield Problem("spec.search.pruner.name", message)
    elif isinstance(built_in.optimizer.schedule, Cosine):
        lengths = ["epochs", "evaluate_every", *(["batch_size"] if built_in.evaluate_every else [])]
        moving = [
            name for name in draft.declared if name in lengths or name.startswith(f"{schedule}.")
        ]
        if moving:
            message = (
                f"compares trials step by step, which are other phases of a cosine where "
                f"{listing(moving)} is searched: use schedule wsd, or pruner none"
            )
            yield Problem("spec.search.pruner.name", message)


def points_are_possible(draft: Draft) -> Iterator[Problem]:
    """Ask points to try first for searched parameters, at values that they can take."""
    for index, point in enumerate(draft.spec.search.warm_start.points):
        for name, value in point.items():
            path = below(f"spec.search.warmStart.points[{index}]", name)
            yield from _value_of_point(draft, point, (name, value), path)


def _value_of_point(
    draft: Draft, point: Mapping[str, Scalar], entry: tuple[str, Scalar], path: str
) -> Iterator[Problem]:
    name, value = entry
    if name in draft.scaled:
        yield Problem(path, "is set by scaling; leave it out")
    elif name not in draft.declared:
        yield Problem(path, f"no such searched parameter; {suggestion(name, draft.declared)}")
    elif draft.is_whole(name):
        objection = why_impossible(draft.parameters[name], value)
        if objection is not None:
            yield Problem(path, objection)
        elif not draft.conditions.is_active(name, point):
            when = " and ".join(draft.parameters[name].when)
            yield Problem(path, f"is active under a condition: set {when} in the point too")


OBJECTIVE_RULES: tuple[Rule[Draft], ...] = (
    Rule(
        check=one_kind_of_objective,
        section=ExperimentSpec,
        cel=f"has(self.objective) != {is_given('objectives')}",
        message=_ONE_KIND,
        field="objective",
    ),
    Rule(
        check=several_objectives_are_two_or_more,
        section=ExperimentSpec,
        cel="!has(self.objectives) || size(self.objectives) != 1",
        message=f"objectives {_TWO_OR_MORE}",
        field="objectives",
    ),
    Rule(
        check=objectives_differ,
        section=ExperimentSpec,
        cel=f"!has(self.objectives) || {is_unique('objectives', 'metric')}",
        message="each metric may stand once",
        field="objectives",
    ),
    Rule(check=metrics_exist),
)
SEARCH_RULES: tuple[Rule[Draft], ...] = (
    Rule(check=conditions_name_parameters),
    Rule(check=conditions_end),
    Rule(check=variables_differ),
    Rule(
        check=grid_is_finite,
        section=Search,
        cel="!has(self.algorithm) || self.algorithm.name != 'grid' || !has(self.parameters) || "
        "self.parameters.all(name, self.parameters[name].type != 'float' || "
        "has(self.parameters[name].step) || "
        "self.parameters[name].low == self.parameters[name].high)",
        message=_COUNTABLE,
        field="parameters",
    ),
    Rule(check=grid_is_small),
    Rule(check=values_can_be_listed),
    Rule(
        check=pruner_has_one_objective,
        section=ExperimentSpec,
        cel=f"!{is_given('objectives')} || !has(self.search) || !has(self.search.pruner) || "
        "self.search.pruner.name == 'none'",
        message=_ONE_IF_PRUNED,
        field="search.pruner",
    ),
    Rule(check=pruner_compares_equal_phases),
    Rule(check=points_are_possible),
)
