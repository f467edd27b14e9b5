"""Which object owns another: by the uid of the controlling owner, never by name or labels alone.

A name is free again when its object is gone, and labels are copied with a manifest. The operator
adopts, deletes and believes only what this module confirms.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from scaling_operator.kube.client.kinds import Kind


def is_owned(object_: Mapping[str, Any], kind: Kind, uid: str | None) -> bool:
    """Whether the controlling owner of an object has this kind and uid.

    None is the uid of an unknown object, which owns nothing.
    """
    return uid is not None and owner_uid(object_, kind) == uid


def owner_uid(object_: Mapping[str, Any], kind: Kind) -> str | None:
    """Give the uid of an object's controlling owner; None where that has another kind."""
    metadata: Mapping[str, Any] = object_["metadata"]
    owners = cast("list[Mapping[str, Any]]", metadata.get("ownerReferences") or [])
    for owner in owners:
        if owner.get("controller") is True:  # the API server allows one
            has_group = _group(str(owner.get("apiVersion"))) == kind.group
            return owner.get("uid") if has_group and owner.get("kind") == kind.name else None
    return None


def _group(api_version: str) -> str:
    """Take the group of an `apiVersion`: an object keeps its group and changes its version."""
    group, _, version = api_version.rpartition("/")
    return group if version else ""
