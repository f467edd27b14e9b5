"""Exported models of others: the record of one, its preprocessor, beside weights."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from targets import check_words, of_files
from torch import nn

from scaling_trainer import checkpoint, models
from scaling_trainer.checkpoint import Checkpoint
from scaling_trainer.config.builtin import BuiltIn
from scaling_trainer.counting import Dimensions
from scaling_trainer.data_error import DataError
from scaling_trainer.export import CONFIG, PREPROCESSING, read_exported
from scaling_trainer.foreign_text import one_line
from scaling_trainer.predict import predict
from scaling_trainer.preprocess import Preprocessor
from scaling_trainer.trained_model import ModelRecord, load_model, read_record, write_record


def check_a_record(written: bytes) -> bool:
    """A record that is read is written again as it was; a model is made only where weights fit."""
    with tempfile.TemporaryDirectory() as folder:
        path, weights = Path(folder) / "config.json", Path(folder) / "weights.safetensors"
        path.write_bytes(written)
        checkpoint.write(weights, Checkpoint(dict(SMALL.state_dict()), {}))
        try:
            trained = read_record(path)
            _check_again(path, trained)
            model = load_model(trained, weights)
        except DataError as error:
            check_words(str(error))
            return False
        model(torch.zeros(1, 4))
        return True


def _check_again(path: Path, trained: ModelRecord) -> None:
    write_record(path, trained)
    assert read_record(path) == trained


def check_a_preprocessor(written: bytes) -> bool:
    """A preprocessor is read as it can be written again, and rows are predicted or refused."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = MODELS.get(_kind(written), MODELS["table"])
        model.write(folder)
        (folder / PREPROCESSING).write_bytes(written)
        rows = folder / "rows.csv"
        rows.write_text(model.rows)
        try:
            read = read_exported(folder).preprocessor
        except DataError as error:
            check_words(str(error))
            return False
        assert Preprocessor.from_json(json.loads(json.dumps(read.to_json()))) == read
        try:
            predicted = predict(folder, rows)
        except DataError as error:  # it speaks of a column, whose name may be any text
            check_words(one_line(str(error)), len(written) + 1000)
            return False
        assert len(predicted) == model.rows.count("\n") - 1
        return True


def _kind(written: bytes) -> str:
    try:
        return str(json.loads(written)["inputs"]["kind"])
    except (ValueError, TypeError, LookupError, RecursionError):
        return ""


@dataclass(frozen=True, slots=True)
class Model:
    """A small model, as `export` writes it but for the preprocessor, and rows for it."""

    config: dict[str, Any]
    dimensions: Dimensions
    rows: str
    classes: tuple[str, ...] = ()

    def write(self, folder: Path) -> None:
        """Write the record and the weights."""
        config = BuiltIn.model_validate(self.config)
        write_record(folder / CONFIG, ModelRecord(config, self.dimensions, self.classes, 1, {}))
        drawn = models.build(config.model, self.dimensions).state_dict()
        checkpoint.write(folder / checkpoint.WEIGHTS, Checkpoint(drawn, {}))


SMALL = nn.ModuleDict({"head": nn.Linear(4, 1)})
"""As the record in the corpus has it."""

MODELS = {
    "table": Model(
        {
            "task": "classification",
            "dataset": {"name": "csv", "path": "a.csv", "target": "kind"},
            "model": {"name": "linear"},
        },
        Dimensions("table", features=3, outputs=2),
        "size,room\n1,low\n2.5,high\n",
        ("a", "b"),
    ),
    "images": Model(
        {
            "task": "regression",
            "dataset": {"name": "npz", "path": "a.npz"},
            "model": {"name": "cnn", "width": 1},
        },
        Dimensions("images", channels=1, height=4, width=4),
        ",".join(f"pixel_{place}" for place in range(16)) + "\n" + "7," * 15 + "255\n",
    ),
    "ratings": Model(
        {
            "task": "recommendation",
            "dataset": {"name": "ratings", "path": "a.csv"},
            "model": {"name": "matrix-factorisation", "width": 2},
        },
        Dimensions("ratings", users=2, items=3),
        "user,item\nann,tea\nbob,milk\n",
    ),
}
"""By the kind of their inputs."""

TARGETS = (
    of_files("records-of-models", check_a_record, 150),
    of_files("preprocessors", check_a_preprocessor, 100),
)
