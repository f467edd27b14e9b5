"""Rules of a whole experiment and of a trial in CEL, by the name of the model.

They say what the models' own rules and the checks say, as far as the API server can see it; the
operator looks at the rest and answers with the condition Accepted=False.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scaling_operator.validation.cel import Rule, given
from scaling_operator.validation.cel_pod import POD_RULES
from scaling_operator.validation.cel_policy import POLICY_RULES
from scaling_operator.validation.cel_search import SEARCH_RULES
from scaling_operator.validation.cel_trainer import TRAINER_RULES
from scaling_operator.validation.immutable import fixed_parts, free_fields

_SPEC = (
    Rule(
        f"has(self.objective) != {given('objectives')}",
        "set exactly one of objective, objectives",
        ".objective",
    ),
    Rule(
        "!has(self.objectives) || size(self.objectives) != 1",
        "objectives needs two or more; for one metric use objective",
        ".objectives",
    ),
    Rule(
        "!has(self.objectives) || self.objectives.all(one, "
        "self.objectives.exists_one(other, other.metric == one.metric))",
        "each metric may stand once",
        ".objectives",
    ),
    Rule(
        f"!{given('objectives')} || !has(self.search) || !has(self.search.pruner) || "
        "self.search.pruner.name == 'none'",
        "a pruner needs a single objective; with objectives use none",
        ".search.pruner",
    ),
    Rule(
        f"!{given('objectives')} || !has(self.scaling)",
        "a ladder needs a single objective; use objective, not objectives",
        ".scaling",
    ),
    Rule(
        "!has(self.scaling) || !has(self.scaling.parameter) || !has(self.search) || "
        "!has(self.search.parameters) || !(self.scaling.parameter in self.search.parameters)",
        "what scaling sets may not be searched too",
        ".scaling.parameter",
    ),
    Rule(
        "!has(self.scaling) || !has(self.scaling.design) || self.scaling.design != 'isoflop' || "
        "!has(self.trainer.container)",
        "isoflop needs the FLOPs per sample, which are not known for a container: use "
        "trainer.builtIn, or design grid with data",
        ".scaling.design",
    ),
)
_ACCEPTED = (
    "!has(oldSelf.status) || !has(oldSelf.status.conditions) || "
    "!oldSelf.status.conditions.exists(each, each.type == 'Accepted' && each.status == 'True') || "
)


def _unchanged(parent: str, field: str) -> str:
    """Both have the field and it is equal, or neither has it."""
    new, old = f"self.{parent}.{field}", f"oldSelf.{parent}.{field}"
    return f"(has({new}) ? has({old}) && {new} == {old} : !has({old}))"


def _unchanged_within(part: str, fields: Sequence[str]) -> str:
    """Both have the part and these fields of it are equal, or neither has it."""
    new, old = f"has(self.spec.{part})", f"has(oldSelf.spec.{part})"
    whole = " && ".join(_unchanged(f"spec.{part}", field) for field in fields)
    return f"{new} == {old} && (!{new} || ({whole}))"


def _fixed(part: str, fields: Sequence[str]) -> Rule:
    unchanged = _unchanged_within(part, fields) if fields else _unchanged("spec", part)
    free = ", ".join(free_fields(part))
    but = f", but for {free}" if free else ""
    message = f"{part} cannot change once the experiment is accepted{but}; make a new experiment"
    return Rule(f"{_ACCEPTED}({unchanged})", message, f".spec.{part}", "FieldValueForbidden")


_EXPERIMENT = tuple(_fixed(part, fields) for part, fields in fixed_parts().items())
_EXPERIMENT_RULES: Mapping[str, tuple[Rule, ...]] = {
    "ExperimentSpec": _SPEC,
    "ScalingExperiment": _EXPERIMENT,
    "Trainer": (
        Rule("has(self.builtIn) != has(self.container)", "set exactly one of builtIn, container"),
    ),
    "Artifacts": (
        Rule(
            "!(has(self.persistentVolumeClaim) && has(self.emptyDir))",
            "set at most one of persistentVolumeClaim, emptyDir",
        ),
    ),
    "TrialSpec": (
        Rule("self == oldSelf", "a trial's spec never changes", "", "FieldValueForbidden"),
    ),
}


def rules_of(model: str) -> tuple[Rule, ...]:
    """Rules of a model, by its class's name."""
    return _RULES.get(model, ())


_RULES = {**SEARCH_RULES, **TRAINER_RULES, **POD_RULES, **POLICY_RULES, **_EXPERIMENT_RULES}
