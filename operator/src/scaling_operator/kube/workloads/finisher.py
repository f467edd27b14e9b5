"""The finisher: the pod that saves the best trial's model, from the trainer's image."""

from __future__ import annotations

from typing import Any

from scaling_operator.api.names import (
    API_VERSION,
    EXPERIMENT_KIND,
    GROUP,
    LABEL_EXPERIMENT,
    LABEL_FINISHES,
    finisher_name,
)
from scaling_operator.kube.workloads.attempt_spec import AttemptSpec
from scaling_operator.kube.workloads.pod_template import TEMPORARY, assignment_of, escaped, pod_spec
from scaling_trainer.contract import environment_of

COMMAND = ("scaling", "finish")


def manifest(attempt_spec: AttemptSpec, experiment_uid: str) -> dict[str, Any]:
    """Write the Pod; `order` is one of the best trial, whose folder and place it shares."""
    spec = pod_spec(attempt_spec)
    (container,) = spec["containers"]
    settings = attempt_spec.settings
    container |= {
        "image": settings.trainer_image,
        "command": list(COMMAND),
        "args": [],
        "workingDir": TEMPORARY,
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
            "labels": {
                "app.kubernetes.io/managed-by": GROUP.partition(".")[0],
                LABEL_EXPERIMENT: attempt_spec.experiment,
                LABEL_FINISHES: f"{attempt_spec.trial.spec.scale}-{attempt_spec.trial.spec.number}",
            },
            "ownerReferences": [
                {
                    "apiVersion": API_VERSION,
                    "kind": EXPERIMENT_KIND,
                    "name": attempt_spec.experiment,
                    "uid": experiment_uid,
                    "controller": True,
                    "blockOwnerDeletion": False,
                }
            ],
        },
        "spec": spec,
    }


def _variables(attempt_spec: AttemptSpec) -> list[dict[str, Any]]:
    contract = environment_of(assignment_of(attempt_spec))
    # The image's own home belongs to one user; the pod may run as another.
    values = {**contract, "HOME": TEMPORARY}
    return [{"name": name, "value": escaped(value)} for name, value in values.items()]
