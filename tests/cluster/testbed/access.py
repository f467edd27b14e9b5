"""Let an operator in: a service account, what it may, and a kubeconfig with its token."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from testbed.cluster import Cluster

RBAC = "rbac.authorization.k8s.io"
Rules = Iterable[Mapping[str, Any]]


def admit(cluster: Cluster, namespace: str, account: str) -> str:
    """Create a service account; return the name that the API server calls it by."""
    cluster.kubectl("-n", namespace, "create", "serviceaccount", account)
    return f"system:serviceaccount:{namespace}:{account}"


def bind(cluster: Cluster, role: str, namespace: str, account: str) -> None:
    """Give the account a ClusterRole in the whole cluster."""
    subject = {"kind": "ServiceAccount", "name": account, "namespace": namespace}
    binding = {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": f"{namespace}-{account}-{role}"},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
        "subjects": [subject],
    }
    cluster.kubectl("apply", "-f", "-", stdin=binding)


def kubeconfig(
    cluster: Cluster, namespace: str, account: str, file: Path, server: str | None = None
) -> Path:
    """Write a kubeconfig with a token of the account, for `server` (a proxy) or the API server."""
    admin_config = json.loads(cluster.kubectl("config", "view", "--raw", "-o", "json"))
    target = dict(admin_config["clusters"][0]["cluster"])
    target["server"] = server or target["server"]
    token = cluster.kubectl("-n", namespace, "create", "token", account, "--duration=8h").strip()
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "tested", "cluster": target}],
        "users": [{"name": account, "user": {"token": token}}],
        "contexts": [{"name": "tested", "context": {"cluster": "tested", "user": account}}],
        "current-context": "tested",
    }
    file.write_text(json.dumps(document))
    return file
