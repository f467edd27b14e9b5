"""One `scaling run` from the command line to the report at the end, in four steps.

1. `preflight` says whether this machine has all that the experiment needs.
2. This module locks the folder and starts the processes; one of them reads the data (`preflight`).
3. `loading` turns the folder into the state that the run starts from.
4. `serve` opens the report endpoint, has `runner` run the trials, and `finish` write the results.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from scaling_operator.api.problems import InvalidSpec
from scaling_operator.api.status import MAX_DATA_NOTES, ExperimentStatus
from scaling_operator.local.attempt_processes import AttemptProcesses
from scaling_operator.local.backend import LocalBackend
from scaling_operator.local.loading import RunRequest, load
from scaling_operator.local.orphan_guard import OrphanGuard
from scaling_operator.local.preflight import check_data, missing_here, written_since
from scaling_operator.local.store import Store
from scaling_operator.local.workers import CommandRunner, ProcessRunner, WarmWorker
from scaling_operator.runtime.hooks import Hooks


async def run_session(request: RunRequest, hooks: Hooks, stop: asyncio.Event) -> ExperimentStatus:
    """Run an experiment or go on with it, then export the best trial and draw the report.

    Once `stop` is set the run ends cleanly and keeps everything. Raises InvalidSpec where this
    machine lacks something, StoreError where the folder cannot be used, OSError where this machine
    is out of something.
    """
    _expect_nothing_missing(request)
    store = Store(request.out.absolute())
    store.lock()
    try:
        parallel = request.parallel or request.experiment.spec.trials.parallel
        woken = asyncio.Event()
        guard = OrphanGuard()
        attempts = AttemptProcesses(
            make_runner=_process_maker(request, guard),
            slots=asyncio.Semaphore(parallel),
            clock=time.time,
            wake=woken.set,
            guard=guard,
        )
        try:
            guard.start()
            await attempts.warm_up(parallel)
            # Imported here: it loads while the processes that were just started load PyTorch.
            from scaling_operator.local.run_trials import LoadedRun, serve  # noqa: PLC0415

            # Before the folder is begun: a person may correct a refused setting and run again.
            notes = await _check_data(request, attempts, stop)
            identity, state = load(request, store, hooks)
            began = state.status.start_time
            changed = written_since(state.spec, request.data_folder.absolute(), began)
            notes = (*changed, *notes)[:MAX_DATA_NOTES]
            if notes:
                state.status = state.status.model_copy(update={"data_notes": notes})
            backend = LocalBackend(
                name=identity.name,
                spec=state.spec,
                store=store,
                attempts=attempts,
                hooks=hooks,
                data_folder=request.data_folder.absolute(),
            )
            return await serve(LoadedRun(identity, state, backend, woken), stop)
        finally:
            await attempts.close()
            guard.close()
    finally:
        store.unlock()


def _expect_nothing_missing(request: RunRequest) -> None:
    missing = tuple(missing_here(request.experiment.spec, request.data_folder))
    if missing:
        raise InvalidSpec(missing)


async def _check_data(
    request: RunRequest, attempts: AttemptProcesses, stop: asyncio.Event
) -> tuple[str, ...]:
    """Let a process that was started for trials read the data. Raises InvalidSpec."""
    worker = attempts.idle(WarmWorker)
    if worker is None:
        return ()
    return await check_data(worker, request.experiment.spec, request.data_folder.absolute(), stop)


def _process_maker(request: RunRequest, guard: OrphanGuard) -> Callable[[], ProcessRunner]:
    container = request.experiment.spec.trainer.container
    if container is None:
        return lambda: WarmWorker(guard)
    return lambda: CommandRunner(container, request.data_folder.absolute(), guard)
