"""The pod of an attempt, whatever creates it: the same template in a Pod and in a Job.

It keeps the *restricted* profile of Kubernetes' pod security standards, holds no token of the API
server, and shows the trainer nothing of the namespace's Services.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from scaling_operator.api.container import EnvironmentVariable
from scaling_operator.api.names import (
    ANNOTATION_RESOURCES,
    ARTIFACTS_MOUNT,
    REPORT_AUDIENCE,
    REPORT_MOUNT,
    RESERVED_VOLUMES,
    RESULT_FILE,
    TRIAL_KIND,
)
from scaling_operator.api.problems import InvalidSpec
from scaling_operator.kube.workloads.attempt_spec import AttemptSpec, platform_problems
from scaling_operator.kube.workloads.claim import container_claims, pod_claims
from scaling_operator.kube.workloads.held_resources import machine_annotation
from scaling_operator.kube.workloads.identity import attempt_labels, owner_reference
from scaling_operator.runtime.assignment import AttemptLocations, assignment_of
from scaling_trainer.contract import Assignment, environment_of

CONTAINER = "trainer"
BUILT_IN_COMMAND = ("scaling-trainer", "run")
DEADLINE_SLACK_SECONDS = 60
TOKEN_SECONDS = 3600

Json = dict[str, Any]


def metadata(attempt_spec: AttemptSpec) -> Json:
    """Write name, labels, owner and machine of an attempt's workload."""
    uid = str(attempt_spec.trial.metadata["uid"])
    recorded = attempt_spec.resources.recorded
    annotations = {} if recorded is None else {ANNOTATION_RESOURCES: machine_annotation(recorded)}
    return {
        "name": attempt_spec.name,
        "namespace": attempt_spec.namespace,
        "labels": attempt_labels(attempt_spec.experiment, attempt_spec.key),
        **({"annotations": annotations} if annotations else {}),
        "ownerReferences": [owner_reference(TRIAL_KIND, attempt_spec.trial_name, uid)],
    }


