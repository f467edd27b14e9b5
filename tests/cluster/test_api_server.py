"""A real API server does what the one in memory does (tests/unit/kube/test_api_server.py)."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from api_server_cases import PAGE, SeenEvents, Site, each_case
from testbed.cluster import Cluster
from testbed.until_closed import run_until_closed

from scaling_operator.kube.client.client import Client
from scaling_operator.kube.client.connection import connect
from scaling_operator.kube.client.index import Index, Key
from scaling_operator.kube.client.kinds import TRIALS, Kind
from scaling_operator.kube.client.watch import Watches


@pytest.fixture
def own_namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace of one case."""
    name = f"scaling-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    cluster.kubectl("-n", name, "wait", "--for=create", "serviceaccount/default", "--timeout=30s")
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


class Deaf(Index):
    """Takes in nothing: a kind that the operator does not watch has no place in its index."""

    def put(self, kind: Kind, object_: dict[str, Any]) -> None:
        del kind, object_

    def drop(self, kind: Kind, object_: dict[str, Any]) -> None:
        del kind, object_


@asynccontextmanager
async def watched(client: Client, namespace: str) -> AsyncGenerator[SeenEvents]:
    seen: SeenEvents = []

    def hear(kind: Kind, gone: bool, object_: dict[str, Any]) -> None:  # noqa: FBT001 - it is, or not
        del kind
        seen.append((gone, object_["metadata"]["name"], object_.get("status", {}).get("state", "")))

    def wake(key: Key) -> None:
        del key

    watches = Watches(Deaf(), wake, client.access, (TRIALS,), (namespace,), on_event=hear)
    watching = asyncio.create_task(watches.run())
    await asyncio.wait_for(watches.ready.wait(), 30)
    try:
        yield seen
    finally:
        watches.stop()
        await asyncio.wait_for(watching, 30)


@pytest.mark.usefixtures("crds")
@each_case
def test_the_real_one(
    cluster: Cluster,
    own_namespace: str,
    monkeypatch: pytest.MonkeyPatch,
    case: Callable[[Site], Awaitable[None]],
) -> None:
    async def ask() -> None:
        async with connect(cluster.kubeconfig) as client:
            await case(Site(client, own_namespace, lambda: watched(client, own_namespace)))

    monkeypatch.setattr("scaling_operator.kube.client.client.PAGE_SIZE", PAGE)
    run_until_closed(ask())
