"""Probes of liveness and readiness: whether work moves on, not whether a task exists."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from scaling_operator.kube.client.index import Key
from scaling_operator.kube.client.queue import WorkQueue
from scaling_operator.kube.client.watch import Watches
from scaling_operator.kube.reconcile.resync import Resync
from scaling_operator.server.limits import PortLimits
from scaling_operator.server.listen import BoundedServer, Port, ignore_refusal, listen

TICK_SECONDS = 0.5
MAX_LAG_SECONDS = 5.0
MAX_QUEUE_SECONDS = 300.0
MAX_WATCH_FAILURES = 8
"""In a row, each after a longer pause: one to two minutes of pauses."""
MAX_MISSES = 3
LIMITS = PortLimits(connections=64, connections_per_address=16)
"""A kubelet needs one connection at a time."""


@dataclass(slots=True)
class Health:
    """Judges this process. `clock` is monotonic, in seconds."""

    queue: WorkQueue[Key]
    watches: Watches
    resync: Resync
    leads: Callable[[], bool]
    in_touch: Callable[[], bool]
    clock: Callable[[], float]
    _ticked: float | None = None
    _lag_seconds: float = 0.0

    async def run(self) -> None:
        """Measure the lag of the event loop, for ever."""
        while True:
            started = self.clock()
            await asyncio.sleep(TICK_SECONDS)
            self._ticked = self.clock()
            self._lag_seconds = self._ticked - started - TICK_SECONDS

    @property
    def lag_seconds(self) -> float:
        """By how many seconds a timer of the event loop was late, or is late by now."""
        lag = self._lag_seconds
        if self._ticked is not None:
            lag = max(lag, self.clock() - self._ticked - TICK_SECONDS)
        return lag

    def unhealthy(self) -> str | None:
        """Say why this process should be restarted; None where it is healthy."""
        lag = self.lag_seconds
        if lag > MAX_LAG_SECONDS:
            return f"the event loop lags {lag:.1f} s"
        if self.leads() and self.queue.stalled_seconds > MAX_QUEUE_SECONDS:
            # A key that waits behind many of its own namespace is no fault of this process.
            return f"no experiment has had its turn for {self.queue.stalled_seconds:.0f} s"
        if self.watches.failures > MAX_WATCH_FAILURES:
            return f"the watches failed {self.watches.failures} times in a row"
        if self.resync.misses >= MAX_MISSES:
            return f"the watches were behind in {self.resync.misses} resyncs in a row"
        return None

    def unready(self) -> str | None:
        """Say why this replica can neither lead nor stand by; None where it can."""
        if not self.watches.ready.is_set():
            return "the watches have not begun yet"
        if not self.in_touch():
            return "the API server does not tell whose the Lease is"
        return self.unhealthy()


@asynccontextmanager
async def serve_health(
    health: Health, address: str | None, port: int, refused: Callable[[str], None] = ignore_refusal
) -> AsyncGenerator[BoundedServer]:
    """Serve /healthz and /readyz at `address`; None: on all addresses. Raises OSError."""

    async def healthz(request: web.Request) -> web.Response:
        del request
        return _answer(health.unhealthy(), "ok")

    async def readyz(request: web.Request) -> web.Response:
        del request
        return _answer(health.unready(), "leading" if health.leads() else "standing by")

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    server = await listen(app, Port(address, port, LIMITS), refused)
    try:
        yield server
    finally:
        await server.stop()


def _answer(problem: str | None, healthy: str) -> web.Response:
    return web.Response(text=f"{problem or healthy}\n", status=500 if problem else 200)
