"""A real Prometheus in the node's network, which finds the operator as a ServiceMonitor says."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from testbed.cluster import Cluster
from testbed.prometheus import Prometheus, command

from testnode.components import ADDRESS
from testnode.node import Node

PORT = 9099
NAME = "prometheus"


def job_of(monitor: dict[str, Any], cluster: Cluster, namespace: str) -> dict[str, Any]:
    """Do what the Prometheus Operator makes of a ServiceMonitor: find whom its Services lead to.

    Debian's Prometheus is built without the discovery that would follow them.
    """
    (endpoint,) = monitor["spec"]["endpoints"]
    wanted = monitor["spec"]["selector"]["matchLabels"]
    selector = ",".join(f"{name}={value}" for name, value in wanted.items())
    slices = cluster.read("-n", namespace, "endpointslices", "-l", selector)["items"]
    targets = [
        f"{address}:{port['port']}"
        for endpoint_slice in slices
        for port in endpoint_slice["ports"]
        if port["name"] == endpoint["port"]
        for behind in endpoint_slice["endpoints"]
        if behind["conditions"]["ready"]
        for address in behind["addresses"]
    ]
    return {
        "honor_labels": endpoint["honorLabels"],
        "metrics_path": endpoint["path"],
        "static_configs": [{"targets": targets}],
    }


@contextmanager
def watching(
    program: str, node: Node, job: dict[str, Any], rules: Sequence[Path], folder: Path
) -> Generator[Prometheus]:
    """Scrape what the job finds for as long as the block lasts."""
    server = Prometheus(f"{ADDRESS}:{PORT}")
    node.machine.start(NAME, *command(program, server.address, job, rules, folder))
    try:
        server.wait(node.machine.log(NAME), node.machine.check)
        yield server
    finally:
        node.machine.stop(NAME)
