"""The kind for queues: an attempt is one Job, which Kueue may hold back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scaling_operator.cluster.workloads.order import AttemptOrder, Bounds
from scaling_operator.core.observed import AttemptView


def manifest(order: AttemptOrder) -> dict[str, Any]:
    """Write the Job of an attempt."""
    raise NotImplementedError(order.name)


def observe(
    objects: Sequence[Mapping[str, Any]], bounds: Bounds, now_seconds: float
) -> AttemptView:
    """Tell where an attempt stands from its Job and its Pods. Never raises."""
    raise NotImplementedError(objects, bounds, now_seconds)
