"""A whole operator process over the API server in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from fake_cluster import FakeCluster, Object

from scaling_operator.api.names import Phase
from scaling_operator.kube.client.client import Client, Request
from scaling_operator.kube.client.kinds import EXPERIMENTS, Kind
from scaling_operator.kube.client.watch import Watches
from scaling_operator.kube.operate import Operator, build
from scaling_operator.kube.reconcile.loader import status_of
from scaling_operator.kube.settings import LeaseSettings, PodSettings, Settings

TEAM = "team"


PATIENCE_SECONDS = 200.0


class WatchesInMemory(Watches):
    """Watches whose events come from the API server in memory."""

    async def run(self) -> None:
        """Report that the watches have begun, and wait for the end."""
        self.ready.set()
        while not self._stop.is_set():
            await asyncio.sleep(0.01)

    def take_event(self, event: str, kind: Kind, object_: Object) -> None:
        """Take in an event."""
        if kind in self.kinds:
            gone = event == "DELETED"
            self.on_event(kind, gone, object_)
            key = (self.index.drop if gone else self.index.put)(kind, object_)
            if key is not None:
                self.wake(key)


@asynccontextmanager
async def operating(fake: FakeCluster, name: str = "a") -> AsyncGenerator[Operator]:
    """Run a process for the length of a block."""

    @asynccontextmanager
    async def connected(
        kubeconfig: Path | None,
        *,
        may_write: Callable[[], bool],
        observe: Callable[[Request], None],
    ) -> AsyncGenerator[Client]:
        del kubeconfig
        yield fake.client(may_write, observe)

    settings = Settings(
        namespace="scaling-system",
        name=name,
        address="127.0.0.1",
        health_port=0,
        metrics_port=0,
        lease=LeaseSettings(renew_seconds=0.05),
        pods=PodSettings(trainer_image="trainer:1"),
    )
    async with AsyncExitStack() as stack, asyncio.timeout(PATIENCE_SECONDS):
        operator = await build(settings, stack, connected)
        built_watches = operator.watches
        watches = WatchesInMemory(
            built_watches.index, built_watches.wake, built_watches.access, built_watches.kinds
        )
        watches.on_event = built_watches.on_event
        operator.watches = operator.resync.watches = operator.health.watches = watches
        for kind in watches.kinds:
            for object_ in fake.all(kind):
                watches.take_event("ADDED", kind, object_)
        fake.many_hooks.append(watches.take_event)
        running = asyncio.create_task(operator.run())
        try:
            yield operator
        finally:
            operator.stop()
            await running
            fake.many_hooks.remove(watches.take_event)


async def until(is_so: Callable[[], object]) -> None:
    while not is_so():
        await asyncio.sleep(0.01)


def phase(fake: FakeCluster, name: str = "study") -> Phase:
    return status_of(fake.one(EXPERIMENTS, TEAM, name)).phase
