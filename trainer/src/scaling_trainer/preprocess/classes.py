"""Classes: what they are called in the data, and in the name of a metric."""

from __future__ import annotations

from collections.abc import Iterable

from scaling_trainer.metric_names import word_of
from scaling_trainer.preprocess.inputs import ClassTarget


def class_target(labels: Iterable[str]) -> ClassTarget:
    """Give each label a name fit for a metric's name (`val_recall_<name>`), no two the same."""
    ordered = tuple(labels)
    names: dict[str, None] = {}
    for label in ordered:
        plain = word_of(label).strip("_") or "class"
        name, number = plain, 1
        while name in names:
            number += 1
            name = f"{plain}_{number}"
        names[name] = None
    return ClassTarget(ordered, tuple(names))


def in_order(labels: Iterable[str]) -> list[str]:
    """Sort labels, numbers by size."""
    different = set(labels)
    try:
        return sorted(different, key=lambda label: (float(label), label))
    except ValueError:  # at least one is no number
        return sorted(different)
