"""How good a model is on one part of the data.

Metrics are named `<split>_<metric>`, and are those of scikit-learn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, assert_never, cast

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn import metrics  # pyright: ignore[reportMissingTypeStubs] # it ships none
from torch import nn

from scaling_trainer.batches import SubsetRows
from scaling_trainer.config.base import Task
from scaling_trainer.optimization import LossFunction

# Inputs or outputs held at once: 4 MiB of float32. Hidden layers take some tens of times as much.
_NUMBERS_AT_ONCE = 2**20
# A result has 4,096 bytes. All other fields need 1,000 of them.
_PER_CLASS_BYTES = 3000
# A float32 has 7 digits. Further digits would be noise in a small message.
_DIGITS = 7
_SKLEARN = cast("Any", metrics)


@dataclass(frozen=True, slots=True)
class Scored:
    """The scores of a model on a subset: the mean loss, and a prediction for each target.

    Predictions are class (or token) indices, or scaled numbers.
    """

    loss: float
    predictions: torch.Tensor
    targets: torch.Tensor


@dataclass(frozen=True, slots=True)
class Evaluator:
    """Scores models on data. `outputs` is the number of a model's outputs per row."""

    task: Task
    loss: LossFunction
    classes: tuple[str, ...]
    outputs: int

    def score(self, model: nn.Module, rows: SubsetRows, *, at_most: int | None = None) -> Scored:
        """Run a model over the rows, without dropout. `at_most` bounds the rows, spread evenly."""
        stride = 1 if at_most is None else math.ceil(len(rows) / at_most)
        device = next(model.parameters()).device
        total, seen = 0.0, 0
        all_predictions: list[torch.Tensor] = []
        all_targets: list[torch.Tensor] = []
        model.eval()
        with torch.inference_mode():
            for inputs, targets in rows.strided_batches(stride, self._rows_at_once(rows)):
                outputs = model(inputs.to(device))
                loss = self.loss(outputs, targets.to(device))
                total += float(loss) * len(inputs)
                seen += len(inputs)
                all_predictions.append(self._predicted(outputs).cpu())
                all_targets.append(targets.cpu())
        model.train()
        return Scored(total / seen, torch.cat(all_predictions), torch.cat(all_targets))

    def metrics(self, split: str, scored: Scored) -> dict[str, float]:
        """Give every metric of the task by name, and scores per class if a result has room."""
        match self.task:
            case "classification":
                scores = _classification(scored, self.classes)
            case "language-modelling":
                scores = _language(scored)
            case "regression" | "recommendation":
                scores = _numbers(scored)
            case _:
                assert_never(self.task)
        named = {f"{split}_{name}": value for name, value in scores.items()}
        return {name: rounded(value) for name, value in named.items()}

    def _predicted(self, outputs: torch.Tensor) -> torch.Tensor:
        return outputs.argmax(-1) if self.task in _PREDICTING_INDICES else outputs

    def _rows_at_once(self, rows: SubsetRows) -> int:
        """Bound the rows by memory: by the inputs or outputs of a row, whichever are more."""
        inputs = rows.subset.inputs[0].numel()
        return max(1, _NUMBERS_AT_ONCE // (max(inputs, self.outputs) * rows.samples_per_row))


_PREDICTING_INDICES: tuple[Task, ...] = ("classification", "language-modelling")


def rounded(value: float) -> float:
    """Round to the precision of a float32."""
    return float(f"{value:.{_DIGITS}g}")


def confusion_matrix(scored: Scored, classes: Sequence[str]) -> list[list[int]]:
    """Count rows by true class (outer) and predicted class (inner)."""
    matrix = _SKLEARN.confusion_matrix(*_arrays(scored), labels=range(len(classes)))
    return cast("list[list[int]]", matrix.tolist())


def _arrays(scored: Scored) -> tuple[NDArray[Any], NDArray[Any]]:
    """Give targets and predictions, in scikit-learn's order, as flat arrays."""
    return scored.targets.flatten().numpy(), scored.predictions.flatten().numpy()


def _classification(scored: Scored, classes: Sequence[str]) -> dict[str, float]:
    """Score classes from three counts per class, as scikit-learn defines these scores.

    scikit-learn itself takes 1 to 5 ms, which is long beside an epoch of a small model.
    """
    targets, predictions = _arrays(scored)
    hits, predicted, true = (
        np.bincount(labels, minlength=len(classes))
        for labels in (targets[targets == predictions], predictions, targets)
    )
    precision, recall = _shares(hits, predicted), _shares(hits, true)
    f1 = _shares(2 * hits, predicted + true)
    # A class that no row has, as target or as prediction, is left out of the mean over classes.
    seen = predicted + true > 0
    overall = {
        "loss": scored.loss,
        "accuracy": float(hits.sum() / len(targets)),
        "precision": float(precision[seen].mean()),
        "recall": float(recall[seen].mean()),
        "f1": float(f1[seen].mean()),
    }
    by_metric = {"recall": recall, "f1": f1, "precision": precision}
    return overall | _per_class(
        {metric: scores.tolist() for metric, scores in by_metric.items()}, classes
    )


def _shares(parts: NDArray[np.int64], wholes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Divide counts; the share of nothing is 0."""
    return np.divide(parts, wholes, out=np.zeros(len(parts)), where=wholes > 0)


def _per_class(scores: Mapping[str, Sequence[float]], classes: Sequence[str]) -> dict[str, float]:
    """Name scores by class, one whole metric after the other, until a result is full."""
    kept: dict[str, float] = {}
    room = _PER_CLASS_BYTES
    for metric, values in scores.items():
        named = {f"{metric}_{name}": value for name, value in zip(classes, values, strict=True)}
        room -= sum(len(f'"val_{name}":,') + _DIGITS + 2 for name in named)
        if room < 0:
            return kept
        kept |= named
    return kept


def _language(scored: Scored) -> dict[str, float]:
    targets, predictions = _arrays(scored)
    return {
        "loss": scored.loss,
        # The exponential of a larger loss does not fit a float.
        "perplexity": math.exp(scored.loss) if scored.loss < math.log(1e300) else math.inf,
        "accuracy": float((targets == predictions).mean()),
    }


def _numbers(scored: Scored) -> dict[str, float]:
    targets, predictions = scored.targets.flatten().double(), scored.predictions.flatten().double()
    errors = predictions - targets
    scores = {
        "loss": scored.loss,
        "mse": float(errors.square().mean()),
        "mae": float(errors.abs().mean()),
    }
    # R² is the explained share of the targets' variance: one row has no variance.
    if len(targets) > 1:
        scores["r2"] = _explained_share(targets, errors)
    return scores


def _explained_share(targets: torch.Tensor, errors: torch.Tensor) -> float:
    """Give R²; of equal targets it is 1 where all are met, else 0, as in scikit-learn."""
    unexplained = float(errors.square().sum())
    total = float((targets - targets.mean()).square().sum())
    if total > 0:
        return 1 - unexplained / total
    return 0.0 if unexplained else 1.0
