"""Which parts of a spec may not change once the experiment is accepted.

A result folder is checked by `changed_parts`; the API server by rules in CEL from the same paths.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scaling_operator.api.experiment import ExperimentSpec, Trainer
from scaling_operator.api.fields import ApiSection
from scaling_operator.api.scaling import Scaling

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


def fixed_parts() -> Mapping[str, tuple[str, ...]]:
    """Name what is fixed within each part of a spec; nothing is named where all of it is."""
    parts: dict[str, tuple[str, ...]] = {}
    for path in FIXED:
        part, _, field = path.partition(".")
        parts[part] = (*parts.get(part, ()), *([field] if field else []))
    return parts


def free_fields(part: str) -> tuple[str, ...]:
    """Name the fields of a part that may change, where the rest of it may not."""
    model = _SECTIONS.get(part)
    fields = () if model is None else (str(each.alias) for each in model.model_fields.values())
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
