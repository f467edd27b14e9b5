"""The shipped rights are those that the operator uses: none is missing, none is idle.

Last of ring 2, by its name: it reads in the audit log what all the tests before made operators do.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from testbed.audit import Entry
from testbed.chart import Object, rendered
from testbed.cluster import Cluster
from testbed.documents import played
from testbed.groups import GROUPS
from testbed.installation import Installer
from testbed.shipped import ACCOUNT

Right = tuple[str, str, str]
# Modules whose tests make an operator use what it may use.
NEEDED = {
    "site": (
        "test_operator_crashes.py",
        "test_operator_metrics.py",
        "test_operator_reports.py",
        "test_operator_rights.py",
        "test_operator_sizing.py",
        "test_operator_troubles.py",
    ),
    "jobs": ("test_operator_jobs.py",),
}
# Used by tests with the kind pod; the job's role holds them for the same code.
SHARED_WITH_PODS = {
    ("", "nodes", "list"),
    ("", "secrets", "get"),
    ("", "secrets", "update"),
    ("authentication.k8s.io", "tokenreviews", "create"),
    ("authorization.k8s.io", "subjectaccessreviews", "create"),
    ("resource.k8s.io", "resourceclaimtemplates", "create"),
    ("scaling-operator.dev", "resourcepolicies/status", "patch"),
    ("scaling-operator.dev", "scalingexperiments", "get"),
    ("scaling-operator.dev", "scalingtrials", "get"),
    ("", "pods", "create"),
    ("", "pods", "get"),
    ("", "pods", "delete"),
}


# Each control plane has an audit log of its own.
EVERYWHERE = [pytest.param(group, marks=pytest.mark.xdist_group(group)) for group in GROUPS]


def granted(documents: Iterable[Object]) -> set[Right]:
    """Every right of the operator's own account; the roles for users have others."""
    roles = [
        document
        for document in documents
        if document["kind"] in ("ClusterRole", "Role")
        and document["metadata"]["name"] in ("scaling-operator", "scaling-operator-own")
    ]
    return {
        (group, resource, verb)
        for role in roles
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def asked(cluster: Cluster, prefix: str) -> list[Entry]:
    """Read what the operators of these installations asked for; not their namespaces' others."""
    first, last = f"system:serviceaccount:{prefix}-", f":{ACCOUNT}"
    entries = cluster.audit.entries()
    return [
        entry for entry in entries if entry.user.startswith(first) and entry.user.endswith(last)
    ]


def right_of(entry: Entry) -> tuple[str, str, str, str, str]:
    return (entry.user, entry.verb, entry.resource, entry.namespace, entry.name)


def used(entries: Iterable[Entry]) -> set[Right]:
    return {
        (entry.group, entry.resource, entry.verb) for entry in entries if entry.code not in (0, 403)
    }


def skip_unless_ran(request: pytest.FixtureRequest, prefix: str) -> None:
    ran = {item.path.name for item in request.session.items}
    missing = [name for name in NEEDED[prefix] if name not in ran]
    if missing:
        pytest.skip(f"needs the tests of {', '.join(missing)} before it")


@pytest.mark.parametrize("group", EVERYWHERE)
def test_nothing_that_an_operator_asked_for_was_forbidden(installer: Installer, group: str) -> None:
    del group
    entries = [
        entry
        for prefix in ("site", "jobs", "own", "sized")
        for entry in asked(installer.cluster, prefix)
        # A quota says no with the same code: that is no lack of a right.
        if (entry.verb, entry.resource) != ("create", "pods")
    ]
    refused = {right_of(entry) for entry in entries if entry.code == 403}
    answered = {right_of(entry) for entry in entries if entry.code not in (0, 403)}

    # An API server that has just started says no for a moment, until it has read its roles: a
    # right that the same account had for the same object before or after is not missing.
    assert refused - answered == set()


@pytest.mark.parametrize("prefix", ["site", "jobs"])
def test_no_right_is_idle(
    request: pytest.FixtureRequest, installer: Installer, job_installer: Installer, prefix: str
) -> None:
    skip_unless_ran(request, prefix)
    documents = installer.shipped if prefix == "site" else job_installer.shipped

    idle = granted(documents) - used(asked(installer.cluster, prefix))

    assert idle - (SHARED_WITH_PODS if prefix == "jobs" else set()) == set()


@pytest.mark.parametrize("group", EVERYWHERE)
@pytest.mark.parametrize("prefix", ["site", "jobs"])
def test_no_right_is_used_that_is_not_shipped(
    installer: Installer, job_installer: Installer, prefix: str, group: str
) -> None:
    del group
    documents = installer.shipped if prefix == "site" else job_installer.shipped

    assert used(asked(installer.cluster, prefix)) <= granted(documents)


def test_rights_in_a_list_of_namespaces_are_enough(installer: Installer, helm: Path) -> None:
    documents = rendered(helm, {"watchNamespaces": ["scaling-operator"]})
    (cluster_role,) = [
        document
        for document in documents
        if document["kind"] == "ClusterRole" and document["metadata"]["name"] == "scaling-operator"
    ]
    assert not any("pods" in rule["resources"] for rule in cluster_role["rules"])
    own = Installer(installer.cluster, documents, installer.folder, "own")

    with own.installed() as installation:
        installation.site.apply(played("inside", ("spec/trials", {"max": 3}), PLAY="evict,succeed"))
        assert installation.site.wait_end("inside")["counts"]["succeeded"] == 3
        installation.site.kubectl("delete", "sx", "inside")
        installation.site.wait(lambda: not installation.site.trials("inside"), 30, "gone")

    refused = [entry for entry in asked(installer.cluster, "own") if entry.code == 403]
    assert not refused
