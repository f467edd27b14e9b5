"""The end of a run: the best trial's model and its one test score, the table, and the picture."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from scaling_operator.api.status import BestTrial, ExperimentStatus
from scaling_operator.api.trial import ScalingTrial
from scaling_operator.local.runner import Runner
from scaling_operator.local.store import Identity, Store, StoreError
from scaling_operator.local.workers import WarmWorker
from scaling_operator.report.data import Confusion, ReportInput
from scaling_operator.search.lanes import record_of
from scaling_operator.search.study import Study, StudySettings


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
    write_report(store, trials)
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


def write_report(store: Store, trials: list[ScalingTrial]) -> Path:
    """Draw report.html from what the folder holds."""
    # The plots load slowly, and only the end of a run needs them.
    from scaling_operator.report.page import render  # noqa: PLC0415

    identity = store.identity()
    confusion, removed = _evaluation(store)
    page = render(
        ReportInput(
            name=identity.name,
            spec=identity.spec,
            status=store.status(),
            trials=tuple(trials),
            importances=importances(identity, trials),
            confusion=confusion,
            removed=removed,
        )
    )
    path = store.root / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def importances(
    identity: Identity, trials: list[ScalingTrial]
) -> Mapping[int, Mapping[str, float]]:
    """Work out the parameters' importances for each scale that has trials."""
    spec = identity.spec
    by_scale: dict[int, Study] = {}
    for trial in trials:
        scale = trial.spec.scale
        if scale not in by_scale:
            by_scale[scale] = Study(
                StudySettings(
                    name=f"{identity.name}-{scale}",
                    search=spec.search,
                    directions=tuple(goal.direction for goal in spec.all_objectives),
                    base_seed=identity.uid,
                    scale=scale,
                    ranges={},
                )
            )
        by_scale[scale].add(record_of(trial, spec.search))
    return {scale: study.importances() for scale, study in by_scale.items()}


def write_table(store: Store, trials: list[ScalingTrial]) -> None:
    """Write trials.csv: a row per trial; a column per parameter, metric and figure."""
    rows = [_row(trial) for trial in trials]
    columns = list(dict.fromkeys(name for row in rows for name in row)) or ["trial"]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    temporary = store.root / ".trials.csv.new"
    temporary.write_text(text.getvalue(), encoding="utf-8")
    os.replace(temporary, store.root / "trials.csv")  # noqa: PTH105


def _row(trial: ScalingTrial) -> dict[str, Any]:
    spec, status = trial.spec, trial.status
    figures = status.model_dump(
        mode="json", by_alias=True, exclude={"values", "metrics", "curve", "attempts"}
    )
    return {
        "trial": f"{spec.scale}-{spec.number}",
        "scale": spec.scale,
        "number": spec.number,
        "state": status.state.value,
        "reason": status.reason.value if status.reason is not None else "",
        **{f"value{index or ''}": value for index, value in enumerate(status.values)},
        **spec.parameters,
        **status.metrics,
        **figures,
        "attempts": len(status.attempts) + 1,
        "seed": spec.seed,
    }


def _evaluation(store: Store) -> tuple[Confusion | None, Mapping[str, int]]:
    """Read what the best trial's evaluation left beside its weights."""
    path = store.root / "best" / "metrics.json"
    if not path.exists():
        return None, {}
    document = json.loads(path.read_text())
    counts, classes = document.get("confusion"), document.get("classes")
    confusion = Confusion(tuple(classes), tuple(tuple(row) for row in counts)) if counts else None
    return confusion, document.get("removed", {})
