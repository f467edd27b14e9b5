"""How good a model is on one part of the data.

Metrics are named `<split>_<metric>`. torchmetrics makes the confusion matrix and holds the formulas
of regression. Accuracy, precision, recall and F1 are read off the matrix here, because they are
needed after each epoch: that takes 0.1 ms, torchmetrics' four scores 0.8 ms, an epoch of a small
model 10 ms. A test holds them equal.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import assert_never

import torch
from torch import nn
from torchmetrics.functional.classification import multiclass_confusion_matrix
from torchmetrics.functional.regression import mean_absolute_error, mean_squared_error, r2_score

from scaling_trainer.config.base import Task
from scaling_trainer.feed import PartRows
from scaling_trainer.losses import LossFunction
from scaling_trainer.tensors import nested_list

# Inputs or outputs held at once, 4 MiB of float32; hidden layers take some tens of times as much.
_NUMBERS_AT_ONCE = 2**20
# A result has 4,096 bytes, of which 1,000 are for everything else.
_PER_CLASS_BYTES = 3000
# As many digits as float32 holds; more would be noise in a small message.
_DIGITS = 7


@dataclass(frozen=True, slots=True)
class Scored:
    """A part of the data seen through a model: mean loss, and a prediction for each target.

    Predictions are class (or token) indices, or numbers as the model sees them.
    """

    loss: float
    predictions: torch.Tensor
    targets: torch.Tensor


@dataclass(frozen=True, slots=True)
class Evaluator:
    """What an evaluation needs beside a model and data. `outputs` is the model's size of a row."""

    task: Task
    loss: LossFunction
    classes: tuple[str, ...]
    outputs: int

    def score(self, model: nn.Module, rows: PartRows, *, at_most: int | None = None) -> Scored:
        """Run a model over the rows, without dropout; `at_most` so many, spread evenly."""
        stride = 1 if at_most is None else math.ceil(len(rows) / at_most)
        device = next(model.parameters()).device
        total, seen = 0.0, 0
        predictions: list[torch.Tensor] = []
        wanted: list[torch.Tensor] = []
        model.eval()
        with torch.inference_mode():
            for inputs, targets in rows.spread(stride, self._rows_at_once(rows)):
                outputs = model(inputs.to(device))
                loss = self.loss(outputs, targets.to(device))
                total += float(loss) * len(inputs)
                seen += len(inputs)
                predictions.append(self._predicted(outputs).cpu())
                wanted.append(targets.cpu())
        model.train()
        return Scored(total / seen, torch.cat(predictions), torch.cat(wanted))

    def metrics(self, split: str, scored: Scored) -> dict[str, float]:
        """Give every metric of the task by name; per class as far as a result has room."""
        match self.task:
            case "classification":
                found = _classification(scored, self.classes)
            case "language-modelling":
                found = _language(scored)
            case "regression" | "recommendation":
                found = _numbers(scored)
            case _:
                assert_never(self.task)
        named = {f"{split}_{name}": value for name, value in found.items()}
        return {name: rounded(value) for name, value in named.items()}

    def _predicted(self, outputs: torch.Tensor) -> torch.Tensor:
        return outputs.argmax(-1) if self.task in _CHOOSING else outputs

    def _rows_at_once(self, rows: PartRows) -> int:
        """Bound the memory: by a row's inputs or its outputs, whichever are more."""
        inputs = rows.part.inputs[0].numel()
        return max(1, _NUMBERS_AT_ONCE // (max(inputs, self.outputs) * rows.samples_per_row))


_CHOOSING: tuple[Task, ...] = ("classification", "language-modelling")


def rounded(value: float) -> float:
    """Round to the digits that a float32 holds."""
    return float(f"{value:.{_DIGITS}g}")


def confusion(scored: Scored, classes: Sequence[str]) -> list[list[int]]:
    """Count rows by true class (outer) and predicted class (inner)."""
    return nested_list(_confusion(scored, classes))


def _confusion(scored: Scored, classes: Sequence[str]) -> torch.Tensor:
    with _plain_counting():
        return multiclass_confusion_matrix(
            scored.predictions, scored.targets, len(classes), validate_args=False
        )


def _classification(scored: Scored, classes: Sequence[str]) -> dict[str, float]:
    matrix = _confusion(scored, classes)
    counts = torch.stack((matrix.diagonal(), matrix.sum(0), matrix.sum(1)), dim=1)
    rows = nested_list(counts)  # per class: hits, how often predicted, how often true
    precision = [_ratio(hits, predicted) for hits, predicted, _ in rows]
    recall = [_ratio(hits, true) for hits, _, true in rows]
    f1 = [_ratio(2 * hits, predicted + true) for hits, predicted, true in rows]
    # As in torchmetrics, a class that nobody has and nobody predicts is left out of the mean.
    there = [predicted + true > 0 for _, predicted, true in rows]
    found = {
        "loss": scored.loss,
        "accuracy": _ratio(sum(row[0] for row in rows), len(scored.targets)),
        "precision": _mean(precision, there),
        "recall": _mean(recall, there),
        "f1": _mean(f1, there),
    }
    return found | _per_class({"recall": recall, "f1": f1, "precision": precision}, classes)


def _per_class(scores: Mapping[str, Sequence[float]], classes: Sequence[str]) -> dict[str, float]:
    """Name scores by class, whole metrics at a time, until a result would be full."""
    found: dict[str, float] = {}
    room = _PER_CLASS_BYTES
    for metric, values in scores.items():
        named = {f"{metric}_{name}": value for name, value in zip(classes, values, strict=True)}
        room -= sum(len(f'"val_{name}":,') + _DIGITS + 2 for name in named)
        if room < 0:
            return found
        found |= named
    return found


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _mean(values: Sequence[float], there: Sequence[bool]) -> float:
    kept = [value for value, counts in zip(values, there, strict=True) if counts]
    return sum(kept) / len(kept)


def _language(scored: Scored) -> dict[str, float]:
    return {
        "loss": scored.loss,
        # Of a loss this large nothing is left to tell apart.
        "perplexity": math.exp(scored.loss) if scored.loss < math.log(1e300) else math.inf,
        "accuracy": float((scored.predictions == scored.targets).double().mean()),
    }


def _numbers(scored: Scored) -> dict[str, float]:
    predictions, targets = scored.predictions.double().flatten(), scored.targets.double().flatten()
    found = {
        "loss": scored.loss,
        "mse": float(mean_squared_error(predictions, targets)),
        "mae": float(mean_absolute_error(predictions, targets)),
    }
    # The share of a spread that is explained: of one row there is no spread.
    return found | ({"r2": float(r2_score(predictions, targets))} if len(targets) > 1 else {})


@contextmanager
def _plain_counting() -> Generator[None]:
    """Let torchmetrics count as it does outside of deterministic mode.

    Within, it compares every row with every cell, for fear of floats on a GPU; whole numbers on a
    CPU add up the same in any order.
    """
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(mode=False)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(mode=before)
