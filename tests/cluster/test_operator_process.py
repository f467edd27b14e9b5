"""The operator as a process: it ends when it is told to, and its watches harm nothing of ours."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from testbed.cluster import Cluster
from testbed.process import OperatorProcess
from testbed.until_closed import run_until_closed

from scaling_operator.kube.client.connection import connect
from scaling_operator.kube.client.index import Index
from scaling_operator.kube.client.watch import WATCHED, Watches


@pytest.mark.usefixtures("crds")
@pytest.mark.parametrize("seconds", [0.0, 2.0], ids=["at once", "after a while"])
def test_told_to_end_it_gives_the_lease_back_and_ends(
    cluster: Cluster, namespace: str, tmp_path: Path, seconds: float
) -> None:
    options = ("--namespace", namespace, "--watch-namespace", namespace)
    operator = OperatorProcess(cluster.kubeconfig, tmp_path / "log", options)
    holder = ("-n", namespace, "get", "lease", "scaling-operator", "--ignore-not-found")
    try:
        operator.start().wait_ready()
        while operator.name not in cluster.kubectl(*holder):
            assert operator.is_alive, operator.log_end()
            time.sleep(0.1)
        time.sleep(seconds)

        started = time.monotonic()
        assert operator.stop() == 0
        assert time.monotonic() - started < 5
    finally:
        operator.kill()
    assert cluster.kubectl(*holder, "-o", "jsonpath={.spec.holderIdentity}") == ""


@pytest.mark.usefixtures("crds")
def test_watches_that_start_again_leave_our_tasks_alone(cluster: Cluster, namespace: str) -> None:
    async def run() -> tuple[Sequence[bool], set[str]]:
        async with connect(cluster.kubeconfig) as client:
            watches = Watches(Index(), lambda _: None, client.access, WATCHED, (namespace,))
            watching = asyncio.create_task(watches.run())
            await asyncio.wait_for(watches.ready.wait(), 20)
            # Begun after kopf's start, as the tasks of our reconciles and requests are.
            ours = [asyncio.create_task(asyncio.sleep(3600)) for _ in range(3)]
            for _ in range(2):
                watches.ready.clear()
                watches.restart()
                await asyncio.wait_for(watches.ready.wait(), 20)
            alive = [not task.done() for task in ours]
            watches.stop()
            await asyncio.wait_for(watching, 10)
            for task in ours:
                task.cancel()
            await asyncio.gather(*ours, return_exceptions=True)
            left = asyncio.all_tasks() - {asyncio.current_task()}
            return alive, {str(task) for task in left}

    alive, left = run_until_closed(run())
    assert all(alive)
    assert not left
