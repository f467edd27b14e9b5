"""Rules of the built-in trainer, and of what search and scaling ask of it: paths and values.

What goes together within `trainer.builtIn` is checked by the trainer's own models, which run
without this package. So those rules have CEL alone here, with the messages of the models.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from pydantic import BaseModel

from scaling_operator.api.fields import Scalar
from scaling_operator.api.names import PARAMETER_NAME_PATTERN
from scaling_operator.api.problems import Problem, below
from scaling_operator.api.rules import Rule, literal, value_or
from scaling_operator.api.search import CategoricalParameter, FloatParameter, Parameter
from scaling_operator.validation import builtin_paths
from scaling_operator.validation.draft import PARAMETERS, Draft, mapping_at
from scaling_trainer.config.base import Task
from scaling_trainer.config.builtin import BuiltIn
from scaling_trainer.config.data import SPLIT_TAKES_ALL, Split, SyntheticRatings
from scaling_trainer.config.models import Transformer
from scaling_trainer.config.preprocessing import unsuitable
from scaling_trainer.config.tasks import (
    AUGMENTATION_NEEDS_IMAGES,
    CNN_NEEDS_IMAGES,
    DATASETS_BY_TASK,
    IMAGE_DATASETS,
    MODELS_BY_TASK,
    MSE_UNSUITABLE,
    SHAPES,
)
from scaling_trainer.config.training import PHASES_EXCEED_ALL, WarmupStableDecay

_NAME = re.compile(PARAMETER_NAME_PATTERN)
MOST_OBJECTIONS = 20
"""About the values of one parameter."""

PlacedValue = tuple[str, Scalar]
"""A value that a file gives a parameter, with the path where it stands."""


def preprocessing_suits(draft: Draft) -> Iterator[Problem]:
    """Refuse preprocessing that has no meaning for data whose shape is known before reading."""
    built_in = draft.built_in
    shape = None if built_in is None else SHAPES.get(built_in.dataset.name)
    if built_in is not None and shape is not None:
        for field, sentence in unsuitable(built_in.preprocessing, shape, built_in.task):
            yield Problem(f"spec.trainer.builtIn.preprocessing.{field}", sentence)


def paths_exist(draft: Draft) -> Iterator[Problem]:
    """Ask every name that is searched or scaled for a field of the built-in trainer."""
    if not _is_built_in(draft):
        return
    variants = _variants(draft)
    for path, name in _names(draft):
        place = builtin_paths.find(name, variants)
        if isinstance(place, str):
            yield Problem(path, place)


def values_are_allowed(draft: Draft) -> Iterator[Problem]:
    """Ask each end of a range, choice and size for a value that its field takes."""
    if not _is_built_in(draft):
        return
    variants = _variants(draft)
    for name, values in _values(draft):
        place = builtin_paths.find(name, variants)
        if isinstance(place, str):
            continue
        problems = (
            Problem(path, f"{name} {objection}")
            for path, value in values
            if (objection := builtin_paths.objection(place, value)) is not None
        )
        first = tuple(islice(problems, MOST_OBJECTIONS))
        yield from first or _type_fits(draft, name, place)


def _type_fits(draft: Draft, name: str, place: builtin_paths.Place) -> Iterator[Problem]:
    """Look between a float's ends: a whole number's field does not take what lies there."""
    for value in _between(draft.parameters.get(name)):
        objection = builtin_paths.objection(place, value)
        if objection is not None:
            path = below(below(PARAMETERS, name), "type")
            yield Problem(path, f"{name} {objection}; use type int, or categorical")


def _is_built_in(draft: Draft) -> bool:
    return "builtIn" in mapping_at(draft.written, "trainer")


def _variants(draft: Draft) -> builtin_paths.Variants:
    """Variants that some trial may have: those written, and those that are searched."""
    variants = builtin_paths.variants_written(mapping_at(draft.written, "trainer", "builtIn"))
    searched: list[tuple[str, tuple[Scalar, ...]]] = [
        (name, parameter.choices)
        for name, parameter in draft.parameters.items()
        if isinstance(parameter, CategoricalParameter)
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
    yield from draft.scaled_paths


def _values(draft: Draft) -> Iterator[tuple[str, tuple[PlacedValue, ...]]]:
    for name, parameter in draft.parameters.items():
        yield name, written_values(name, parameter)
    for path, rung in draft.scales:
        for name, value in rung.items():
            place = path if "sizes" in path else below(path, name)
            yield name, ((place, value),)


def written_values(name: str, parameter: Parameter) -> tuple[PlacedValue, ...]:
    """Values that a file gives a parameter: its choices, or the ends of its range."""
    path = below(PARAMETERS, name)
    if isinstance(parameter, CategoricalParameter):
        choices = enumerate(parameter.choices)
        return tuple((f"{path}.choices[{index}]", choice) for index, choice in choices)
    ends = {"low": parameter.low, "high": parameter.high}
    # As JSON has them: a field for whole numbers takes 8.0, as 8.
    return tuple(
        (f"{path}.{field}", int(end) if float(end).is_integer() else end)
        for field, end in ends.items()
    )


def _between(parameter: Parameter | None) -> tuple[Scalar, ...]:
    """Give a value between a float's ends that is no whole number, if there is one."""
    if not isinstance(parameter, FloatParameter) or parameter.low == parameter.high:
        return ()
    if parameter.low.is_integer() and (parameter.step or 0.5).is_integer():
        return ()
    # 0.382, the golden section, makes no round number of round ends.
    return (parameter.low + (parameter.step or 0.382 * (parameter.high - parameter.low)),)


