"""Writes and reads the folder of an exported model."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

import torch
from torch import nn

from scaling_trainer import checkpoint
from scaling_trainer.batches import SubsetRows
from scaling_trainer.config.models import Transformer
from scaling_trainer.counting import Dimensions
from scaling_trainer.data.load import prepare
from scaling_trainer.data.prepared import InputKind, Subset
from scaling_trainer.data_error import DataError
from scaling_trainer.evaluate import Evaluator, Scored, confusion_matrix
from scaling_trainer.optimization import loss_function
from scaling_trainer.preprocess import Preprocessor
from scaling_trainer.preprocess.inputs import (
    CategoryColumn,
    ClassTarget,
    Column,
    ImageInputs,
    Inputs,
    RatingInputs,
    TableInputs,
    TokenInputs,
)
from scaling_trainer.reading import UnreadableFile, open_regular, read_json
from scaling_trainer.seeding import seed_all
from scaling_trainer.tensors import aligned
from scaling_trainer.trained_model import (
    MOST_BYTES,
    ModelRecord,
    as_data_error,
    data_dimensions,
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
    """Score a trial's saved weights on the test part, and write the model and scores to a folder.

    Gives the test metrics. Raises DataError if the trial's folder or the data cannot be used.
    """
    record = read_record(trial / RECORD)
    torch.set_num_threads(record.config.threads)
    seed_all(0)
    prepared = prepare(record.config, data_dir)
    if data_dimensions(prepared) != record.dimensions or prepared.classes != record.classes:
        message = f"{data_dir} holds other data than those the trial was trained on"
        raise DataError(path="dataset", message=message)
    scored, metrics = _score(record, trial / checkpoint.WEIGHTS, prepared.test)
    out.mkdir(parents=True, exist_ok=True)
    _copy(trial / checkpoint.WEIGHTS, out / checkpoint.WEIGHTS)
    write_record(out / CONFIG, record)
    _write(out / PREPROCESSING, prepared.preprocessor.to_json())
    document: dict[str, object] = {
        "metrics": metrics,
        "parameters": record.parameters,
        "removed": dict(prepared.removed),
    }
    if prepared.kind in (InputKind.TABLE, InputKind.IMAGES) and record.classes:
        document["classes"] = list(record.classes)
        document["confusion"] = confusion_matrix(scored, record.classes)
    _write(out / METRICS, document)
    return metrics


def _score(record: ModelRecord, weights: Path, test: Subset) -> tuple[Scored, dict[str, float]]:
    config = record.config
    model = load_model(record, weights)
    cpu = torch.device("cpu")
    context = config.model.context if isinstance(config.model, Transformer) else 0
    rows = SubsetRows(Subset(aligned(test.inputs, cpu), aligned(test.targets, cpu)), context)
    evaluator = Evaluator(
        config.task, loss_function(config), record.classes, record.dimensions.outputs
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


@dataclass(frozen=True, slots=True)
class Exported:
    """A model with its record and its preprocessor."""

    record: ModelRecord
    preprocessor: Preprocessor
    model: nn.Module


def read_exported(folder: Path) -> Exported:
    """Read a folder. Raises DataError that names the file which cannot be used."""
    record = read_record(folder / CONFIG)
    preprocessor = _read_preprocessor(folder / PREPROCESSING, record)
    return Exported(record, preprocessor, load_model(record, folder / checkpoint.WEIGHTS))


def _read_preprocessor(path: Path, record: ModelRecord) -> Preprocessor:
    try:
        preprocessor = Preprocessor.from_json(read_json(path, MOST_BYTES, below=path.parent))
    except UnreadableFile as error:
        raise as_data_error(error) from error
    except DataError as error:
        raise DataError(str(path), checkpoint.reason_of(error)) from error
    if not _fits(preprocessor, record):
        raise DataError(str(path), f"does not fit the model that {CONFIG} tells of")
    return preprocessor


def _fits(preprocessor: Preprocessor, record: ModelRecord) -> bool:
    """Whether the preprocessor gives inputs of the model's sizes, and has the model's classes."""
    target = preprocessor.target
    names = target.names if isinstance(target, ClassTarget) else ()
    fitting = _dimensions(preprocessor.inputs, record.dimensions)
    return names == record.classes and fitting == record.dimensions


def _dimensions(inputs: Inputs, of_model: Dimensions) -> Dimensions:
    """Give the sizes that inputs set for a model. The number of outputs is the model's own."""
    match inputs:
        case TableInputs(columns=columns):
            features = sum(map(_width, columns))
            return Dimensions("table", features=features, outputs=of_model.outputs)
        case ImageInputs(channels=channels, height=height, width=width):
            sizes = {"channels": channels, "height": height, "width": width}
            return Dimensions("images", **sizes, outputs=of_model.outputs)
        case RatingInputs(users=users, items=items):
            return Dimensions("ratings", users=len(users), items=len(items))
        case TokenInputs():
            size = of_model.vocabulary
            return Dimensions("tokens", outputs=size, vocabulary=size)
        case _:
            assert_never(inputs)


def _width(column: Column) -> int:
    return len(column.categories) if isinstance(column, CategoryColumn) else 1
