"""Fixtures of ring 3: a cluster whose pods really run, and the project's own images in it.

By default the tests build and start their own (docs/testing.md). With SCALING_TEST_CLUSTER=external
they use the cluster that KUBECONFIG names, and images that it can pull.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from testbed.binaries import NODE, GoMissing, ensure
from testbed.chart import CHART
from testbed.cluster import Cluster
from testbed.helm import Helm
from testbed.reader import Reader
from testbed.session import announcer, external, is_external
from testbed.site import Site
from testnode import images as recipes
from testnode.debian import obstacle
from testnode.names import ImageNames, chart_values
from testnode.node import Node, Store, alone, holding, running
from testnode.pytorch import packages

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Keep the tests of the node in one process; making it has limits of its own."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.timeout(1200, func_only=True))
            item.add_marker(pytest.mark.xdist_group("node"))


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Node]:
    """A node of the tests' own, with the project's images in its store."""
    if is_external():
        pytest.skip("needs a node of the tests' own")
    if reason := obstacle():
        pytest.skip(reason)
    tell = announcer(pytestconfig)
    try:
        programs = ensure(NODE, tell)
    except GoMissing as missing:
        pytest.skip(str(missing))
    with alone(tell):
        built = recipes.build(tell)
        store = Store(recipes.store() / "containerd", packages(), built.base.reference)
        folder = tmp_path_factory.mktemp("ring-3")
        archives = [image.archive for image in (built.base, built.operator, built.trainer)]
        with holding(lambda name: running(programs, store, folder / name), store, archives) as ours:
            yield ours


@pytest.fixture(scope="session")
def e2e_cluster(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Cluster:
    """A cluster that runs pods: the node's, or the one that KUBECONFIG names."""
    if is_external():
        return external(tmp_path_factory.mktemp("ring-3"))
    ours: Node = request.getfixturevalue("node")
    return ours.cluster


@pytest.fixture(scope="session")
def images(request: pytest.FixtureRequest) -> ImageNames:
    """The images of operator and trainer, and one that has Python and nothing of ours."""
    if not is_external():
        request.getfixturevalue("node")
        return ImageNames(recipes.OPERATOR, recipes.TRAINER, recipes.BASE, "Never")
    names = [
        os.environ.get(f"SCALING_TEST_{component}_IMAGE") for component in ("OPERATOR", "TRAINER")
    ]
    operator, trainer = names
    if operator is None or trainer is None:
        pytest.skip("needs SCALING_TEST_OPERATOR_IMAGE and SCALING_TEST_TRAINER_IMAGE")
    python = os.environ.get("SCALING_TEST_PYTHON_IMAGE", "python:3.11-slim-bookworm")
    return ImageNames(operator, trainer, python, "IfNotPresent")


@pytest.fixture(scope="session")
def gpus(node: Node) -> str:
    """Name of the resource of which the node claims to have 8."""
    node.advertise("nvidia.com/gpu", 8)
    return "nvidia.com/gpu"


@pytest.fixture(scope="session")
def release(
    e2e_cluster: Cluster, images: ImageNames, pytestconfig: pytest.Config
) -> Iterator[Helm]:
    """The chart, installed with the images of the tests and rolled out; serves all namespaces."""
    program = ensure(("helm",), announcer(pytestconfig))["helm"]
    helm = Helm(program, e2e_cluster, "scaling-system", "scaling-operator")
    options = ("--create-namespace", "--wait", "--timeout", "110s", "--values", "-")
    helm.run("install", helm.release, str(CHART), *options, values=chart_values(images))
    yield helm
    if is_external():
        helm.uninstall()


@pytest.fixture(scope="session")
def reader(node: Node) -> Iterator[Reader]:
    """Cheap reads of the node's API server; with it a `testbed.site.Site` can be made."""
    node_reader = Reader(node.cluster.server, node.pki)
    yield node_reader
    node_reader.close()


@pytest.fixture
def site(e2e_cluster: Cluster, release: Helm, namespace: str, reader: Reader) -> Site:
    """The test module's namespace, on a cluster with the chart installed."""
    del release
    return Site(e2e_cluster, namespace, reader)


@pytest.fixture(scope="module")
def namespace(e2e_cluster: Cluster) -> Iterator[str]:
    """A namespace of the test module's own, in which pods can be made."""
    name = f"scaling-{uuid.uuid4().hex[:8]}"
    e2e_cluster.kubectl("create", "namespace", name)
    ready = ("--for=create", "serviceaccount/default", "--timeout=60s")
    e2e_cluster.kubectl("-n", name, "wait", *ready)  # without it every pod is refused
    yield name
    e2e_cluster.kubectl("delete", "namespace", name, "--wait=false")
