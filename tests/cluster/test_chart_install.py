"""The chart on a real API server: installed, upgraded, uninstalled; and who may then do what."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from testbed.chart import INSTALL, POLICY
from testbed.cluster import Cluster, Refused
from testbed.documents import experiment
from testbed.helm import Helm
from testbed.shipped import install_definitions

LABELS = "app.kubernetes.io/name=scaling-operator"
KINDS = "deploy,sa,svc,secret,role,rolebinding,networkpolicy,poddisruptionbudget"
CLUSTER_KINDS = "clusterrole,clusterrolebinding,resourcepolicy"


def left(cluster: Cluster, namespace: str, release: str) -> list[str]:
    """Name what there is of a release."""
    labels = f"{LABELS},app.kubernetes.io/instance={release}"
    within = cluster.kubectl("-n", namespace, "get", KINDS, "-l", labels, "-o", "name")
    around = cluster.kubectl("get", CLUSTER_KINDS, "-l", labels, "-o", "name")
    return [*within.split(), *around.split()]


@pytest.fixture
def space(cluster: Cluster) -> Iterator[str]:
    """A namespace in which only restricted pods may be made."""
    name = f"install-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    cluster.kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
    cluster.kubectl("-n", name, "wait", "--for=create", "serviceaccount/default", "--timeout=30s")
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def release(helm: Path, cluster: Cluster, space: str) -> Iterator[Helm]:
    """A release that is not installed yet, and is gone after the test."""
    if not cluster.is_ours:
        pytest.skip("makes cluster-wide roles and a policy: on a control plane of the tests' own")
    helm_release = Helm(helm, cluster, space, "scaling-operator")
    yield helm_release
    if left(cluster, space, helm_release.release):
        helm_release.uninstall()


def may(cluster: Cluster, who: str, *action: str) -> bool:
    """Whether somebody may do something, as the API server sees it."""
    try:
        return cluster.kubectl("auth", "can-i", *action, "--as", who).strip() == "yes"
    except Refused:  # kubectl's exit code for no
        return False


@pytest.mark.usefixtures("crds", "nodes")
def test_it_is_installed_and_its_pods_are_made(cluster: Cluster, release: Helm) -> None:
    said = release.install(replicas=2, podDisruptionBudget={"enabled": True})

    assert "kubectl get sx --watch" in said
    # The namespace takes restricted pods alone.
    where = ("-n", release.namespace)
    cluster.kubectl(
        *where, "wait", "deploy/scaling-operator", "--for=jsonpath={.status.replicas}=2"
    )
    assert cluster.read("rsp", "default")["spec"] == {"shapes": [{"name": "cpu", "flops": 6.4e10}]}


@pytest.mark.usefixtures("crds")
def test_an_upgrade_keeps_the_keys_and_an_uninstall_leaves_nothing(
    cluster: Cluster, release: Helm
) -> None:
    release.install(resync="75s")
    name = "scaling-operator-reports"
    where = ("-n", release.namespace)
    filled = {"data": {"ca.crt": "eA==", "tls.key": "eQ=="}}
    cluster.kubectl(*where, "patch", "secret", name, "--type=merge", "-p", json.dumps(filled))
    cluster.kubectl(*where, "apply", "-f", "-", stdin=experiment("running"))

    release.upgrade(replicas=2, reports={"hosts": ["reports.example"]})

    assert cluster.read(*where, "secret", name)["data"] == filled["data"]
    deployment = cluster.read(*where, "deploy", "scaling-operator")
    assert "--report-host=reports.example" in json.dumps(deployment)
    assert "--resync=75s" in json.dumps(deployment)

    release.uninstall()

    assert left(cluster, release.namespace, release.release) == []
    # Nobody's experiments are deleted by an uninstall, and nothing holds up their deletion.
    assert "finalizers" not in cluster.read(*where, "sx", "running")["metadata"]
    cluster.kubectl(*where, "delete", "sx", "running", "--timeout=10s")


@pytest.mark.usefixtures("crds")
def test_in_all_namespaces_the_operator_may_do_its_work(cluster: Cluster, release: Helm) -> None:
    release.install()
    who = f"system:serviceaccount:{release.namespace}:scaling-operator"

    for action in (
        ("list", "scalingexperiments"),
        ("create", "scalingtrials"),
        ("patch", "scalingtrials", "--subresource=status"),
        ("deletecollection", "pods"),
    ):
        for namespace in ("default", release.namespace):
            assert may(cluster, who, *action, "-n", namespace), action


@pytest.mark.usefixtures("crds")
def test_for_some_namespaces_it_may_nothing_elsewhere(
    cluster: Cluster, release: Helm, namespace: str
) -> None:
    release.install(watchNamespaces=[namespace])
    who = f"system:serviceaccount:{release.namespace}:scaling-operator"

    for verb, resource in (("create", "pods"), ("list", "scalingexperiments")):
        assert may(cluster, who, verb, resource, "-n", namespace)
        assert not may(cluster, who, verb, resource, "-n", "default")
        assert not may(cluster, who, verb, resource, "-n", release.namespace)
    assert may(cluster, who, "create", "tokenreviews")
    assert may(cluster, who, "list", "resourcepolicies")


@pytest.mark.usefixtures("crds")
def test_what_nobody_needs_is_not_allowed(cluster: Cluster, release: Helm) -> None:
    release.install()
    who = f"system:serviceaccount:{release.namespace}:scaling-operator"
    own = ("-n", release.namespace)

    assert may(cluster, who, "update", "secret/scaling-operator-reports", *own)
    assert may(cluster, who, "update", "lease/scaling-operator", *own)
    for action in (
        ("get", "secret/another", *own),
        ("list", "secrets", *own),
        ("create", "secrets", *own),
        ("update", "lease/another", *own),
        ("get", "pods", "--subresource=log", *own),
        ("create", "pods", "--subresource=exec", *own),
        ("update", "scalingexperiments", *own),
        ("delete", "scalingtrials", *own),
        ("get", "namespaces"),
        ("create", "namespaces"),
        ("list", "customresourcedefinitions"),
        ("update", "nodes"),
        ("update", "resourcepolicies"),
        ("create", "clusterrolebindings"),
        ("impersonate", "users"),
    ):
        assert not may(cluster, who, *action), action


@pytest.mark.usefixtures("crds")
def test_people_have_what_kubernetes_roles_say(cluster: Cluster, release: Helm) -> None:
    release.install()
    namespace = release.namespace
    for role in ("view", "edit"):
        subject = (f"--clusterrole={role}", f"--user={role}er")
        cluster.kubectl("-n", namespace, "create", "rolebinding", role, *subject)
    # Kubernetes puts the parts of an aggregated role together a moment later.
    cluster.kubectl("wait", "clusterrole/edit", "--for=jsonpath={.rules}", "--timeout=10s")

    own = ("-n", namespace)
    assert may(cluster, "viewer", "get", "scalingtrials", *own)
    assert not may(cluster, "viewer", "create", "scalingexperiments", *own)
    assert may(cluster, "editer", "create", "scalingexperiments", *own)
    assert may(cluster, "editer", "list", "scalingtrials", *own)
    for verb in ("create", "update", "patch", "delete"):
        assert not may(cluster, "editer", verb, "scalingtrials", *own)


def test_kubectl_alone_installs_it_at_once_and_again(cluster: Cluster) -> None:
    if not cluster.is_ours:
        pytest.skip("makes cluster-wide roles and a policy: on a control plane of the tests' own")
    apply = ("apply", "--server-side", "-f", str(INSTALL.parent / "crds"), "-f", str(INSTALL))
    try:
        cluster.kubectl(*apply)
        install_definitions(cluster)  # as the other tests find them
        cluster.kubectl("apply", "-f", str(POLICY))
        cluster.kubectl("apply", "--server-side", "-f", str(INSTALL))
        deployment = cluster.read("-n", "scaling-operator", "deploy", "scaling-operator")
        assert deployment["spec"]["replicas"] == 1
    finally:
        # As the guide says it.
        cluster.kubectl("delete", "--ignore-not-found", "-f", str(POLICY), "-f", str(INSTALL))
    assert left(cluster, "default", "scaling-operator") == []
