"""Whose an object is: by the uid of the owner that controls it, never by name or labels alone.

Names are free again when their object is gone, and labels are copied with a manifest. Whatever is
adopted, deleted or believed is asked here first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from scaling_operator.kube.client.kinds import Kind


def is_owned(thing: Mapping[str, Any], kind: Kind, uid: str | None) -> bool:
    """Whether the object that controls a thing is the one of this kind and uid.

    `uid` None, of an object that is not known, owns nothing.
    """
    return uid is not None and owner_uid(thing, kind) == uid


def owner_uid(thing: Mapping[str, Any], kind: Kind) -> str | None:
    """Give the uid of the object that controls a thing; None where that is of another kind."""
    metadata: Mapping[str, Any] = thing["metadata"]
    owners = cast("list[Mapping[str, Any]]", metadata.get("ownerReferences") or [])
    for owner in owners:
        if owner.get("controller") is True:  # an API server allows one
            same = _group(str(owner.get("apiVersion"))) == kind.group
            return owner.get("uid") if same and owner.get("kind") == kind.name else None
    return None


def _group(api_version: str) -> str:
    """Take the group of an `apiVersion`: versions come and go, and the object stays the same."""
    group, _, version = api_version.rpartition("/")
    return group if version else ""
