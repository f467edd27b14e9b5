"""Volumes of an attempt's pod: those of the contract, and those that the container asks for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from scaling_operator.api.names import ARTIFACTS_MOUNT, REPORT_MOUNT, RESERVED_VOLUMES
from scaling_operator.cluster.workloads.environment import TOKEN_FILE
from scaling_operator.cluster.workloads.order import AttemptOrder

TEMPORARY = "/tmp"  # noqa: S108 - an empty folder of the pod's own
SHARED_MEMORY = "/dev/shm"  # noqa: S108 - likewise

Json = dict[str, Any]


def volumes(order: AttemptOrder) -> list[Json]:
    """Write the pod's volumes, the operator's own first."""
    own = [volume for volume, _ in _own(order)]
    container = order.spec.trainer.container
    return own if container is None else [*own, *(written(each) for each in container.volumes)]


def mounts(order: AttemptOrder) -> list[Json]:
    """Write where the container sees them."""
    own = [mount for _, mount in _own(order)]
    container = order.spec.trainer.container
    if container is None:
        return own
    return [*own, *(written(each) for each in container.volume_mounts)]


def written(section: BaseModel) -> Json:
    """Write a section with Kubernetes' names, without what is left to its defaults."""
    return section.model_dump(mode="json", exclude_defaults=True)


def _own(order: AttemptOrder) -> Iterator[tuple[Json, Json]]:
    """Pair the operator's volumes with their mounts; where the user mounts one, it gives way."""
    container = order.spec.trainer.container
    taken = {each.mount_path for each in (container.volume_mounts if container else ())}
    yield _volume("artifacts", ARTIFACTS_MOUNT, _artifacts(order))
    if TEMPORARY not in taken:
        yield _volume("tmp", TEMPORARY, {"emptyDir": {}})
    shared = order.resources.shared_memory_bytes
    if shared is not None and SHARED_MEMORY not in taken:
        memory = {"medium": "Memory", "sizeLimit": str(shared)}
        yield _volume("shm", SHARED_MEMORY, {"emptyDir": memory})
    if order.settings.report_url is not None:
        volume, mount = _volume("token", REPORT_MOUNT, {"projected": {"sources": [_token(order)]}})
        yield volume, {**mount, "readOnly": True}


def _volume(name: str, mount_path: str, source: Json) -> tuple[Json, Json]:
    full_name = f"{RESERVED_VOLUMES}{name}"
    return {"name": full_name, **source}, {"name": full_name, "mountPath": mount_path}


def _artifacts(order: AttemptOrder) -> Json:
    claim = order.spec.artifacts.persistent_volume_claim
    if claim is None:
        return {"emptyDir": {}}
    return {"persistentVolumeClaim": {"claimName": claim.claim_name}}


def _token(order: AttemptOrder) -> Json:
    settings = order.settings
    return {
        "serviceAccountToken": {
            "audience": settings.token_audience,
            "expirationSeconds": settings.token_seconds,
            "path": TOKEN_FILE,
        }
    }
