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
from scaling_operator.local.guard import Guard
from scaling_operator.local.preflight import missing_here
from scaling_operator.local.price_list import Prices
from scaling_operator.local.repair import check, repair
from scaling_operator.local.store import Store, StoreError
from scaling_operator.local.warmstart import warm_points
from scaling_operator.local.workers import CommandRunner, WarmWorker
from scaling_operator.local.workers import Runner as ProcessRunner
from scaling_operator.runtime.hooks import Watcher
from scaling_operator.runtime.rules import trials_per_scale
from scaling_operator.runtime.state import Book, read_book
from scaling_operator.validation.immutable import changed_parts


@dataclass(frozen=True, slots=True)
class Order:
    """What the command line asks for."""

    experiment: ScalingExperiment
    data_folder: Path
    out: Path
    parallel: int | None = None
    policy: PolicySpec | None = None
    repair: bool = False
    """Set aside what is damaged in the folder."""


async def run_session(order: Order, watcher: Watcher, stop: asyncio.Event) -> ExperimentStatus:
    """Run or go on with an experiment, then export the best trial and draw the report.

    Raises InvalidSpec where something is missing here, StoreError where the folder cannot be used,
    OSError where this machine is out of something. `stop` set: end cleanly, everything kept.
    """
    _check_runs_here(order)
    store = Store(order.out.absolute())
    store.lock()
    try:
        parallel = order.parallel or order.experiment.spec.trials.parallel
        woken = asyncio.Event()
        guard = Guard()
        attempts = Attempts(
            *(_process_maker(order, guard), asyncio.Semaphore(parallel)),
            clock=time.time,
            wake=woken.set,
            guard=guard,
        )
        try:
            guard.start()
            await attempts.warm_up(parallel)
            # Loads while the processes just started load PyTorch.
            from scaling_operator.local.serve import Opened, serve  # noqa: PLC0415

            # Before the folder is begun: what is refused may be set otherwise.
            notes = await _check_data(order, attempts, stop)
            identity, book = _open(order, store, watcher)
            began = book.status.start_time
            changed = written_since(book.spec, order.data_folder.absolute(), began)
            notes = (*changed, *notes)[:MAX_DATA_NOTES]
            if notes:
                book.status = book.status.model_copy(update={"data_notes": notes})
            backend = LocalBackend(
                *(identity.name, book.spec, store, attempts, watcher),
                order.data_folder.absolute(),
            )
            return await serve(Opened(identity, book, backend, woken), stop)
        finally:
            await attempts.close()
            guard.close()
    finally:
        store.unlock()


async def _check_data(order: Order, attempts: Attempts, stop: asyncio.Event) -> tuple[str, ...]:
    """Let a process that was started for trials read the data. Raises InvalidSpec."""
    worker = attempts.idle(WarmWorker)
    if worker is None:
        return ()
    return await check_data(worker, order.experiment.spec, order.data_folder.absolute(), stop)


def _open(order: Order, store: Store, watcher: Watcher) -> tuple[Identity, Book]:
    """Begin the folder or read it, with what is damaged set aside where that was asked."""
    if order.repair:
        repair(store, order.experiment, watcher.noted)
    identity = store.begin(order.experiment)
    _check_same(identity, order)
    book = _read(order, store.contents(), watcher)
    store.renew(identity, order.experiment)
    return identity, book


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


def _check_runs_here(order: Order) -> None:
    missing = tuple(missing_here(order.experiment.spec, order.data_folder))
    if missing:
        raise InvalidSpec(missing)


def _read(order: Order, contents: Contents, watcher: Watcher) -> Book:
    check(contents.damaged)
    spec = order.experiment.spec
    if order.parallel is not None:
        trials = spec.trials.model_copy(update={"parallel": order.parallel})
        spec = spec.model_copy(update={"trials": Trials.model_validate(trials)})
    rules = Rules(max_trials=trials_per_scale(order.experiment.spec), fits=True)
    book = read_book(spec, rules, contents.status, contents.trials)
    book.machines = None if order.policy is None else Prices(order.policy)
    if not all(view.open for view in book.scales.values()):
        beside = order.out.absolute().parent
        book.warm_points = warm_points(spec, beside, order.data_folder, watcher.noted)
    return book


def _process_maker(order: Order, guard: Guard) -> Callable[[], ProcessRunner]:
    container = order.experiment.spec.trainer.container
    if container is None:
        return lambda: WarmWorker(guard)
    return lambda: CommandRunner(container, order.data_folder.absolute(), guard)
