"""`kubectl port-forward`: how a person reaches a Service of a cluster."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Generator
from contextlib import contextmanager

from testbed.cluster import Cluster

_BOUND = re.compile(r"127\.0\.0\.1:(\d+)")


@contextmanager
def forwarded(cluster: Cluster, namespace: str, service: str, port: int) -> Generator[str]:
    """Reach a Service's port for as long as the block lasts; gives the address."""
    command = [
        *(str(cluster.program), "--kubeconfig", str(cluster.kubeconfig), "-n", namespace),
        *("port-forward", "--address", "127.0.0.1", f"service/{service}", f":{port}"),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            said = process.stdout.readline()
            bound = _BOUND.search(said)
            assert bound is not None, f"kubectl port-forward: {said!r}"
            yield f"http://127.0.0.1:{bound[1]}"
        finally:
            process.terminate()
