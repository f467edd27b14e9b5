"""Which parts of a spec may not change once the experiment is accepted.

`FIXED` is the one list of them. A result folder is checked by `changed_parts`, which compares what
is meant; the API server by rules in CEL, which compare what is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scaling_operator.api.experiment import ExperimentSpec, ScalingExperiment, Trainer
from scaling_operator.api.fields import ApiSection
from scaling_operator.api.rules import Rule
from scaling_operator.api.scaling import Scaling
from scaling_operator.api.trial import TrialSpec

# All that trials are answers to. What is not here may change: the question asked of the results
# (targets, fit, refine), where a pod runs (trainer.pod), and how much is done.
FIXED = (
    "objective",
    "objectives",
    "search",
    "scaling.parameter",
    "scaling.sizes",
    "scaling.rungs",
    "scaling.design",
    "scaling.data",
    "scaling.budgets",
    "scaling.transfer",
    "trainer.builtIn",
    "trainer.container",
)
_SECTIONS: Mapping[str, type[ApiSection]] = {"scaling": Scaling, "trainer": Trainer}
_FORBIDDEN = "FieldValueForbidden"
_IS_NOT_ACCEPTED = (
    "!has(oldSelf.status) || !has(oldSelf.status.conditions) || "
    "!oldSelf.status.conditions.exists(each, each.type == 'Accepted' && each.status == 'True')"
)


def fixed_parts() -> Mapping[str, tuple[str, ...]]:
    """Name what is fixed within each part of a spec; nothing is named where all of it is."""
    parts: dict[str, tuple[str, ...]] = {}
    for path in FIXED:
        part, _, field = path.partition(".")
        parts[part] = (*parts.get(part, ()), *([field] if field else []))
    return parts


def free_fields(part: str) -> tuple[str, ...]:
    """Name the fields of a part that may change, where the rest of it may not."""
    section = _SECTIONS.get(part)
    fields = () if section is None else (str(info.alias) for info in section.model_fields.values())
    return tuple(field for field in fields if f"{part}.{field}" not in FIXED)


def changed_parts(before: ExperimentSpec, after: ExperimentSpec) -> tuple[str, ...]:
    """Paths of the parts that differ in what may not change, such as spec.search."""
    old, new = (spec.model_dump(mode="json") for spec in (before, after))
    changed = (path for path in FIXED if _at(old, path) != _at(new, path))
    return tuple(dict.fromkeys(f"spec.{path.partition('.')[0]}" for path in changed))


def _at(document: Any, path: str) -> Any:
    for step in path.split("."):
        document = None if document is None else document[step]
    return document


def _is_unchanged(parent: str, field: str) -> str:
    """Write in CEL that both have the field and it is equal, or neither has it."""
    new, old = f"self.{parent}.{field}", f"oldSelf.{parent}.{field}"
    return f"(has({new}) ? has({old}) && {new} == {old} : !has({old}))"


def _is_unchanged_within(part: str, fields: Sequence[str]) -> str:
    """Write in CEL that both have the part and these fields are equal, or neither has it."""
    new, old = f"has(self.spec.{part})", f"has(oldSelf.spec.{part})"
    whole = " && ".join(_is_unchanged(f"spec.{part}", field) for field in fields)
    return f"{new} == {old} && (!{new} || ({whole}))"


def _fixed(part: str, fields: Sequence[str]) -> Rule[Any]:
    unchanged = _is_unchanged_within(part, fields) if fields else _is_unchanged("spec", part)
    free = ", ".join(free_fields(part))
    but = f", but for {free}" if free else ""
    return Rule(
        section=ScalingExperiment,
        cel=f"{_IS_NOT_ACCEPTED} || ({unchanged})",
        message=f"{part} cannot change once the experiment is accepted{but}; make a new experiment",
        field=f"spec.{part}",
        reason=_FORBIDDEN,
    )


IMMUTABLE_RULES: tuple[Rule[Any], ...] = (
    *(_fixed(part, fields) for part, fields in fixed_parts().items()),
    Rule(
        section=TrialSpec,
        cel="self == oldSelf",
        message="a trial's spec never changes",
        reason=_FORBIDDEN,
    ),
)
"""What only an API server can hold: it alone sees a change."""
