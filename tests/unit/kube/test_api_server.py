"""The API server in memory does what a real one does (tests/cluster/test_api_server.py)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from api_server_cases import PAGE, SeenEvents, Site, each_case
from fake_cluster import FakeCluster, Object

from scaling_operator.kube.client.kinds import TRIALS, Kind


@each_case
async def test_the_one_in_memory(
    fake: FakeCluster,
    monkeypatch: pytest.MonkeyPatch,
    case: Callable[[Site], Awaitable[None]],
) -> None:
    @asynccontextmanager
    async def watching() -> AsyncGenerator[SeenEvents]:
        events: SeenEvents = []

        def hear(event: str, kind: Kind, document: Object) -> None:
            if kind is TRIALS:
                state = document.get("status", {}).get("state", "")
                events.append((event == "DELETED", document["metadata"]["name"], state))

        fake.many_hooks.append(hear)
        yield events

    monkeypatch.setattr("scaling_operator.kube.client.client.PAGE_SIZE", PAGE)
    await case(Site(fake.client(), "team", watching))