def pod_spec(attempt_spec: AttemptSpec) -> Json:
    """Write the spec of an attempt's pod.

    Raises InvalidSpec where this cluster does not give what the experiment asks for.
    """
    problems = tuple(platform_problems(attempt_spec.spec, attempt_spec.settings))
    if problems:
        raise InvalidSpec(problems)
    pod, settings = attempt_spec.spec.trainer.pod, attempt_spec.settings
    optional: Json = {
        "serviceAccountName": pod.service_account_name,
        "priorityClassName": settings.priority_class,
        "imagePullSecrets": _pull_secrets(attempt_spec),
        "nodeSelector": {**pod.node_selector, **attempt_spec.resources.node_selector},
        "tolerations": [
            dumped(toleration)
            for toleration in (*attempt_spec.resources.tolerations, *pod.tolerations)
        ],
        "affinity": dumped(pod.affinity),
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
    the pod, pulling images included, so the pending timeout is added.
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
    context = attempt_spec.spec.trainer.pod.security_context
    user = attempt_spec.settings.run_as_user if context.run_as_user is None else context.run_as_user
    group = user if context.run_as_group is None else context.run_as_group
    return {
        "runAsNonRoot": True,
        "runAsUser": user,
        "runAsGroup": group,
        "fsGroup": group if context.fs_group is None else context.fs_group,
        # So the kubelet does not walk through a claim with a million files for each trial.
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
            "workingDir": TEMPORARY_FOLDER,
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
        # Kubernetes takes a limit without a request as the request too.
        requests |= {
            name: defaults[name] for name in defaults if name not in {**requests, **limits}
        }
    resources: Json = {
        "requests": requests,
        "limits": limits,
        "claims": container_claims(attempt_spec),
    }
    return {name: amounts for name, amounts in resources.items() if amounts}


TOKEN_FILE = "token"  # noqa: S105 - the file's name


def variables(attempt_spec: AttemptSpec) -> list[dict[str, Any]]:
    """Write the variables of an attempt; `$(NAME)` may refer to earlier ones."""
    contract = [
        {"name": name, "value": escaped(value)}
        for name, value in environment_of(assignment_of_pod(attempt_spec)).items()
    ]
    container = attempt_spec.spec.trainer.container
    if container is None:
        # The home of the image belongs to one user, and the pod may run as another.
        return [*contract, {"name": "HOME", "value": "/tmp"}]  # noqa: S108 - the pod's own folder
    return [*contract, *(_variable(variable) for variable in container.env)]


def escaped(value: str) -> str:
    """Escape a value: Kubernetes expands `$(NAME)` in it, and `$$` becomes `$`."""
    return value.replace("$", "$$")


def assignment_of_pod(attempt_spec: AttemptSpec) -> Assignment:
    """Write what the attempt is told; paths are those inside the pod."""
    trial, settings = attempt_spec.trial.spec, attempt_spec.settings
    artifacts = Path(ARTIFACTS_MOUNT)
    has_reports = settings.report_url is not None
    locations = AttemptLocations(
        result_file=Path(RESULT_FILE),
        checkpoint_dir=artifacts / attempt_spec.experiment / trial.trial_id,
        data_dir=artifacts,
        report_url=settings.report_url,
        report_token_file=Path(REPORT_MOUNT) / TOKEN_FILE if has_reports else None,
        report_ca=settings.report_ca if has_reports else None,
    )
    assignment = assignment_of(
        attempt_spec.experiment, attempt_spec.spec, trial, attempt_spec.attempt, locations
    )
    return replace(
        assignment, experiment_uid=trial.experiment.uid, execution=attempt_spec.execution
    )


def _variable(variable: EnvironmentVariable) -> dict[str, Any]:
    if variable.value_from is None:
        return {"name": variable.name, "value": variable.value}
    source = variable.value_from.model_dump(mode="json", exclude_defaults=True)
    return {"name": variable.name, "valueFrom": source}


TEMPORARY_FOLDER = "/tmp"  # noqa: S108 - an empty folder of the pod's own
SHARED_MEMORY = "/dev/shm"  # noqa: S108 - likewise


def volumes(attempt_spec: AttemptSpec) -> list[Json]:
    """Write the pod's volumes, the operator's own first."""
    own = [volume for volume, _ in _own_volumes(attempt_spec)]
    container = attempt_spec.spec.trainer.container
    return own if container is None else [*own, *(dumped(volume) for volume in container.volumes)]


def mounts(attempt_spec: AttemptSpec) -> list[Json]:
    """Write the container's mounts, those of the operator's own volumes first."""
    own = [
        mount for _, mounts_of_volume in _own_volumes(attempt_spec) for mount in mounts_of_volume
    ]
    container = attempt_spec.spec.trainer.container
    if container is None:
        return own
    return [*own, *(dumped(mount) for mount in container.volume_mounts)]


def dumped(section: BaseModel) -> Json:
    """Write a section with Kubernetes' names, without fields that have their defaults."""
    return section.model_dump(mode="json", exclude_defaults=True)


def _own_volumes(attempt_spec: AttemptSpec) -> Iterator[tuple[Json, list[Json]]]:
    """Give the operator's volumes with their mounts, but for paths where the user mounts one."""
    container = attempt_spec.spec.trainer.container
    taken = {mount.mount_path for mount in (container.volume_mounts if container else ())}
    yield _artifacts(attempt_spec)
    if TEMPORARY_FOLDER not in taken:
        yield _volume("tmp", TEMPORARY_FOLDER, _on_disk(attempt_spec))
    shared = attempt_spec.resources.shared_memory_bytes
    if shared is not None and SHARED_MEMORY not in taken:
        memory = {"medium": "Memory", "sizeLimit": str(shared)}
        yield _volume("shm", SHARED_MEMORY, {"emptyDir": memory})
    if attempt_spec.settings.report_url is not None:
        volume, (mount,) = _volume("token", REPORT_MOUNT, {"projected": {"sources": [_token()]}})
        yield volume, [{**mount, "readOnly": True}]


def _volume(name: str, mount_path: str, source: Json) -> tuple[Json, list[Json]]:
    full_name = f"{RESERVED_VOLUMES}{name}"
    return {"name": full_name, **source}, [{"name": full_name, "mountPath": mount_path}]


def _on_disk(attempt_spec: AttemptSpec) -> Json:
    limit = attempt_spec.settings.disk_limit
    return {"emptyDir": {} if limit is None else {"sizeLimit": limit}}


def _artifacts(attempt_spec: AttemptSpec) -> tuple[Json, list[Json]]:
    """Mount the whole claim read-only, and the experiment's own folder of it for writing.

    A claim serves many experiments: the code of one must not write into another's records.
    """
    claim = attempt_spec.spec.artifacts.persistent_volume_claim
    if claim is None:
        return _volume("artifacts", ARTIFACTS_MOUNT, _on_disk(attempt_spec))
    source = {"persistentVolumeClaim": {"claimName": claim.claim_name}}
    volume, (whole,) = _volume("artifacts", ARTIFACTS_MOUNT, source)
    own = {
        "mountPath": f"{ARTIFACTS_MOUNT}/{attempt_spec.experiment}",
        "subPath": attempt_spec.experiment,
    }
    return volume, [{**whole, "readOnly": True}, {**whole, **own}]


def _token() -> Json:
    return {
        "serviceAccountToken": {
            "audience": REPORT_AUDIENCE,
            "expirationSeconds": TOKEN_SECONDS,
            "path": TOKEN_FILE,
        }
    }
