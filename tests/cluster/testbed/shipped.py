"""What people install: the definitions, and what the operator may do, exactly as shipped."""

from __future__ import annotations

import copy
from collections.abc import Iterable

from testbed.chart import INSTALL, NAME, Object, documents_of
from testbed.cluster import Cluster

DEFINITIONS = sorted((INSTALL.parent / "crds").glob("*.yaml"))
ACCOUNT = NAME
_RIGHTS = ("ServiceAccount", "Secret", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")
_CLUSTER_WIDE = ("ClusterRole", "ClusterRoleBinding")


def install_definitions(cluster: Cluster) -> None:
    """Install the CRDs as a user does, and wait until they can be used."""
    files = [argument for file in DEFINITIONS for argument in ("-f", str(file))]
    cluster.kubectl("apply", *files)
    # `kubectl wait` fails where there are no conditions at all yet.
    some = ("--for=jsonpath={.status.conditions[0].type}", "--timeout=30s")
    cluster.kubectl("wait", *some, *files)
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", *files)


def rendered_manifest() -> list[Object]:
    """Read `manifests/install.yaml`, for kubectl alone."""
    return documents_of(INSTALL.read_text())


def rights_in(namespace: str, documents: Iterable[Object]) -> list[Object]:
    """Take the rights out of a rendered chart, as they are in an installation in `namespace`.

    Cluster-wide objects get names of their own, so that many installations stand side by side.
    """
    return [_moved(document, namespace) for document in documents if document["kind"] in _RIGHTS]


def _moved(document: Object, namespace: str) -> Object:
    moved = copy.deepcopy(document)
    metadata = moved["metadata"]
    if metadata.get("namespace") == NAME:
        metadata["namespace"] = namespace
    if moved["kind"] in _CLUSTER_WIDE:
        metadata["name"] = f"{metadata['name']}-{namespace}"
    if moved.get("roleRef", {}).get("kind") == "ClusterRole":
        moved["roleRef"]["name"] = f"{moved['roleRef']['name']}-{namespace}"
    for subject in moved.get("subjects", []):
        subject["namespace"] = namespace
    # Labels that aggregate into a user's role have no part in what the operator may do.
    metadata.pop("labels", None)
    return moved


def grant(cluster: Cluster, namespace: str, documents: Iterable[Object]) -> str:
    """Create account and rights; return the name that the API server calls the account by."""
    items = rights_in(namespace, documents)
    cluster.kubectl("apply", "-f", "-", stdin={"apiVersion": "v1", "kind": "List", "items": items})
    return f"system:serviceaccount:{namespace}:{ACCOUNT}"


def withdraw(cluster: Cluster, namespace: str, documents: Iterable[Object]) -> None:
    """Delete what of the rights the namespace does not take along."""
    for document in rights_in(namespace, documents):
        if document["kind"] in _CLUSTER_WIDE:
            name = document["metadata"]["name"]
            cluster.kubectl("delete", document["kind"], name, "--ignore-not-found", "--wait=false")
