"""Predictions of an exported model for the rows of a CSV file.

Tables and images: a class and the probability of each, or a number in the unit of the data.
Ratings: a number for each user and item. Text: loss and perplexity of the column `text`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pandas as pd
import torch
from torch import nn
from torch.nn import functional

from scaling_trainer.config.data import Dataset, Delimited
from scaling_trainer.config.models import Transformer
from scaling_trainer.data.delimited import TextFormat, read_delimited
from scaling_trainer.data_error import DataError
from scaling_trainer.export import read_exported
from scaling_trainer.preprocess import Preprocessor
from scaling_trainer.preprocess.new_rows import read_as_learned, required_columns, unseen_categories
from scaling_trainer.tensors import row_chunks
from scaling_trainer.trained_model import ModelRecord

_ROWS_AT_ONCE = 4096
_TEXT = "text"
_log = logging.getLogger(__name__)


def predict(best: Path, table: Path, tell: Callable[[str], None] = _log.warning) -> pd.DataFrame:
    """Give one row of predictions for each row of a CSV file.

    The columns are read as training read them. `tell` receives notes on values unknown to training.
    Raises DataError that names the file or column which cannot be used.
    """
    exported = read_exported(best)
    record, preprocessor, model = exported.record, exported.preprocessor, exported.model
    frame = _read_table(table, record.config.dataset, preprocessor)
    for unseen in unseen_categories(preprocessor.inputs, frame):
        tell(unseen)
    torch.set_num_threads(record.config.threads)
    with torch.inference_mode():
        if isinstance(record.config.model, Transformer):
            return _text_losses(model, frame, record.config.model.context)
        inputs = preprocessor.transform(frame, folder=table.parent)
        outputs = torch.cat([model(chunk) for chunk in row_chunks(inputs, _ROWS_AT_ONCE)])
    return _prediction_table(outputs, record, preprocessor)


def _read_table(path: Path, dataset: Dataset, preprocessor: Preprocessor) -> pd.DataFrame:
    encoding = dataset.encoding if isinstance(dataset, Delimited) else None
    form = TextFormat(required_columns(preprocessor.inputs), encoding=encoding, keeps_blank=True)
    try:
        frame = read_delimited(path, form).frame
    except DataError as error:
        raise DataError(str(path), error.message.removeprefix(f"{path.name} ")) from error
    return read_as_learned(frame, preprocessor.inputs, preprocessor.notation)


def _prediction_table(
    outputs: torch.Tensor, record: ModelRecord, preprocessor: Preprocessor
) -> pd.DataFrame:
    if not record.classes:
        numbers = preprocessor.restore_target(outputs).flatten()
        return pd.DataFrame({"prediction": numbers.double().numpy()})
    shares = outputs.softmax(-1)
    columns: dict[str, object] = {"prediction": preprocessor.labels(shares.argmax(-1))}
    for name, share in zip(record.classes, shares.T, strict=True):
        columns[f"probability_{name}"] = share.double().numpy()
    return pd.DataFrame(columns)


def _text_losses(model: nn.Module, frame: pd.DataFrame, context: int) -> pd.DataFrame:
    if _TEXT not in frame.columns:
        columns = ", ".join(str(name) for name in frame.columns)
        raise DataError(_TEXT, f"the column is missing; there are: {columns}")
    losses = [_mean_loss(model, str(text), context) for text in frame[_TEXT]]
    return pd.DataFrame({"loss": losses, "perplexity": [math.exp(loss) for loss in losses]})


def _mean_loss(model: nn.Module, text: str, context: int) -> float:
    """Give the mean loss of each byte after the first, given the bytes before in its window."""
    tokens = torch.tensor(list(text.encode()))
    if len(tokens) < 2:  # noqa: PLR2004 # one to look at, one to predict
        raise DataError(_TEXT, f"{text!r} is too short: at least 2 bytes are needed")
    total = 0.0
    for first in range(0, len(tokens) - 1, context):
        window = tokens[first : first + context + 1]
        logits = cast("torch.Tensor", model(window[None, :-1]))[0]
        total += float(functional.cross_entropy(logits, window[1:], reduction="sum"))
    return total / (len(tokens) - 1)
