"""The finisher: the pod that saves the best trial's model, with the trainer's image."""

from __future__ import annotations

from typing import Any

from scaling_operator.api.names import EXPERIMENT_KIND, finisher_name
from scaling_operator.kube.workloads.attempt_spec import AttemptSpec
from scaling_operator.kube.workloads.identity import finisher_labels, owner_reference
from scaling_operator.kube.workloads.pod_template import (
    TEMPORARY_FOLDER,
    assignment_of_pod,
    escaped,
    pod_spec,
)
from scaling_trainer.contract import environment_of

COMMAND = ("scaling", "finish")


def manifest(attempt_spec: AttemptSpec, experiment_uid: str) -> dict[str, Any]:
    """Write the Pod; `attempt_spec` is of the best trial, whose folder and placement it shares."""
    spec = pod_spec(attempt_spec)
    (container,) = spec["containers"]
    settings, trial = attempt_spec.settings, attempt_spec.trial.spec
    container |= {
        "image": settings.trainer_image,
        "command": list(COMMAND),
        "args": [],
        "workingDir": TEMPORARY_FOLDER,
        "env": _variables(attempt_spec),
    }
    if settings.image_pull_policy:
        container["imagePullPolicy"] = settings.image_pull_policy
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": finisher_name(attempt_spec.experiment),
            "namespace": attempt_spec.namespace,
            "labels": finisher_labels(attempt_spec.experiment, trial.scale, trial.number),
            "ownerReferences": [
                owner_reference(EXPERIMENT_KIND, attempt_spec.experiment, experiment_uid)
            ],
        },
        "spec": spec,
    }


def _variables(attempt_spec: AttemptSpec) -> list[dict[str, Any]]:
    contract = environment_of(assignment_of_pod(attempt_spec))
    # The home of the image belongs to one user, and the pod may run as another.
    values = {**contract, "HOME": TEMPORARY_FOLDER}
    return [{"name": name, "value": escaped(value)} for name, value in values.items()]
