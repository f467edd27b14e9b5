"""Exported models of others: the record of one, beside weights."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from targets import check_words, of_files
from torch import nn

from scaling_trainer import checkpoint
from scaling_trainer.checkpoint import Checkpoint
from scaling_trainer.data.errors import DataError
from scaling_trainer.trained import Trained, load_model, read_record, write_record


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


def _check_again(path: Path, trained: Trained) -> None:
    write_record(path, trained)
    assert read_record(path) == trained


SMALL = nn.ModuleDict({"head": nn.Linear(4, 1)})
"""As the record in the corpus has it."""

TARGETS = (of_files("records-of-models", check_a_record, 150),)
