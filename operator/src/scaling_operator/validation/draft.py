"""What is sound of an experiment that may have faults elsewhere.

The checks that look at several sections take a draft, so that one bad field hides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, cast

from pydantic import Field

from scaling_operator.api.container import Container
from scaling_operator.api.experiment import (
    Artifacts,
    Budget,
    Objective,
    Resources,
    Trainer,
    Trials,
)
from scaling_operator.api.fields import ApiSection, Scalar
from scaling_operator.api.scaling import Scaling
from scaling_operator.api.search import CategoricalParameter, Parameter, Search
from scaling_operator.validation.sections import read
from scaling_operator.validation.space import Conditions
from scaling_trainer.config.builtin import BuiltIn

T = TypeVar("T")


class DraftSpec(ApiSection):
    """ExperimentSpec without rules of its own: every section may be missing."""

    objective: Objective | None = None
    objectives: Annotated[tuple[Objective, ...], Field(max_length=8)] = ()
    search: Search = Search()
    scaling: Scaling | None = None
    trials: Trials = Trials()
    budget: Budget = Budget()
    resources: Resources = Resources()
    trainer: Trainer | None = None
    artifacts: Artifacts = Artifacts()
    suspend: bool = False


@dataclass(frozen=True, slots=True)
class Draft:
    """The sound sections, the whole `spec` as it was written, when sound parameters are active."""

    spec: DraftSpec
    written: Mapping[str, Any]
    conditions: Conditions

    @property
    def objectives(self) -> tuple[tuple[str, Objective], ...]:
        """Sound objectives with their paths."""
        if self.spec.objective is not None:
            return (("spec.objective", self.spec.objective),)
        return tuple(
            (f"spec.objectives[{at}]", each) for at, each in enumerate(self.spec.objectives)
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
        """Whether all of a searched parameter is sound; else it may look narrower than it is."""
        parameter = self.parameters.get(name)
        written = mapping_at(self.written, "search", "parameters", name)
        if not isinstance(parameter, CategoricalParameter):
            return parameter is not None
        return len(parameter.choices) == len(written.get("choices", ()))

    @property
    def scaled(self) -> tuple[str, ...]:
        """Names of the parameters that the ladder sets."""
        scaling = self.spec.scaling
        if scaling is None:
            return ()
        if scaling.parameter is not None:
            return (scaling.parameter,)
        return tuple(scaling.rungs[0]) if scaling.rungs else ()

    @property
    def scales(self) -> tuple[tuple[str, Mapping[str, Scalar]], ...]:
        """What each rung of the ladder sets, with its path."""
        scaling = self.spec.scaling
        if scaling is None:
            return ()
        if scaling.parameter is not None:
            name = scaling.parameter
            return tuple(
                (f"spec.scaling.sizes[{at}]", {name: size}) for at, size in enumerate(scaling.sizes)
            )
        return tuple((f"spec.scaling.rungs[{at}]", rung) for at, rung in enumerate(scaling.rungs))

    @property
    def built_in(self) -> BuiltIn | None:
        """The built-in trainer's configuration where it is sound."""
        return None if self.spec.trainer is None else self.spec.trainer.built_in

    @property
    def container(self) -> Container | None:
        """The container where it is sound."""
        return None if self.spec.trainer is None else self.spec.trainer.container


def draft_of(sound: Mapping[str, Any], written: Mapping[str, Any]) -> Draft | None:
    """Read what is left of a document without its faulty parts; None where it has no spec."""
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
    return [values[at * (len(values) - 1) // (most - 1)] for at in range(most)]


def mapping_at(document: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    """Get the mapping at a path; an empty one where there is none."""
    at: Any = document
    for step in path:
        at = cast("Mapping[str, Any]", at).get(step) if isinstance(at, Mapping) else None
    return cast("Mapping[str, Any]", at) if isinstance(at, Mapping) else {}
