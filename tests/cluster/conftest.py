"""Fixtures of ring 2: a real API server, etcd, scheduler and controller manager, and KWOK's nodes.

By default the tests build and start their own (docs/testing.md). With SCALING_TEST_CLUSTER=external
they use the cluster that KUBECONFIG names.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from testbed.binaries import CONTROL_PLANE, GoMissing, ensure
from testbed.chart import rendered
from testbed.cluster import Cluster
from testbed.groups import group_of
from testbed.installation import Installation, Installer
from testbed.kwokctl import running
from testbed.nodes import PLAYED, ROOMY, add
from testbed.reader import Reader
from testbed.session import announcer, external, is_external
from testbed.shipped import install_definitions, rendered_manifest

HERE = Path(__file__).parent
CRDS = sorted((HERE.parents[1] / "manifests" / "crds").glob("*.yaml"))


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Keep the tests of one cluster in one process; building it has a limit of its own."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.cluster)
            item.add_marker(pytest.mark.timeout(300, func_only=True))
            if item.get_closest_marker("xdist_group") is None:
                item.add_marker(pytest.mark.xdist_group(group_of(item.path.name)))


@pytest.fixture(scope="session")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[Cluster]:
    """A cluster that is ready: ours, or the one that KUBECONFIG names."""
    folder = tmp_path_factory.mktemp("ring-2")
    if is_external():
        yield external(folder)
        return
    try:
        programs = ensure(CONTROL_PLANE, announcer(pytestconfig))
    except GoMissing as reason:
        pytest.skip(str(reason))
    with running(programs, folder / "control-plane") as ours:
        yield ours


@pytest.fixture(scope="session")
def helm(pytestconfig: pytest.Config) -> Path:
    """The Helm that the tests build."""
    try:
        return ensure(("helm",), announcer(pytestconfig))["helm"]
    except GoMissing as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def crds(cluster: Cluster) -> Iterator[Sequence[Path]]:
    """Our definitions, installed as a user does it and ready to be used."""
    before = cluster.kubectl("get", "crds", "-o", "name").split()
    files = [argument for file in CRDS for argument in ("-f", str(file))]
    install_definitions(cluster)
    yield CRDS
    if not cluster.is_ours and not any(name.endswith(".scaling-operator.dev") for name in before):
        cluster.kubectl("delete", *files, seconds=120)


@pytest.fixture(scope="session")
def nodes(cluster: Cluster) -> Sequence[str]:
    """Name the node that KWOK plays: it takes any number of pods, GPUs included."""
    if not cluster.is_ours:
        pytest.skip("needs pods that KWOK plays, hence a control plane of the tests' own")
    add(cluster, PLAYED, ROOMY)
    return (PLAYED,)


@pytest.fixture(scope="session")
def reader(cluster: Cluster, nodes: Sequence[str]) -> Iterator[Reader]:
    """Cheap reads of the API server."""
    del nodes
    cluster_reader = Reader(cluster.server, cluster.control_plane / "pki")
    yield cluster_reader
    cluster_reader.close()


@pytest.fixture(scope="session")
def installer(
    cluster: Cluster,
    crds: Sequence[Path],
    nodes: Sequence[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Installer:
    """Installs operators with exactly the rights that are shipped."""
    del crds, nodes
    return Installer(cluster, rendered_manifest(), tmp_path_factory.mktemp("operators"))


@pytest.fixture(scope="session")
def job_installer(installer: Installer, helm: Path) -> Installer:
    """The same with the chart's kind of workload `job`."""
    # A policy is of the whole cluster: it would size the other tests' trials too.
    values = {"trials": {"workload": "job"}, "resourcePolicy": {"create": False}}
    documents = rendered(helm, values)
    return Installer(installer.cluster, documents, installer.folder, "jobs")


@pytest.fixture(scope="module")
def installation(installer: Installer) -> Iterator[Installation]:
    """An operator of the test module's own, with a namespace."""
    with installer.installed() as installation:
        yield installation


@pytest.fixture(scope="module")
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace of the test module's own, in which pods can be made."""
    name = f"scaling-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    # Without it the API server refuses every pod.
    cluster.kubectl("-n", name, "wait", "--for=create", "serviceaccount/default", "--timeout=30s")
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")
