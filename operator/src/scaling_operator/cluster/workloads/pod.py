"""The default kind: an attempt is one Pod."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scaling_operator.cluster.workloads.order import AttemptOrder, Bounds
from scaling_operator.core.observed import AttemptView


def manifest(order: AttemptOrder) -> dict[str, Any]:
    """Write the Pod of an attempt."""
    raise NotImplementedError(order.name)


def observe(
    objects: Sequence[Mapping[str, Any]], bounds: Bounds, now_seconds: float
) -> AttemptView:
    """Tell where an attempt stands from its Pod; ABSENT where it has none. Never raises."""
    raise NotImplementedError(objects, bounds, now_seconds)
