"""One `scaling run` from opening the folder to the picture at the end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from scaling_operator.api.experiment import ScalingExperiment, Trials
from scaling_operator.api.search import GridAlgorithm
from scaling_operator.api.status import ExperimentStatus
from scaling_operator.core.immutable import changed_parts
from scaling_operator.core.observed import Rules
from scaling_operator.ingest import Answer, AttemptKey, Endpoint, Report, application
from scaling_operator.local.attempts import Attempts
from scaling_operator.local.finish import finish
from scaling_operator.local.runner import Runner, Watcher
from scaling_operator.local.store import Identity, Store, StoreError
from scaling_operator.local.warmstart import warm_points
from scaling_operator.local.workers import CommandRunner, WarmWorker
from scaling_operator.local.workers import Runner as ProcessRunner
from scaling_operator.local.world import World, read_world
from scaling_operator.search.grid import grid_size

DEFAULT_TRIALS = 40


@dataclass(frozen=True, slots=True)
class Order:
    """What the command line asks for."""

    experiment: ScalingExperiment
    data_folder: Path
    out: Path
    parallel: int | None = None


async def run_session(order: Order, watcher: Watcher, stop: asyncio.Event) -> ExperimentStatus:
    """Run or go on with an experiment, then export the best trial and draw the report.

    Raises StoreError where the folder cannot be used. `stop` set: end cleanly, everything kept.
    """
    store = Store(order.out.absolute())
    store.lock()
    try:
        identity = store.begin(order.experiment)
        _check_same(identity, order)
        world = _read(order, store)
        async with _open_runner(order, identity, world, watcher) as runner:
            status = await _until_over_or_stopped(runner, stop)
            if not stop.is_set():
                status = await finish(runner, status)
            return status
    finally:
        store.unlock()


def trials_per_scale(experiment: ScalingExperiment) -> int:
    """How many trials a scale gets: `trials.max`, else every point of a grid, else 40."""
    spec = experiment.spec
    points = grid_size(spec.search) if isinstance(spec.search.algorithm, GridAlgorithm) else None
    if spec.trials.max is None:
        return points or DEFAULT_TRIALS
    return min(spec.trials.max, points or spec.trials.max)


def _check_same(identity: Identity, order: Order) -> None:
    if identity.name != order.experiment.metadata.name:
        message = f"{order.out} holds the experiment {identity.name}; choose another --out"
        raise StoreError(message)
    changed = changed_parts(identity.spec, order.experiment.spec)
    if changed:
        message = (
            f"{order.out} was begun with another {', '.join(changed)}; these may not change:"
            " choose another --out, or put them back"
        )
        raise StoreError(message)


def _read(order: Order, store: Store) -> World:
    spec = order.experiment.spec
    if order.parallel is not None:
        trials = spec.trials.model_copy(update={"parallel": order.parallel})
        spec = spec.model_copy(update={"trials": Trials.model_validate(trials)})
    world = read_world(spec, store, Rules(max_trials=trials_per_scale(order.experiment)))
    if not all(view.open for view in world.scales.values()):
        world.warm_points = warm_points(spec, order.out.absolute().parent, order.data_folder)
    return world


@asynccontextmanager
async def _open_runner(
    order: Order, identity: Identity, world: World, watcher: Watcher
) -> AsyncGenerator[Runner]:
    """Start the report endpoint and the processes; end both, whatever happens."""
    parallel = world.spec.trials.parallel
    woken = asyncio.Event()
    attempts = Attempts(
        _process_maker(order), asyncio.Semaphore(parallel), clock=time.time, wake=woken.set
    )
    runner = Runner(
        identity, world, attempts, {}, watcher, order.data_folder.absolute(), woken=woken
    )

    async def authenticate(token: str) -> AttemptKey | None:
        return attempts.who(token)

    async def on_report(key: AttemptKey, report: Report) -> Answer:
        return await runner.report(key, report)

    server = web.AppRunner(application(Endpoint(authenticate, on_report)), access_log=None)
    await server.setup()
    site = web.TCPSite(server, "127.0.0.1", 0)
    await site.start()
    host, port = server.addresses[0][:2]
    runner.report_url = f"http://{host}:{port}"
    try:
        await attempts.warm_up(parallel)
        yield runner
    finally:
        await attempts.close()
        for lane in runner.lanes.values():
            lane.close()
        await server.cleanup()


def _process_maker(order: Order) -> Callable[[], ProcessRunner]:
    container = order.experiment.spec.trainer.container
    if container is None:
        return WarmWorker
    return lambda: CommandRunner(container, order.data_folder.absolute())


async def _until_over_or_stopped(runner: Runner, stop: asyncio.Event) -> ExperimentStatus:
    running = asyncio.create_task(runner.run())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if running.done():
        return running.result()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await runner.release()
    return runner.world.status
