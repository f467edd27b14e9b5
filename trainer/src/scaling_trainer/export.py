"""The best trial made usable: scored once on the test part, with all that a prediction needs.

The folder holds `weights.safetensors`, `config.json` (the record of the trained model),
`preprocessing.json` and `metrics.json`.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch

from scaling_trainer import checkpoint
from scaling_trainer.config.models import Transformer
from scaling_trainer.data.errors import DataError
from scaling_trainer.data.load import prepare
from scaling_trainer.data.prepared import InputKind, Part
from scaling_trainer.evaluate import Evaluator, Scored, confusion
from scaling_trainer.feed import PartRows
from scaling_trainer.losses import loss_function
from scaling_trainer.reading import open_regular
from scaling_trainer.seeding import seed_all
from scaling_trainer.tensors import aligned
from scaling_trainer.trained import (
    Trained,
    dimensions_in,
    load_model,
    read_record,
    write_record,
)
from scaling_trainer.trial import RECORD
from scaling_trainer.writing import whole_file, write_file

CONFIG = "config.json"
PREPROCESSING = "preprocessing.json"
METRICS = "metrics.json"


def export(trial: Path, out: Path, data_dir: Path) -> dict[str, float]:
    """Score a trial's saved weights on the test part and write all of it to a folder.

    Gives the test metrics. Raises DataError where the trial's folder or the data cannot be used.
    """
    trained = read_record(trial / RECORD)
    torch.set_num_threads(trained.config.threads)
    seed_all(0)
    prepared = prepare(trained.config, data_dir)
    if dimensions_in(prepared) != trained.dimensions or prepared.classes != trained.classes:
        message = f"{data_dir} holds other data than those the trial was trained on"
        raise DataError(path="dataset", message=message)
    scored, metrics = _score(trained, trial / checkpoint.WEIGHTS, prepared.test)
    out.mkdir(parents=True, exist_ok=True)
    _copy(trial / checkpoint.WEIGHTS, out / checkpoint.WEIGHTS)
    write_record(out / CONFIG, trained)
    _write(out / PREPROCESSING, prepared.preprocessor.to_json())
    document: dict[str, object] = {
        "metrics": metrics,
        "parameters": trained.parameters,
        "removed": dict(prepared.removed),
    }
    if prepared.kind in (InputKind.TABLE, InputKind.IMAGES) and trained.classes:
        document["classes"] = list(trained.classes)
        document["confusion"] = confusion(scored, trained.classes)
    _write(out / METRICS, document)
    return metrics


def _score(trained: Trained, weights: Path, test: Part) -> tuple[Scored, dict[str, float]]:
    config = trained.config
    model = load_model(trained, weights)
    cpu = torch.device("cpu")
    context = config.model.context if isinstance(config.model, Transformer) else 0
    rows = PartRows(Part(aligned(test.inputs, cpu), aligned(test.targets, cpu)), context)
    evaluator = Evaluator(
        config.task, loss_function(config), trained.classes, trained.dimensions.outputs
    )
    scored = evaluator.score(model, rows)
    return scored, evaluator.metrics("test", scored)


def _write(path: Path, document: object) -> None:
    write_file(path, json.dumps(document, indent=1), below=path.parent)


def _copy(source: Path, target: Path) -> None:
    with (
        open_regular(source, below=source.parent) as file,
        whole_file(target, below=target.parent) as copy,
    ):
        shutil.copyfileobj(file, copy, 1024 * 1024)
