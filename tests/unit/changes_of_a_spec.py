"""Changes of an accepted experiment and what is said of them, for a folder and for an API server.

One table: `validation/test_immutable.py` asks the function that a result folder is checked by,
`validation/test_rules.py` the rules in CEL,
`tests/cluster/test_crd_changes.py` a real API server.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

from testbed.documents import Change, changed


class Row(NamedTuple):
    """A change of `testbed.documents.experiment`, and the parts that are named for it."""

    why: str
    changes: tuple[Change, ...]
    parts: tuple[str, ...] = ()


def row(why: str, path: str, value: Any, *parts: str) -> Row:
    return Row(why, ((f"spec/{path}", value),), tuple(f"spec.{part}" for part in parts))


_TWO = [{"metric": metric, "direction": "minimize"} for metric in ("val_loss", "train_loss")]
_OWN = {"image": "me/train", "command": ["train"]}
_RUNGS = [{"model.width": width} for width in (16, 32, 64)]
FIXED = (
    row("another direction", "objective/direction", "maximize", "objective"),
    row("another aim", "objective/goal", 0.5, "objective"),
    Row(
        "several objectives instead of one",
        (("spec/objective", None), ("spec/objectives", _TWO), ("spec/scaling", None)),
        ("spec.objective", "spec.objectives", "spec.scaling"),
    ),
    row("other random numbers", "search/algorithm/seed", 8, "search"),
    row(
        "one parameter more",
        "search/parameters/model.dropout",
        {"type": "float", "low": 0, "high": 1},
        "search",
    ),
    row(
        "a range that is a little wider",
        "search/parameters/optimizer.learning_rate/high",
        2,
        "search",
    ),
    row("trials are stopped early", "search/pruner", {"name": "median"}, "search"),
    row("other points are tried first", "search/warmStart", {"from": ["other"]}, "search"),
    row("the same points again", "search/repeats", "train", "search"),
    row("nothing is searched", "search", None, "search"),
    row("other sizes", "scaling/sizes", [16, 32, 128], "scaling"),
    row("the size is another parameter's", "scaling/parameter", "model.depth", "scaling"),
    Row(
        "the same sizes as rungs",
        (
            ("spec/scaling/parameter", None),
            ("spec/scaling/sizes", None),
            ("spec/scaling/rungs", _RUNGS),
        ),
        ("spec.scaling",),
    ),
    Row(
        "sizes by data",
        (("spec/scaling/design", "grid"), ("spec/scaling/data", [1000, 2000])),
        ("spec.scaling",),
    ),
    Row(
        "sizes by budgets",
        (("spec/scaling/design", "isoflop"), ("spec/scaling/budgets", [1e9, 1e10])),
        ("spec.scaling",),
    ),
    row("sizes learn from each other", "scaling/transfer", {"topK": 2}, "scaling"),
    row("no ladder", "scaling", None, "scaling"),
    row("longer training", "trainer/builtIn/epochs", 3, "trainer"),
    row("other data", "trainer/builtIn/dataset/name", "breast-cancer", "trainer"),
    row("a program of one's own", "trainer", {"builtIn": None, "container": _OWN}, "trainer"),
    Row(
        "two parts at once, and one that may change",
        (
            ("spec/objective/goal", 0.5),
            ("spec/trainer/builtIn/epochs", 3),
            ("spec/trials/max", 80),
        ),
        ("spec.objective", "spec.trainer"),
    ),
)
FREE = (
    row("more trials", "trials/max", 80),
    row("fewer at once", "trials/parallel", 1),
    Row("a pause", (("spec/suspend", True),)),
    row("where pods run", "trainer/pod", {"nodeSelector": {"zone": "a"}}),
    row("a budget", "budget", {"duration": "8h", "onExceeded": "suspend"}),
    row("a machine", "resources", {"fixed": {"cpu": 2}}),
    row("a place for models", "artifacts", {"persistentVolumeClaim": {"claimName": "models"}}),
    row("another question", "scaling/targets", [{"flops": 1e15}]),
    row("another fit", "scaling/fit", {"bootstrap": 500}),
    row("sizes are added", "scaling/refine", {"maxSizes": 1}),
)
# Nothing is meant otherwise, but an API server compares what is written: it knows no defaults.
SPELLED_OUT = (
    row("the default of repeats", "search/repeats", "skip", "search"),
    row("the default design", "scaling/design", "ladder", "scaling"),
    row("no data, as before", "scaling/data", [], "scaling"),
    row("no second objective, as before", "objectives", [], "objectives"),
)


def body(changes: tuple[Change, ...]) -> dict[str, Any]:
    """Write changes as a merge patch."""
    return changed({}, *changes)


def patched(document: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """Apply a merge patch as an API server does: null takes a field away (RFC 7386)."""
    merged = {key: value for key, value in document.items() if key not in patch}
    for key, value in patch.items():
        if isinstance(value, dict):
            below: Any = document.get(key)
            old = cast("dict[str, Any]", below if isinstance(below, dict) else {})
            merged[key] = patched(old, cast("dict[str, Any]", value))
        elif value is not None:
            merged[key] = value
    return merged
