"""Volumes of an attempt's pod: those of the contract, and those that the container asks for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from scaling_operator.api.names import ARTIFACTS_MOUNT, REPORT_MOUNT, RESERVED_VOLUMES
from scaling_operator.kube.workloads.attempt_spec import AttemptSpec
from scaling_operator.kube.workloads.environment import TOKEN_FILE

TEMPORARY = "/tmp"  # noqa: S108 - an empty folder of the pod's own
SHARED_MEMORY = "/dev/shm"  # noqa: S108 - likewise

Json = dict[str, Any]


def volumes(attempt_spec: AttemptSpec) -> list[Json]:
    """Write the pod's volumes, the operator's own first."""
    own = [volume for volume, _ in _own(attempt_spec)]
    container = attempt_spec.spec.trainer.container
    return own if container is None else [*own, *(written(each) for each in container.volumes)]


def mounts(attempt_spec: AttemptSpec) -> list[Json]:
    """Write where the container sees them."""
    own = [mount for _, seen in _own(attempt_spec) for mount in seen]
    container = attempt_spec.spec.trainer.container
    if container is None:
        return own
    return [*own, *(written(each) for each in container.volume_mounts)]


def written(section: BaseModel) -> Json:
    """Write a section with Kubernetes' names, without what is left to its defaults."""
    return section.model_dump(mode="json", exclude_defaults=True)


def _own(attempt_spec: AttemptSpec) -> Iterator[tuple[Json, list[Json]]]:
    """Give the operator's volumes with their mounts; where the user mounts one, it gives way."""
    container = attempt_spec.spec.trainer.container
    taken = {each.mount_path for each in (container.volume_mounts if container else ())}
    yield _artifacts(attempt_spec)
    if TEMPORARY not in taken:
        yield _volume("tmp", TEMPORARY, _on_disk(attempt_spec))
    shared = attempt_spec.resources.shared_memory_bytes
    if shared is not None and SHARED_MEMORY not in taken:
        memory = {"medium": "Memory", "sizeLimit": str(shared)}
        yield _volume("shm", SHARED_MEMORY, {"emptyDir": memory})
    if attempt_spec.settings.report_url is not None:
        volume, (mount,) = _volume(
            *("token", REPORT_MOUNT, {"projected": {"sources": [_token(attempt_spec)]}})
        )
        yield volume, [{**mount, "readOnly": True}]


def _volume(name: str, mount_path: str, source: Json) -> tuple[Json, list[Json]]:
    full_name = f"{RESERVED_VOLUMES}{name}"
    return {"name": full_name, **source}, [{"name": full_name, "mountPath": mount_path}]


def _on_disk(attempt_spec: AttemptSpec) -> Json:
    limit = attempt_spec.settings.disk_limit
    return {"emptyDir": {} if limit is None else {"sizeLimit": limit}}


def _artifacts(attempt_spec: AttemptSpec) -> tuple[Json, list[Json]]:
    """Show the claim for reading, and of it the experiment's own folder for writing.

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


def _token(attempt_spec: AttemptSpec) -> Json:
    settings = attempt_spec.settings
    return {
        "serviceAccountToken": {
            "audience": settings.token_audience,
            "expirationSeconds": settings.token_seconds,
            "path": TOKEN_FILE,
        }
    }
