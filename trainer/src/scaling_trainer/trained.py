"""A trained model on disk: its weights, and a record of what it is and how good it was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn

from scaling_trainer import checkpoint, models
from scaling_trainer.config.builtin import BuiltIn
from scaling_trainer.counting import Dimensions
from scaling_trainer.data.errors import DataError
from scaling_trainer.data.prepared import Kind, Prepared
from scaling_trainer.reading import UnreadableFile, read_json_object
from scaling_trainer.writing import write_file

RECORD_VERSION = 1
MOST_BYTES = 64 * 1024 * 1024
"""Of a record or a preprocessor: 100,000 classes, and the categories of a wide table."""


@dataclass(frozen=True, slots=True)
class Trained:
    """The record of a trained model.

    `identity` tells one training from another; `parameters` is N; `result` is the line that the
    trial gave as its result.
    """

    config: BuiltIn
    dimensions: Dimensions
    classes: tuple[str, ...]
    parameters: int
    metrics: Mapping[str, float]
    identity: str = ""
    result: str = ""


def dimensions_in(prepared: Prepared) -> Dimensions:
    """Read off the data the sizes that they dictate to a model."""
    shape = prepared.train.inputs.shape
    outputs = len(prepared.classes) or 1
    match prepared.kind:
        case Kind.TABLE:
            return Dimensions("table", features=shape[1], outputs=outputs)
        case Kind.IMAGES:
            _, channels, height, width = shape
            return Dimensions(
                "images", channels=channels, height=height, width=width, outputs=outputs
            )
        case Kind.TOKENS:
            (vocabulary,) = prepared.cardinalities
            return Dimensions("tokens", outputs=vocabulary, vocabulary=vocabulary)
        case Kind.RATINGS:
            users, items = prepared.cardinalities
            return Dimensions("ratings", users=users, items=items)


def write_record(path: Path, trained: Trained) -> None:
    """Write a record as JSON, at once."""
    document = {
        "v": RECORD_VERSION,
        "builtIn": trained.config.model_dump(mode="json"),
        "dimensions": asdict(trained.dimensions),
        "classes": list(trained.classes),
        "parameters": trained.parameters,
        "metrics": dict(trained.metrics),
        "identity": trained.identity,
        "result": trained.result,
    }
    write_file(path, json.dumps(document, indent=1), below=path.parent)


def read_record(path: Path) -> Trained:
    """Read a record. Raises DataError that names a file which is missing or is no record."""
    try:
        document = read_json_object(path, MOST_BYTES, below=path.parent)
        return Trained(
            config=BuiltIn.model_validate(document["builtIn"]),
            dimensions=Dimensions(**document["dimensions"]),
            classes=tuple(document["classes"]),
            parameters=int(document["parameters"]),
            metrics=document["metrics"],
            identity=str(document["identity"]),
            result=str(document["result"]),
        )
    except UnreadableFile as error:
        raise unreadable(error) from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(str(path), f"is no record of a trained model: {error}") from error


def unreadable(error: UnreadableFile) -> DataError:
    """Say that a file cannot be read, and why."""
    reason = error.reason.removeprefix("cannot be read: ")
    return DataError(str(error.path), f"cannot be read: {reason}")


def load_model(trained: Trained, weights: Path) -> nn.Module:
    """Build the model and give it its weights. Raises DataError where the two do not fit."""
    saved = checkpoint.read(weights)
    if saved is None:
        raise DataError(str(weights), "is missing or holds no weights")
    model = models.build(trained.config.model, trained.dimensions)
    try:
        model.load_state_dict(saved.tensors)
    except RuntimeError as error:
        raise DataError(str(weights), f"does not fit the model: {error}") from error
    return model.eval()


def pick_device() -> torch.device:
    """Give the accelerator where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
