"""The end of a run on this machine: the best trial's model and test score, the table, the page."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from pathlib import Path

from scaling_operator.api.status import BestTrial, ExperimentStatus
from scaling_operator.local.attempt_processes import raise_no_space
from scaling_operator.local.contents import BEST_LOG
from scaling_operator.local.export import (
    Winner,
    export_model,
    with_test_metrics,
    write_report,
    write_table,
)
from scaling_operator.local.runner import LocalRunner
from scaling_operator.local.store import StoreError
from scaling_operator.local.workers import WarmWorker
from scaling_trainer.writing import fresh_file


def preload() -> None:
    """Import what the end needs, ahead of it."""
    for module in ("scaling_operator.report.page", "optuna.importance"):
        import_module(module)


async def finish(runner: LocalRunner, status: ExperimentStatus) -> ExperimentStatus:
    """Export the best trial, write the table and draw the report; return the status with scores.

    Raises StoreError where the trainer cannot evaluate the best trial.
    """
    store, note = runner.store, runner.backend.hooks.noted
    best = status.best
    if best is not None and best.test_metrics is None:
        winner = _winner(runner, best)
        metrics = await export_model(store.root, winner, note, below=store.root)
        status = with_test_metrics(status, metrics)
        store.write_status(runner.identity.name, status)
    contents = store.contents()
    for damage in contents.damaged:
        note(f"{damage}; left out")
    record, fits = contents.record, runner.engine.fit_worker
    write_table(store.root, record, below=store.root)
    fitted = None if fits is None else fits.outcome
    write_report(store.root, record, fitted, below=store.root)
    return status


def _winner(runner: LocalRunner, best: BestTrial) -> Winner:
    checkpoint = runner.store.trial_folder(best.scale, best.number) / "checkpoint"
    is_built_in = runner.spec.trainer.built_in is not None
    score = partial(_score, runner, best, checkpoint)
    return Winner(checkpoint, best.parameters, is_built_in, score)


async def _score(runner: LocalRunner, best: BestTrial, checkpoint: Path, folder: Path) -> None:
    log = runner.store.root / BEST_LOG
    with fresh_file(log, below=runner.store.root):
        pass
    worker = runner.attempts.idle(WarmWorker) or WarmWorker(runner.attempts.guard)
    try:
        ending = await worker.export(checkpoint, folder, runner.data_folder, log)
    finally:
        await worker.close()
    raise_no_space(ending)
    if ending.exit_code != 0:
        message = f"the best trial {best.trial} could not be evaluated: {ending.message}; see {log}"
        raise StoreError(message)
