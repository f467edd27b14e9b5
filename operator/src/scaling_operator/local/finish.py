"""The end of a run: the best trial's model and its one test score, the table, and the picture."""

from __future__ import annotations

import json
import os
import shutil
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from scaling_operator.api.status import BestTrial, ExperimentStatus
from scaling_operator.api.trial import ScalingTrial
from scaling_operator.engine.outcome import Outcome, table
from scaling_operator.local.runner import Runner
from scaling_operator.local.store import Store, StoreError
from scaling_operator.local.workers import WarmWorker

if TYPE_CHECKING:
    from scaling_operator.fitting.fit import FitOutcome


def preload() -> None:
    """Import what the end needs, ahead of it."""
    for module in ("scaling_operator.report.page", "optuna.importance"):
        import_module(module)


async def finish(runner: Runner, status: ExperimentStatus) -> ExperimentStatus:
    """Export the best trial, write the table and draw the report; return the status with scores."""
    store = runner.store
    best = status.best
    if best is not None and best.test_metrics is None:
        best = await _export(runner, best)
        status = status.model_copy(update={"best": best})
        store.write_status(runner.identity.name, status)
    trials = store.trials()
    write_table(store, trials)
    write_report(store, trials, None if runner.engine.fits is None else runner.engine.fits.outcome)
    return status


async def _export(runner: Runner, best: BestTrial) -> BestTrial:
    """Put the winner into `best/`. Raises StoreError where the trainer cannot evaluate it."""
    store = runner.store
    source = store.trial_folder(best.scale, best.number) / "checkpoint"
    target = store.root / "best"
    if runner.spec.trainer.built_in is None:
        # Somebody's own trainer: what it saved is the model, and only it knows how to test it.
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target) if source.exists() else target.mkdir()
        (target / "parameters.json").write_text(json.dumps(dict(best.parameters), indent=2) + "\n")
        return best
    log = store.root / "best.log"
    worker = runner.attempts.idle(WarmWorker) or WarmWorker()
    try:
        ending = await worker.export(source, target, runner.data_folder, log)
    finally:
        await worker.close()
    if ending.exit_code != 0:
        message = f"the best trial {best.trial} could not be evaluated: {ending.message}; see {log}"
        raise StoreError(message)
    metrics = json.loads((target / "metrics.json").read_text())
    return best.model_copy(update={"test_metrics": metrics["metrics"]})


def write_report(
    store: Store, trials: list[ScalingTrial], fitted: FitOutcome | None = None
) -> Path:
    """Draw report.html from what the folder holds; `fitted` spares another fit of it."""
    # The plots load slowly, and only the end of a run needs them.
    from scaling_operator.engine.drawing import draw  # noqa: PLC0415

    identity = store.identity()
    outcome = Outcome(identity.name, identity.uid, identity.spec, store.status(), tuple(trials))
    path = store.root / "report.html"
    path.write_text(draw(outcome, store.root / "best", fitted), encoding="utf-8")
    return path


def write_table(store: Store, trials: list[ScalingTrial]) -> None:
    """Write trials.csv: a row per trial; a column per parameter, metric and figure."""
    temporary = store.root / ".trials.csv.new"
    temporary.write_text(table(trials), encoding="utf-8")
    os.replace(temporary, store.root / "trials.csv")  # noqa: PTH105
