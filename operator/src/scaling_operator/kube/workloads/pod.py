"""The default kind: an attempt is one Pod."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scaling_operator.core.observed import ABSENT, AttemptView
from scaling_operator.kube.workloads.attempt_spec import AttemptSpec, GracePeriods
from scaling_operator.kube.workloads.pod_template import metadata, pod_spec
from scaling_operator.kube.workloads.pod_view import ObservedPod, view_of_pod
from scaling_operator.kube.workloads.untrusted import Json, timestamp


def manifest(attempt_spec: AttemptSpec) -> dict[str, Any]:
    """Write the Pod of an attempt. Raises InvalidSpec where the platform does not allow it."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata(attempt_spec),
        "spec": pod_spec(attempt_spec),
    }


def observe(objects: Sequence[Json], grace: GracePeriods, now_seconds: float) -> AttemptView:
    """View an attempt by its pod; ABSENT where it has none. Never raises."""
    if not objects:
        return ABSENT
    newest = max(objects, key=lambda pod: timestamp(pod, "metadata", "creationTimestamp") or 0.0)
    return view_of_pod(ObservedPod(newest, grace, now_seconds))
