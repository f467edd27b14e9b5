"""Which parts of a spec may not change once the experiment has begun.

The CRD holds the same rule in CEL; a result folder is checked by this one.
"""

from __future__ import annotations

from typing import Any

from scaling_operator.api.experiment import ExperimentSpec


def changed_parts(before: ExperimentSpec, after: ExperimentSpec) -> tuple[str, ...]:
    """Paths of immutable parts that differ: objective, search, ladder and trainer."""
    old, new = _immutable(before), _immutable(after)
    return tuple(path for path in old if old[path] != new[path])


def _immutable(spec: ExperimentSpec) -> dict[str, Any]:
    document = spec.model_dump(mode="json")
    scaling = document.get("scaling")
    if scaling is not None:
        # What may change while it runs: the question asked of the results, not the results.
        document["scaling"] = {
            key: value for key, value in scaling.items() if key not in ("targets", "fit", "refine")
        }
    # Where a pod runs is no part of what it measures.
    document["trainer"] = {**document["trainer"], "pod": None}
    return {
        f"spec.{key}": document[key]
        for key in ("objective", "objectives", "search", "scaling", "trainer")
    }
