"""A draft: the sound sections of an experiment that may have faults elsewhere.

The rules that look at several sections take a draft, so that one bad field hides no other problem.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from scaling_operator.api.container import Container
from scaling_operator.api.experiment import ExperimentSpec, Objective, Trainer
from scaling_operator.api.fields import Scalar
from scaling_operator.api.search import CategoricalParameter, Parameter
from scaling_operator.validation.errors import read
from scaling_operator.validation.space import Conditions
from scaling_trainer.config.builtin import BuiltIn

T = TypeVar("T")
PARAMETERS = "spec.search.parameters"


class DraftSpec(ExperimentSpec):
    """ExperimentSpec whose sections may all be missing."""

    trainer: Trainer | None = None  # pyright: ignore[reportIncompatibleVariableOverride, reportGeneralTypeIssues]


@dataclass(frozen=True, slots=True)
class Draft:
    """The sound sections, the whole `spec` as written, and when sound parameters are active."""

    spec: DraftSpec
    written: Mapping[str, Any]
    conditions: Conditions

    @property
    def objectives(self) -> tuple[tuple[str, Objective], ...]:
        """Sound objectives with their paths."""
        if self.spec.objective is not None:
            return (("spec.objective", self.spec.objective),)
        return tuple(
            (f"spec.objectives[{index}]", objective)
            for index, objective in enumerate(self.spec.objectives)
        )

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        """Sound searched parameters."""
        return self.spec.search.parameters

    @property
    def declared(self) -> tuple[str, ...]:
        """Names of all searched parameters, faulty ones too."""
        return tuple(mapping_at(self.written, "search", "parameters"))

    def is_whole(self, name: str) -> bool:
        """Whether all of a searched parameter is sound; else it has more choices than are known."""
        parameter = self.parameters.get(name)
        written = mapping_at(self.written, "search", "parameters", name)
        if not isinstance(parameter, CategoricalParameter):
            return parameter is not None
        return len(parameter.choices) == len(written.get("choices", ()))

    @property
    def scaled(self) -> tuple[str, ...]:
        """Names of the parameters that the ladder sets."""
        return () if self.spec.scaling is None else self.spec.scaling.scaled

    @property
    def scaled_paths(self) -> tuple[tuple[str, str], ...]:
        """The same names, each with the path where the ladder names it."""
        if self.spec.scaling is None or self.spec.scaling.parameter is None:
            return tuple((f"spec.scaling.rungs[0].{name}", name) for name in self.scaled)
        return (("spec.scaling.parameter", self.spec.scaling.parameter),)

    @property
    def scales(self) -> tuple[tuple[str, Mapping[str, Scalar]], ...]:
        """What each rung of the ladder sets, with its path."""
        scaling = self.spec.scaling
        if scaling is None:
            return ()
        field = "rungs" if scaling.parameter is None else "sizes"
        rungs = enumerate(scaling.all_rungs)
        return tuple((f"spec.scaling.{field}[{index}]", rung) for index, rung in rungs)

    @property
    def built_in(self) -> BuiltIn | None:
        """The built-in trainer's configuration where it is sound."""
        return None if self.spec.trainer is None else self.spec.trainer.built_in

    @property
    def container(self) -> Container | None:
        """The container where it is sound."""
        return None if self.spec.trainer is None else self.spec.trainer.container


def draft_of(sound: Mapping[str, Any], written: Mapping[str, Any]) -> Draft | None:
    """Read a document that was left without its faulty parts; None where it has no spec."""
    spec = sound.get("spec")
    if not isinstance(spec, Mapping):
        return None
    sections = read(DraftSpec, spec)
    conditions = Conditions(sections.search.parameters)
    return Draft(sections, mapping_at(written, "spec"), conditions)


def spread(values: Sequence[T], most: int) -> Sequence[T]:
    """Take a few of many, the first and the last among them."""
    if len(values) <= most:
        return values
    return [values[place * (len(values) - 1) // (most - 1)] for place in range(most)]


def mapping_at(document: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    """Get the mapping at a path; an empty one where there is none."""
    value: Any = document
    for step in path:
        value = cast("Mapping[str, Any]", value).get(step) if isinstance(value, Mapping) else None
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}
