"""The last step of a local run: open the report endpoint, run the trials, write the results.

The imports of this module are slow: `session` starts the worker processes first and imports this
module while they load PyTorch.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from scaling_operator.api.status import ExperimentStatus
from scaling_operator.core.reports import AttemptKey
from scaling_operator.local.backend import LocalBackend
from scaling_operator.local.contents import Identity
from scaling_operator.local.finish import finish, preload
from scaling_operator.local.runner import LocalRunner, open_runner
from scaling_operator.report_endpoint.endpoint import Endpoint, application
from scaling_operator.runtime.state import ExperimentState
from scaling_operator.server.limits import PortLimits
from scaling_operator.server.listen import Port, listen

HERE = "127.0.0.1"
LIMITS = PortLimits(connections=1000, connections_per_address=1000)
"""All senders are our own processes and have one address."""


@dataclass(frozen=True, slots=True)
class LoadedRun:
    """A loaded result folder, and the backend with its started processes."""

    identity: Identity
    state: ExperimentState
    backend: LocalBackend
    woken: asyncio.Event


async def serve(loaded: LoadedRun, stop: asyncio.Event) -> ExperimentStatus:
    """Run until all is over or `stop` is set, then finish where it is over."""
    async with _open_runner(loaded) as runner:
        # The report's imports take seconds: they run while the first trials train.
        loading = asyncio.create_task(asyncio.to_thread(preload))
        try:
            status = await _until_over_or_stopped(runner, stop)
        finally:
            await loading
        return status if stop.is_set() else await finish(runner, status)


@asynccontextmanager
async def _open_runner(loaded: LoadedRun) -> AsyncGenerator[LocalRunner]:
    """Start the report endpoint; end it, and the studies' threads, whatever happens."""
    runner = open_runner(loaded.identity, loaded.state, loaded.backend, loaded.woken)

    async def authenticate(token: str, address: str) -> AttemptKey | None:
        del address  # always this machine's
        return loaded.backend.attempts.owner_of(token)

    app = application(Endpoint(authenticate, runner.report))
    server = await listen(app, Port(HERE, 0, LIMITS))
    loaded.backend.report_url = f"http://{HERE}:{server.port}"
    try:
        yield runner
    finally:
        runner.engine.close()
        await server.stop()


async def _until_over_or_stopped(runner: LocalRunner, stop: asyncio.Event) -> ExperimentStatus:
    running = asyncio.create_task(runner.run())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if running.done():
        return running.result()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await runner.release()
    return runner.state.status
