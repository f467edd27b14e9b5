"""One `scaling run` from opening the folder to the picture at the end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scaling_operator.api.experiment import ScalingExperiment, Trials
from scaling_operator.api.policy import PolicySpec
from scaling_operator.api.problems import InvalidSpec
from scaling_operator.api.status import MAX_DATA_NOTES, ExperimentStatus
from scaling_operator.core.observed import Rules
from scaling_operator.local.attempts import Attempts
from scaling_operator.local.backend import LocalBackend
from scaling_operator.local.contents import Contents, Identity
from scaling_operator.local.data_check import check_data, written_since
from scaling_operator.local.guard import OrphanGuard
from scaling_operator.local.preflight import missing_here
from scaling_operator.local.price_list import PriceList
from scaling_operator.local.repair import check, repair
from scaling_operator.local.store import Store, StoreError
from scaling_operator.local.warmstart import warm_points
from scaling_operator.local.workers import CommandRunner, ProcessRunner, WarmWorker
from scaling_operator.runtime.hooks import Hooks
from scaling_operator.runtime.state import ExperimentState, read_state
from scaling_operator.runtime.study_settings import trials_per_scale
from scaling_operator.validation.immutable import changed_parts


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What the command line asks for."""

    experiment: ScalingExperiment
    data_folder: Path
    out: Path
    parallel: int | None = None
    policy: PolicySpec | None = None
    repair: bool = False
    """Set aside what is damaged in the folder."""


async def run_session(request: RunRequest, hooks: Hooks, stop: asyncio.Event) -> ExperimentStatus:
    """Run or go on with an experiment, then export the best trial and draw the report.

    Raises InvalidSpec where something is missing here, StoreError where the folder cannot be used,
    OSError where this machine is out of something. `stop` set: end cleanly, everything kept.
    """
    _check_runs_here(request)
    store = Store(request.out.absolute())
    store.lock()
    try:
        parallel = request.parallel or request.experiment.spec.trials.parallel
        woken = asyncio.Event()
        guard = OrphanGuard()
        attempts = Attempts(
            *(_process_maker(request, guard), asyncio.Semaphore(parallel)),
            clock=time.time,
            wake=woken.set,
            guard=guard,
        )
        try:
            guard.start()
            await attempts.warm_up(parallel)
            # Loads while the processes just started load PyTorch.
            from scaling_operator.local.serve import LoadedRun, serve  # noqa: PLC0415

            # Before the folder is begun: what is refused may be set otherwise.
            notes = await _check_data(request, attempts, stop)
            identity, state = _open(request, store, hooks)
            began = state.status.start_time
            changed = written_since(state.spec, request.data_folder.absolute(), began)
            notes = (*changed, *notes)[:MAX_DATA_NOTES]
            if notes:
                state.status = state.status.model_copy(update={"data_notes": notes})
            backend = LocalBackend(
                *(identity.name, state.spec, store, attempts, hooks),
                request.data_folder.absolute(),
            )
            return await serve(LoadedRun(identity, state, backend, woken), stop)
        finally:
            await attempts.close()
            guard.close()
    finally:
        store.unlock()


async def _check_data(
    request: RunRequest, attempts: Attempts, stop: asyncio.Event
) -> tuple[str, ...]:
    """Let a process that was started for trials read the data. Raises InvalidSpec."""
    worker = attempts.idle(WarmWorker)
    if worker is None:
        return ()
    return await check_data(worker, request.experiment.spec, request.data_folder.absolute(), stop)


def _open(request: RunRequest, store: Store, hooks: Hooks) -> tuple[Identity, ExperimentState]:
    """Begin the folder or read it, with what is damaged set aside where that was asked."""
    if request.repair:
        repair(store, request.experiment, hooks.noted)
    identity = store.begin(request.experiment)
    _check_same(identity, request)
    state = _read(request, store.contents(), hooks)
    store.renew(identity, request.experiment)
    return identity, state


def _check_same(identity: Identity, request: RunRequest) -> None:
    if identity.name != request.experiment.metadata.name:
        message = f"{request.out} holds the experiment {identity.name}; choose another --out"
        raise StoreError(message)
    changed = changed_parts(identity.spec, request.experiment.spec)
    if changed:
        message = (
            f"{request.out} was begun with another {', '.join(changed)}; these may not change:"
            " choose another --out, or put them back"
        )
        raise StoreError(message)


def _check_runs_here(request: RunRequest) -> None:
    missing = tuple(missing_here(request.experiment.spec, request.data_folder))
    if missing:
        raise InvalidSpec(missing)


def _read(request: RunRequest, contents: Contents, hooks: Hooks) -> ExperimentState:
    check(contents.damaged)
    spec = request.experiment.spec
    if request.parallel is not None:
        trials = spec.trials.model_copy(update={"parallel": request.parallel})
        spec = spec.model_copy(update={"trials": Trials.model_validate(trials)})
    rules = Rules(max_trials=trials_per_scale(request.experiment.spec), fits=True)
    state = read_state(spec, rules, contents.status, contents.trials)
    state.machines = None if request.policy is None else PriceList(request.policy)
    if not all(view.open for view in state.scales.values()):
        beside = request.out.absolute().parent
        state.warm_points = warm_points(spec, beside, request.data_folder, hooks.noted)
    return state


def _process_maker(request: RunRequest, guard: OrphanGuard) -> Callable[[], ProcessRunner]:
    container = request.experiment.spec.trainer.container
    if container is None:
        return lambda: WarmWorker(guard)
    return lambda: CommandRunner(container, request.data_folder.absolute(), guard)
