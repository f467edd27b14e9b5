"""A trained model on disk: its weights, and a record of its configuration and metrics."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast, get_args

import torch
from torch import nn

from scaling_trainer import checkpoint, models
from scaling_trainer.config.builtin import BuiltIn
from scaling_trainer.counting import Dimensions
from scaling_trainer.counting import Kind as DataKind
from scaling_trainer.data.prepared import InputKind, Prepared
from scaling_trainer.data_error import DataError
from scaling_trainer.metric_names import shown_name
from scaling_trainer.reading import UnreadableFile, read_json_object
from scaling_trainer.training_state import UnusableCheckpoint, check_same_tensors
from scaling_trainer.writing import write_file

RECORD_VERSION = 1
MOST_SIZE = 2**40
"""The largest size that data set for a model: of columns, users or items."""
MOST_PIXELS = 2**28
"""Pixels of an image in all channels. Pillow reads no larger image."""
KINDS: tuple[str, ...] = get_args(DataKind)
MOST_BYTES = 64 * 1024 * 1024
"""Bytes of a record or a preprocessor: enough for 100,000 classes, or a wide table's categories."""


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """The record of a trained model.

    `identity` tells trainings apart. `parameters` is N. `result` is the trial's result as JSON.
    """

    config: BuiltIn
    dimensions: Dimensions
    classes: tuple[str, ...]
    parameters: int
    metrics: Mapping[str, float]
    identity: str = ""
    result: str = ""


def data_dimensions(prepared: Prepared) -> Dimensions:
    """Give the sizes that the data set for a model."""
    shape = prepared.train.inputs.shape
    outputs = len(prepared.classes) or 1
    match prepared.kind:
        case InputKind.TABLE:
            return Dimensions("table", features=shape[1], outputs=outputs)
        case InputKind.IMAGES:
            _, channels, height, width = shape
            return Dimensions(
                "images", channels=channels, height=height, width=width, outputs=outputs
            )
        case InputKind.TOKENS:
            (vocabulary,) = prepared.cardinalities
            return Dimensions("tokens", outputs=vocabulary, vocabulary=vocabulary)
        case InputKind.RATINGS:
            users, items = prepared.cardinalities
            return Dimensions("ratings", users=users, items=items)


def write_record(path: Path, record: ModelRecord) -> None:
    """Write a record as JSON, atomically."""
    document = {
        "v": RECORD_VERSION,
        "builtIn": record.config.model_dump(mode="json"),
        "dimensions": asdict(record.dimensions),
        "classes": list(record.classes),
        "parameters": record.parameters,
        "metrics": dict(record.metrics),
        "identity": record.identity,
        "result": record.result,
    }
    write_file(path, json.dumps(document, indent=1), below=path.parent)


def read_record(path: Path) -> ModelRecord:
    """Read a record. Raises DataError that names the file if it is missing or no record."""
    try:
        document = read_json_object(path, MOST_BYTES, below=path.parent)
        return ModelRecord(
            config=BuiltIn.model_validate(document["builtIn"]),
            dimensions=_dimensions(document["dimensions"]),
            classes=_classes(document["classes"]),
            parameters=int(document["parameters"]),
            metrics=_metrics(document["metrics"]),
            identity=str(document["identity"]),
            result=str(document["result"]),
        )
    except UnreadableFile as error:
        raise as_data_error(error) from error
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        reason = checkpoint.reason_of(error)
        raise DataError(str(path), f"is no record of a trained model: {reason}") from error


def _dimensions(document: dict[str, Any]) -> Dimensions:
    for name, value in document.items():
        if name != "kind" and not (type(value) is int and 0 <= value <= MOST_SIZE):
            message = f"dimensions.{shown_name(name)} is no whole number from 0 to 2^40"
            raise ValueError(message)
    if document["kind"] not in KINDS:
        message = f"dimensions.kind is none of {', '.join(KINDS)}"
        raise ValueError(message)
    dimensions = Dimensions(**document)
    if dimensions.channels * dimensions.height * dimensions.width > MOST_PIXELS:
        message = "dimensions of an image make more than 2^28 pixels"
        raise ValueError(message)
    return dimensions


def _classes(document: Any) -> tuple[str, ...]:
    if isinstance(document, list) and all(
        isinstance(name, str) for name in cast("list[Any]", document)
    ):
        return tuple(cast("list[str]", document))
    message = "classes is no list of texts"
    raise ValueError(message)


def _metrics(document: dict[str, Any]) -> dict[str, float]:
    return {str(name): float(value) for name, value in document.items()}


def as_data_error(error: UnreadableFile) -> DataError:
    """Turn the error of an unreadable file into a DataError."""
    reason = error.reason.removeprefix("cannot be read: ")
    return DataError(str(error.path), f"cannot be read: {reason}")


def load_model(record: ModelRecord, weights: Path) -> nn.Module:
    """Build the model and load its weights. Raises DataError if the two do not fit."""
    saved = checkpoint.read(weights)
    if saved is None:
        raise DataError(str(weights), "is missing or holds no weights")
    try:
        # The meta device takes no memory. A record may name any size, also 0: then PyTorch warns.
        with torch.device("meta"), warnings.catch_warnings(action="ignore"):
            drawn = models.build(record.config.model, record.dimensions)
        check_same_tensors(dict(saved.tensors), drawn.state_dict(), "weights")
    except (UnusableCheckpoint, ValueError, RuntimeError) as error:
        reason = checkpoint.reason_of(error)
        raise DataError(str(weights), f"does not fit the model: {reason}") from error
    model = models.build(record.config.model, record.dimensions)
    model.load_state_dict(saved.tensors)
    return model.eval()


def pick_device() -> torch.device:
    """Give the accelerator where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
