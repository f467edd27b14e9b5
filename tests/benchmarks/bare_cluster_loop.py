"""Run pods, or Jobs, N at a time, and nothing else: the yardstick of `bench_cluster.py`.

`python bare_cluster_loop.py pods|jobs KUBECONFIG NAMESPACE TRIALS PARALLEL`

One create per trial and one watch: what anybody would write with the Kubernetes client, and what no
operator can undercut. As a process of its own, so that its CPU time and memory can be told.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable
from typing import Any, cast

from kubernetes.aio import client, config

CONTAINER = {
    "name": "trainer",
    "image": "played",
    "env": [
        {"name": "PLAY", "value": "succeed"},
        {"name": "PLAY_SECONDS", "value": "1"},
        {"name": "SCALING_PARAM_X", "value": "0.5"},
    ],
    "resources": {"requests": {"cpu": "1", "memory": "1Gi"}},
}
POD_SPEC = {"restartPolicy": "Never", "containers": [CONTAINER]}


class Pods:
    """A pod a trial; it is over when the pod has ended."""

    def __init__(self, api: Any, namespace: str) -> None:
        self._core: Any = cast("Any", client).CoreV1Api(api)
        self._namespace = namespace

    async def create(self, name: str) -> None:
        """Start a trial."""
        body = {"metadata": {"name": name}, "spec": POD_SPEC}
        await _created(
            self._core.create_namespaced_pod_without_preload_content(self._namespace, body)
        )

    async def watch(self) -> Any:
        """Open the stream of events."""
        return await self._core.list_namespaced_pod_without_preload_content(
            self._namespace, watch=True
        )

    @staticmethod
    def is_over(item: Any) -> bool:
        """Whether the trial has ended."""
        return item["status"].get("phase") in ("Succeeded", "Failed")


class Jobs:
    """A Job a trial; it is over when the Job says so."""

    def __init__(self, api: Any, namespace: str) -> None:
        self._batch: Any = cast("Any", client).BatchV1Api(api)
        self._namespace = namespace

    async def create(self, name: str) -> None:
        """Start a trial."""
        spec = {"backoffLimit": 0, "template": {"spec": POD_SPEC}}
        body = {"metadata": {"name": name}, "spec": spec}
        await _created(
            self._batch.create_namespaced_job_without_preload_content(self._namespace, body)
        )

    async def watch(self) -> Any:
        """Open the stream of events."""
        return await self._batch.list_namespaced_job_without_preload_content(
            self._namespace, watch=True
        )

    @staticmethod
    def is_over(item: Any) -> bool:
        """Whether the trial has ended."""
        conditions = item["status"].get("conditions", [])
        return any(
            condition["type"] in ("Complete", "Failed") and condition["status"] == "True"
            for condition in conditions
        )


async def _created(call: Awaitable[Any]) -> None:
    answer = await call
    text = await answer.read()
    assert answer.status == 201, text


async def run(work: Pods | Jobs, trials: int, parallel: int) -> None:
    """Keep `parallel` trials in flight until all have ended."""
    stream = await work.watch()
    names = iter(f"bare-{number}" for number in range(trials))
    for _ in range(min(parallel, trials)):
        await work.create(next(names))
    over: set[str] = set()
    while len(over) < trials:
        line = await stream.content.readline()
        item = json.loads(line)["object"]
        name = item["metadata"]["name"]
        if name not in over and work.is_over(item):
            over.add(name)
            following = next(names, None)
            if following is not None:
                await work.create(following)
    stream.close()


async def main(kind: str, kubeconfig: str, namespace: str, *numbers: str) -> None:
    """Run the loop that the command line names."""
    await cast("Any", config).load_kube_config(kubeconfig)
    api: Any
    async with cast("Any", client).ApiClient() as api:
        api.user_agent = "bare-loop"
        work = Pods(api, namespace) if kind == "pods" else Jobs(api, namespace)
        await run(work, *(int(number) for number in numbers))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
