"""The pod of an attempt, whatever makes it: the same template in a Pod and in a Job.

It keeps the *restricted* profile of Kubernetes' pod security standards, holds no token of the API
server, and shows the trainer nothing of the namespace's Services.
"""

from __future__ import annotations

import math
from typing import Any

from scaling_operator.api.names import (
    ANNOTATION_RESOURCES,
    API_VERSION,
    GROUP,
    LABEL_ATTEMPT,
    LABEL_EXPERIMENT,
    LABEL_SCALE,
    LABEL_TRIAL,
    RESULT_FILE,
    TRIAL_KIND,
)
from scaling_operator.api.problems import InvalidSpec
from scaling_operator.kube.workloads.attempt_spec import AttemptSpec, refusals
from scaling_operator.kube.workloads.claim import container_claims, pod_claims
from scaling_operator.kube.workloads.environment import variables
from scaling_operator.kube.workloads.machine_record import written_record
from scaling_operator.kube.workloads.volumes import TEMPORARY, mounts, volumes, written

CONTAINER = "trainer"
BUILT_IN_COMMAND = ("scaling-trainer", "run")
DEADLINE_SLACK_SECONDS = 60

Json = dict[str, Any]


def metadata(attempt_spec: AttemptSpec) -> Json:
    """Write name, labels and owner of an attempt's workload, and what machine it was given."""
    recorded = attempt_spec.resources.recorded
    annotations = {} if recorded is None else {ANNOTATION_RESOURCES: written_record(recorded)}
    return {
        "name": attempt_spec.name,
        "namespace": attempt_spec.namespace,
        "labels": labels(attempt_spec),
        **({"annotations": annotations} if annotations else {}),
        "ownerReferences": [
            {
                "apiVersion": API_VERSION,
                "kind": TRIAL_KIND,
                "name": attempt_spec.trial_name,
                "uid": attempt_spec.trial.metadata["uid"],
                "controller": True,
                # A trial may go at once; its pods follow by garbage collection.
                "blockOwnerDeletion": False,
            }
        ],
    }


def labels(attempt_spec: AttemptSpec) -> dict[str, str]:
    """Write the labels that every pod of an attempt has; the trial's is its object's name."""
    return {
        "app.kubernetes.io/managed-by": GROUP.partition(".")[0],
        LABEL_EXPERIMENT: attempt_spec.experiment,
        LABEL_SCALE: str(attempt_spec.trial.spec.scale),
        LABEL_TRIAL: attempt_spec.trial_name,
        LABEL_ATTEMPT: str(attempt_spec.attempt),
    }


def pod_spec(attempt_spec: AttemptSpec) -> Json:
    """Write the spec of an attempt's pod.

    Raises InvalidSpec where this cluster does not give what the experiment asks for.
    """
    refused = tuple(refusals(attempt_spec.spec, attempt_spec.settings))
    if refused:
        raise InvalidSpec(refused)
    pod, settings = attempt_spec.spec.trainer.pod, attempt_spec.settings
    optional: Json = {
        "serviceAccountName": pod.service_account_name,
        "priorityClassName": settings.priority_class,
        "imagePullSecrets": _pull_secrets(attempt_spec),
        "nodeSelector": {**pod.node_selector, **attempt_spec.resources.node_selector},
        "tolerations": [
            written(each) for each in (*attempt_spec.resources.tolerations, *pod.tolerations)
        ],
        "affinity": written(pod.affinity),
        "resourceClaims": pod_claims(attempt_spec),
    }
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "activeDeadlineSeconds": deadline_seconds(attempt_spec),
        "securityContext": _pod_security(attempt_spec),
        "containers": [_container(attempt_spec)],
        "volumes": volumes(attempt_spec),
        **{field: value for field, value in optional.items() if value},
    }


def deadline_seconds(attempt_spec: AttemptSpec) -> int:
    """How long the pod may live on its node while the operator is away: a backstop.

    The operator itself ends an attempt at `trials.timeout`. The kubelet counts from when it takes
    the pod, pulling images included, so the time of waiting is added.
    """
    trials = attempt_spec.spec.trials
    lasting = trials.timeout.total_seconds() + trials.pending_timeout.total_seconds()
    return math.ceil(lasting) + DEADLINE_SLACK_SECONDS


def _pull_secrets(attempt_spec: AttemptSpec) -> list[Json]:
    own = (secret.name for secret in attempt_spec.spec.trainer.pod.image_pull_secrets)
    return [
        {"name": name} for name in dict.fromkeys((*own, *attempt_spec.settings.image_pull_secrets))
    ]


def _pod_security(attempt_spec: AttemptSpec) -> Json:
    asked = attempt_spec.spec.trainer.pod.security_context
    user = attempt_spec.settings.run_as_user if asked.run_as_user is None else asked.run_as_user
    group = user if asked.run_as_group is None else asked.run_as_group
    return {
        "runAsNonRoot": True,
        "runAsUser": user,
        "runAsGroup": group,
        "fsGroup": group if asked.fs_group is None else asked.fs_group,
        # A claim with a million files is not walked through again for each trial.
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _container(attempt_spec: AttemptSpec) -> Json:
    return {
        "name": CONTAINER,
        **_program(attempt_spec),
        "env": variables(attempt_spec),
        "resources": _resources(attempt_spec),
        "volumeMounts": mounts(attempt_spec),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePath": RESULT_FILE,
        "terminationMessagePolicy": "File",
    }


def _program(attempt_spec: AttemptSpec) -> Json:
    container, settings = attempt_spec.spec.trainer.container, attempt_spec.settings
    if container is None:
        program = {
            "image": settings.trainer_image,
            "imagePullPolicy": settings.image_pull_policy,
            "command": list(BUILT_IN_COMMAND),
            "workingDir": TEMPORARY,
        }
    else:
        program = {
            "image": container.image,
            "imagePullPolicy": container.image_pull_policy,
            "command": list(container.command),
            "args": list(container.args),
            "workingDir": container.working_dir,
        }
    return {field: value for field, value in program.items() if value}


def _resources(attempt_spec: AttemptSpec) -> Json:
    requests, limits = dict(attempt_spec.resources.requests), dict(attempt_spec.resources.limits)
    if attempt_spec.spec.trainer.built_in is not None:
        defaults = {
            "cpu": attempt_spec.settings.default_cpu,
            "memory": attempt_spec.settings.default_memory,
        }
        # A limit alone is a request too.
        requests |= {
            name: defaults[name] for name in defaults if name not in {**requests, **limits}
        }
    described: Json = {
        "requests": requests,
        "limits": limits,
        "claims": container_claims(attempt_spec),
    }
    return {name: amounts for name, amounts in described.items() if amounts}
