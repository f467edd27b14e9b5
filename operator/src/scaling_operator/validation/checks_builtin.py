"""What search and scaling ask of the built-in trainer: paths, values and metrics that it has."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import cast

from scaling_operator.api.fields import Scalar
from scaling_operator.api.names import PARAMETER_NAME_PATTERN
from scaling_operator.api.problems import Problem, below, listing, nearest
from scaling_operator.api.search import CategoricalParameter, FloatParameter, NoPruner, Parameter
from scaling_operator.validation import paths
from scaling_operator.validation.draft import Draft, mapping_at
from scaling_trainer.config.builtin import class_names, objective_metrics
from scaling_trainer.config.preprocessing import unsuitable
from scaling_trainer.config.tasks import METRICS_BY_TASK, PER_CLASS_METRICS, SHAPES
from scaling_trainer.config.training import Cosine
from scaling_trainer.metric_names import is_metric_name

PARAMETERS = "spec.search.parameters"
_NAME = re.compile(PARAMETER_NAME_PATTERN)
_PER_CLASS = re.compile(rf"val_({'|'.join(PER_CLASS_METRICS)})_[A-Za-z0-9_]+")
MOST_OBJECTIONS = 20  # about the values of one parameter

# A value that a file gives a parameter, with the path where it stands.
Given = tuple[str, Scalar]


def metrics_exist(draft: Draft) -> Iterable[Problem]:
    """Ask for objectives that the task gives."""
    tasks: Mapping[str, tuple[str, ...]] = {**METRICS_BY_TASK}
    task = mapping_at(draft.written, "trainer", "builtIn").get("task")
    if not isinstance(task, str) or task not in tasks:
        return
    built_in, by_task = draft.built_in, tuple(f"val_{each}" for each in tasks[task])
    known = by_task if built_in is None else objective_metrics(built_in)
    classes = None if built_in is None else class_names(built_in)
    if any(name.startswith("dataset.") for name in draft.declared):
        classes = None
    for path, name in _metrics(draft):
        if name in known or (classes is None and _PER_CLASS.fullmatch(name)):
            continue
        near = nearest(name, known)
        meant = f"did you mean {near}? " if near is not None else ""
        more = _per_class_words(task, classes)
        message = f"task {task} gives no {name}; {meant}allowed: {listing(by_task)}{more}"
        yield Problem(path, message)


def _per_class_words(task: str, classes: tuple[str, ...] | None) -> str:
    if task != "classification":
        return ""
    if not classes:
        return " and, per class, such as val_recall_<class>"
    return f" and val_precision_, val_recall_ and val_f1_ with one of {listing(classes)}"


def preprocessing_suits(draft: Draft) -> Iterable[Problem]:
    """Refuse preprocessing that has no meaning for data whose shape is known before reading."""
    built_in = draft.built_in
    shape = None if built_in is None else SHAPES.get(built_in.dataset.name)
    if built_in is not None and shape is not None:
        for field, sentence in unsuitable(built_in.preprocessing, shape, built_in.task):
            yield Problem(f"spec.trainer.builtIn.preprocessing.{field}", sentence)


def _metrics(draft: Draft) -> Iterator[tuple[str, str]]:
    """Names of the metrics as written: an objective with other faults names one too."""
    one, several = draft.written.get("objective"), draft.written.get("objectives")
    written = [("spec.objective", one)]
    if isinstance(several, list):
        items = enumerate(cast("list[object]", several))
        written += [(f"spec.objectives[{at}]", each) for at, each in items]
    for path, objective in written:
        if isinstance(objective, dict):
            name = cast("dict[str, object]", objective).get("metric")
            if isinstance(name, str) and is_metric_name(name):
                yield f"{path}.metric", name


def paths_exist(draft: Draft) -> Iterable[Problem]:
    """Ask every name that is searched or scaled for a field of the built-in trainer."""
    if not _is_built_in(draft):
        return
    variants = _variants(draft)
    for path, name in _names(draft):
        place = paths.find(name, variants)
        if isinstance(place, str):
            yield Problem(path, place)


def values_are_allowed(draft: Draft) -> Iterable[Problem]:
    """Ask each end of a range, choice and size for a value that its field takes."""
    if not _is_built_in(draft):
        return
    variants = _variants(draft)
    for name, values in _given(draft):
        place = paths.find(name, variants)
        if isinstance(place, str):
            continue
        found = (
            Problem(path, f"{name} {objection}")
            for path, value in values
            if (objection := paths.objection(place, value)) is not None
        )
        some = tuple(islice(found, MOST_OBJECTIONS))
        yield from some or _type_fits(draft, name, place)


def _type_fits(draft: Draft, name: str, place: paths.Place) -> Iterator[Problem]:
    """Look between a float's ends: a whole number's field does not take what lies there."""
    for value in _between(draft.parameters.get(name)):
        objection = paths.objection(place, value)
        if objection is not None:
            path = below(below(PARAMETERS, name), "type")
            yield Problem(path, f"{name} {objection}; use type int, or categorical")


def _is_built_in(draft: Draft) -> bool:
    return "builtIn" in mapping_at(draft.written, "trainer")


def _variants(draft: Draft) -> paths.Variants:
    """Variants that some trial may have: those written, and those that are searched."""
    variants = paths.variants_written(mapping_at(draft.written, "trainer", "builtIn"))
    searched: list[tuple[str, tuple[Scalar, ...]]] = [
        (name, each.choices)
        for name, each in draft.parameters.items()
        if isinstance(each, CategoricalParameter)
    ]
    searched += [(name, (value,)) for _, rung in draft.scales for name, value in rung.items()]
    for name, values in searched:
        section, _, field = name.rpartition(".")
        if field == "name":
            variants[section] = variants.get(section, frozenset()) | frozenset(values)
    return variants


def _names(draft: Draft) -> Iterator[tuple[str, str]]:
    for name in draft.declared:
        if _NAME.fullmatch(name):  # other names are reported as such
            yield below(PARAMETERS, name), name
    scaling = draft.spec.scaling
    if scaling is not None and scaling.parameter is not None:
        yield "spec.scaling.parameter", scaling.parameter
    elif scaling is not None and scaling.rungs:
        for name in scaling.rungs[0]:
            yield f"spec.scaling.rungs[0].{name}", name


def _given(draft: Draft) -> Iterator[tuple[str, tuple[Given, ...]]]:
    for name, parameter in draft.parameters.items():
        yield name, ends(name, parameter)
    for path, rung in draft.scales:
        for name, value in rung.items():
            at = path if "sizes" in path else below(path, name)
            yield name, ((at, value),)


def ends(name: str, parameter: Parameter) -> tuple[Given, ...]:
    """Values that a file gives a parameter: its choices, or the ends of its range."""
    path = below(PARAMETERS, name)
    if isinstance(parameter, CategoricalParameter):
        return tuple((f"{path}.choices[{at}]", each) for at, each in enumerate(parameter.choices))
    both = {"low": parameter.low, "high": parameter.high}
    # As JSON has them: a field for whole numbers takes 8.0, as 8.
    return tuple(
        (f"{path}.{end}", int(each) if float(each).is_integer() else each)
        for end, each in both.items()
    )


def _between(parameter: Parameter | None) -> tuple[Scalar, ...]:
    """Give a value between a float's ends that is no whole number, if there is one."""
    if not isinstance(parameter, FloatParameter) or parameter.low == parameter.high:
        return ()
    whole = (parameter.low, parameter.step or 0.5)
    if all(float(each).is_integer() for each in whole):
        return ()
    # 0.382, the golden section, makes no round number of round ends.
    return (parameter.low + (parameter.step or 0.382 * (parameter.high - parameter.low)),)


def pruner_compares_equal_phases(draft: Draft) -> Iterable[Problem]:
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
