"""Rules of a container of one's own that look at more than one field."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from scaling_operator.api.names import RESERVED_MOUNTS, RESERVED_VOLUMES
from scaling_operator.api.problems import Problem, suggestion
from scaling_operator.validation.draft import Draft, mapping_at

_CONTAINER = "spec.trainer.container"


def container_can_start(draft: Draft) -> Iterable[Problem]:
    """Ask a container what to run."""
    container = draft.container
    if container is not None and container.image is None and not container.command:
        message = "set image (for a cluster), command (for a local run), or both"
        yield Problem(_CONTAINER, message)


def variables_are_free(draft: Draft) -> Iterable[Problem]:
    """Ask a container's variables to differ, and to leave the contract's own names alone."""
    container = draft.container
    seen: set[str] = set()
    for at, variable in enumerate(() if container is None else container.env):
        path = f"{_CONTAINER}.env[{at}].name"
        if variable.name.startswith("SCALING_"):
            message = f"{variable.name} belongs to the contract: choose a name without SCALING_"
            yield Problem(path, message)
        if variable.name in seen:
            yield Problem(path, f"{variable.name} stands twice; each variable may stand once")
        seen.add(variable.name)


def volumes_differ(draft: Draft) -> Iterable[Problem]:
    """Ask volumes for names of their own, apart from those of the operator."""
    seen: set[str] = set()
    for at, volume in enumerate(() if draft.container is None else draft.container.volumes):
        path = f"{_CONTAINER}.volumes[{at}].name"
        if volume.name.startswith(RESERVED_VOLUMES):
            message = f"names that begin with {RESERVED_VOLUMES} belong to the operator"
            yield Problem(path, message)
        if volume.name in seen:
            yield Problem(path, f"{volume.name} stands twice; each volume may stand once")
        seen.add(volume.name)


def mounts_show_volumes(draft: Draft) -> Iterable[Problem]:
    """Ask mounts for a volume that there is, and for places of their own."""
    seen: set[str] = set()
    names = _volume_names(draft)
    for at, mount in enumerate(() if draft.container is None else draft.container.volume_mounts):
        path = f"{_CONTAINER}.volumeMounts[{at}]"
        if mount.name not in names:
            message = f"there is no volume {mount.name}; {suggestion(mount.name, names)}"
            yield Problem(f"{path}.name", message)
        if any(_is_within(mount.mount_path, place) for place in RESERVED_MOUNTS):
            message = f"the operator mounts its own at {', '.join(RESERVED_MOUNTS)}"
            yield Problem(f"{path}.mountPath", message)
        if mount.mount_path in seen:
            yield Problem(f"{path}.mountPath", f"{mount.mount_path} stands twice; keep one")
        seen.add(mount.mount_path)


def _volume_names(draft: Draft) -> tuple[str, ...]:
    """Names of all volumes, faulty ones too."""
    written: Any = mapping_at(draft.written, "trainer", "container").get("volumes")
    volumes = cast("list[Any]", written) if isinstance(written, list) else []
    return tuple(str(mapping_at({"volume": each}, "volume").get("name")) for each in volumes)


def _is_within(path: str, place: str) -> bool:
    return path == place or path.startswith(f"{place}/")
