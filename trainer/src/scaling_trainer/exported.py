"""A folder that `export` wrote, read: a model, and what turns rows into its inputs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

from torch import nn

from scaling_trainer import checkpoint
from scaling_trainer.counting import Dimensions
from scaling_trainer.data.errors import DataError
from scaling_trainer.export import CONFIG, PREPROCESSING
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
from scaling_trainer.reading import UnreadableFile, read_json
from scaling_trainer.trained import MOST_BYTES, Trained, load_model, read_record, unreadable


@dataclass(frozen=True, slots=True)
class Exported:
    """A model with its record, and the preprocessor that fits it."""

    trained: Trained
    preprocessor: Preprocessor
    model: nn.Module


def read_exported(folder: Path) -> Exported:
    """Read a folder. Raises DataError that names the file which cannot be used."""
    trained = read_record(folder / CONFIG)
    preprocessor = _read_preprocessor(folder / PREPROCESSING, trained)
    return Exported(trained, preprocessor, load_model(trained, folder / checkpoint.WEIGHTS))


def _read_preprocessor(path: Path, trained: Trained) -> Preprocessor:
    try:
        preprocessor = Preprocessor.from_json(read_json(path, MOST_BYTES, below=path.parent))
    except UnreadableFile as error:
        raise unreadable(error) from error
    except DataError as error:
        raise DataError(str(path), checkpoint.reason_of(error)) from error
    if not _fits(preprocessor, trained):
        raise DataError(str(path), f"does not fit the model that {CONFIG} tells of")
    return preprocessor


def _fits(preprocessor: Preprocessor, trained: Trained) -> bool:
    """Whether rows become inputs of the model's sizes, and its outputs have the names of then."""
    target = preprocessor.target
    names = target.names if isinstance(target, ClassTarget) else ()
    fitting = _dimensions(preprocessor.inputs, trained.dimensions)
    return names == trained.classes and fitting == trained.dimensions


def _dimensions(inputs: Inputs, of_model: Dimensions) -> Dimensions:
    """Read off inputs what they dictate to a model; the outputs are the model's own."""
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