def _field_or_default(section: type[BaseModel], field: str) -> str:
    default: Any = section.model_fields[field].default
    return value_or(field, default)


def _suits(field: str, by_task: Mapping[Task, Sequence[str]]) -> tuple[Rule[Draft], ...]:
    return tuple(
        Rule(
            section=BuiltIn,
            cel=f"self.task != '{task}' || self.{field}.name in {literal(names)}",
            message=f"with task {task}, {field}.name must be one of {', '.join(names)}",
            field=f"{field}.name",
        )
        for task, names in by_task.items()
    )


_OF_BUILT_IN: tuple[Rule[Draft], ...] = (
    *_suits("dataset", DATASETS_BY_TASK),
    *_suits("model", MODELS_BY_TASK),
    Rule(
        section=BuiltIn,
        cel=f"self.model.name != 'cnn' || self.dataset.name in {literal(IMAGE_DATASETS)}",
        message=CNN_NEEDS_IMAGES,
        field="model.name",
    ),
    Rule(
        section=BuiltIn,
        cel="!has(self.preprocessing) || !has(self.preprocessing.augmentation) || "
        f"self.dataset.name in {literal(IMAGE_DATASETS)}",
        message=AUGMENTATION_NEEDS_IMAGES,
        field="preprocessing.augmentation",
    ),
    Rule(
        section=BuiltIn,
        cel="!has(self.loss) || self.loss != 'cross-entropy' || "
        "!(self.task in ['regression', 'recommendation'])",
        message="loss cross-entropy does not suit regression and recommendation: use mse",
        field="loss",
    ),
    Rule(
        section=BuiltIn,
        cel="!has(self.loss) || self.loss != 'mse' || self.task != 'language-modelling'",
        message=MSE_UNSUITABLE,
        field="loss",
    ),
    Rule(
        section=Split,
        cel=f"{_field_or_default(Split, 'validation')} + {_field_or_default(Split, 'test')} < 1.0",
        message=SPLIT_TAKES_ALL,
        field="validation",
    ),
    Rule(
        section=SyntheticRatings,
        cel=f"{_field_or_default(SyntheticRatings, 'ratings')} <= "
        f"{_field_or_default(SyntheticRatings, 'users')} * "
        f"{_field_or_default(SyntheticRatings, 'items')}",
        message="more ratings than there are pairs of users and items",
        field="ratings",
    ),
    Rule(
        section=Transformer,
        cel=f"{_field_or_default(Transformer, 'width')} % "
        f"{_field_or_default(Transformer, 'heads')} == 0",
        message="heads must divide the width",
        field="heads",
    ),
    Rule(
        section=WarmupStableDecay,
        cel=f"{_field_or_default(WarmupStableDecay, 'warmup')} + "
        f"{_field_or_default(WarmupStableDecay, 'decay')} <= 1.0",
        message=PHASES_EXCEED_ALL,
        field="decay",
    ),
)
TRAINER_RULES: tuple[Rule[Draft], ...] = (
    *_OF_BUILT_IN,
    Rule(check=preprocessing_suits),
    Rule(check=paths_exist),
    Rule(check=values_are_allowed),
)
