"""What people install: the definitions, and what the operator may do, as they are shipped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from testbed.cluster import Cluster

MANIFESTS = Path(__file__).parents[3] / "manifests"
INSTALL = MANIFESTS / "install.yaml"
ROLE = "scaling-operator"


class NotShipped(Exception):
    """There is no rendered manifest to take the role from."""


def definitions() -> list[Path]:
    """The CRDs."""
    return sorted((MANIFESTS / "crds").glob("*.yaml"))


def install_definitions(cluster: Cluster) -> None:
    """Install the CRDs as a user does, and wait until they can be used."""
    files = [argument for file in definitions() for argument in ("-f", str(file))]
    cluster.kubectl("apply", *files)
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", *files)


def rules(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The rules of a role."""
    found: list[Mapping[str, Any]] = document.get("rules") or []
    return found


def shipped_objects(kind: str) -> list[dict[str, Any]]:
    """Objects of a kind in the rendered manifest. Raises NotShipped."""
    if not INSTALL.exists():
        message = f"{INSTALL.name} is not rendered"
        raise NotShipped(message)
    yaml = YAML(typ="safe")
    documents: Iterable[dict[str, Any] | None] = yaml.load_all(INSTALL.read_text())  # pyright: ignore[reportUnknownMemberType]
    return [document for document in documents if document and document["kind"] == kind]


def install_role(cluster: Cluster) -> str:
    """Install the operator's ClusterRole as it is shipped, and return its name."""
    if not INSTALL.exists():
        return "cluster-admin"  # until the chart is rendered
    roles = shipped_objects("ClusterRole")
    for role in roles:
        cluster.kubectl("apply", "-f", "-", stdin=role)
    return str(roles[0]["metadata"]["name"])
