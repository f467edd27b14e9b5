"""The end of a run: the best trial's model and its one test score, the table, and the picture."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from scaling_operator.api.status import BestTrial, ExperimentStatus
from scaling_operator.local.attempts import raise_no_space
from scaling_operator.local.contents import BEST, BEST_LOG, MOST_BYTES, REPORT, TABLE, Contents
from scaling_operator.local.copying import copy_files
from scaling_operator.local.runner import LocalRunner
from scaling_operator.local.store import StoreError
from scaling_operator.local.workers import WarmWorker
from scaling_operator.runtime.record import ExperimentRecord, table
from scaling_trainer.reading import read_json_object
from scaling_trainer.writing import fresh_file, whole_folder, write_file

if TYPE_CHECKING:
    from scaling_operator.law.fit_experiment import FitOutcome


def preload() -> None:
    """Import what the end needs, ahead of it."""
    for module in ("scaling_operator.report.page", "optuna.importance"):
        import_module(module)


async def finish(runner: LocalRunner, status: ExperimentStatus) -> ExperimentStatus:
    """Export the best trial, write the table and draw the report; return the status with scores."""
    store, tell = runner.store, runner.backend.hooks.noted
    best = status.best
    if best is not None and best.test_metrics is None:
        best = await _export(runner, best, tell)
        status = status.model_copy(update={"best": best})
        store.write_status(runner.identity.name, status)
    contents = store.contents()
    for damage in contents.damaged:
        tell(f"{damage}; left out")
    write_file(store.root / TABLE, table(contents.trials), below=store.root)
    fits = runner.engine.fit_worker
    write_report(store.root, contents, None if fits is None else fits.outcome)
    return status


async def _export(runner: LocalRunner, best: BestTrial, tell: Callable[[str], None]) -> BestTrial:
    """Put the winner into `best/`. Raises StoreError where the trainer cannot evaluate it."""
    store = runner.store
    source = store.trial_folder(best.scale, best.number) / "checkpoint"
    with whole_folder(store.root / BEST, below=store.root) as folder:
        if runner.spec.trainer.built_in is None:
            # Somebody's own trainer: what it saved is the model, and only it knows how to test it.
            for note in copy_files(source, folder) if os.path.lexists(source) else ():
                tell(note)
            parameters = json.dumps(dict(best.parameters), indent=2) + "\n"
            write_file(folder / "parameters.json", parameters, below=folder)
            return best
        await _evaluate(runner, best, source, folder)
        document = read_json_object(folder / "metrics.json", MOST_BYTES, below=folder)
    return best.model_copy(update={"test_metrics": document["metrics"]})


async def _evaluate(runner: LocalRunner, best: BestTrial, source: Path, folder: Path) -> None:
    log = runner.store.root / BEST_LOG
    with fresh_file(log, below=runner.store.root):
        pass
    worker = runner.attempts.idle(WarmWorker) or WarmWorker(runner.attempts.guard)
    try:
        ending = await worker.export(source, folder, runner.data_folder, log)
    finally:
        await worker.close()
    raise_no_space(ending)
    if ending.exit_code != 0:
        message = f"the best trial {best.trial} could not be evaluated: {ending.message}; see {log}"
        raise StoreError(message)


def write_report(root: Path, contents: Contents, fitted: FitOutcome | None = None) -> Path:
    """Draw report.html from what a folder holds; `fitted` spares another fit of it."""
    # The plots load slowly, and only the end of a run needs them.
    from scaling_operator.report.build import draw  # noqa: PLC0415

    identity = contents.identity
    record = ExperimentRecord(
        *(identity.name, identity.uid, identity.spec, contents.status), contents.trials
    )
    path = root / REPORT
    write_file(path, draw(record, root / BEST, fitted), below=root)
    return path
