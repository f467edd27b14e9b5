"""Which shapes of a policy no node offers now: by its resource and its labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scaling_operator.api.policy import PolicySpec, Shape


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node: its labels, and how many of each resource pods may have."""

    labels: Mapping[str, str]
    allocatable: Mapping[str, str]


def not_offered(policy: PolicySpec, nodes: Sequence[NodeView]) -> tuple[str, ...]:
    """Name the shapes that no node has. With claims the driver knows, not the node."""
    if policy.backend == "dra":
        return ()
    return tuple(
        shape.name for shape in policy.shapes if not any(_has(node, shape) for node in nodes)
    )


def _has(node: NodeView, shape: Shape) -> bool:
    labelled = all(node.labels.get(key) == value for key, value in shape.node_selector.items())
    return labelled and (
        shape.resource is None or node.allocatable.get(shape.resource, "0") not in ("", "0")
    )
