"""What a checkpoint holds of a training, checked whole before any of it is used.

A checkpoint may be damaged, or be that of another version: half of it in a model would be worse
than none.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, cast

import torch
from torch import nn

from scaling_trainer.checkpoint import (
    Checkpoint,
    Tensors,
    optimizer_tensors,
    restore_optimizer,
    with_prefix,
    without_prefix,
)


class UnusableCheckpoint(ValueError):
    """A checkpoint that no such training has left."""


@dataclass(slots=True)
class Progress:
    """How far a trial has come: with the tensors, all that a checkpoint has to keep."""

    step: int = 0
    evaluations: int = 0
    ended: bool = False
    stepping_seconds: float = 0.0
    evaluating_seconds: float = 0.0
    metrics: dict[str, float] = field(default_factory=dict[str, float])
    points: list[dict[str, float]] = field(default_factory=list[dict[str, float]])
    """The metrics after each early decay, with the `samples` seen until then."""
    best_metrics: dict[str, float] = field(default_factory=dict[str, float])
    without_improvement: int = 0


@dataclass(frozen=True, slots=True)
class SavedTraining:
    """A training that can go on; `best_weights` is empty where none was the best so far."""

    progress: Progress
    model: Tensors
    optimizer: Tensors
    best_weights: Tensors


def checkpoint_of(
    identity: str,
    progress: Progress,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    best_weights: Tensors,
) -> Checkpoint:
    """Put all that the next attempt needs into a checkpoint."""
    tensors = (
        with_prefix("model", model.state_dict())
        | with_prefix("best", best_weights)
        | with_prefix("optimizer", optimizer_tensors(optimizer))
    )
    return Checkpoint(tensors, {"identity": identity, "progress": asdict(progress)})


def read_training(
    saved: Checkpoint, identity: str, model: nn.Module, optimizer: torch.optim.Optimizer
) -> SavedTraining | None:
    """Read a checkpoint for a training; None where it is another training's. Raises Unfit."""
    if saved.document.get("identity") != identity:
        return None
    weights, best = without_prefix("model", saved.tensors), without_prefix("best", saved.tensors)
    remembered = without_prefix("optimizer", saved.tensors)
    own: Tensors = model.state_dict()
    check_same_tensors(weights, own, "weights")
    if best:
        check_same_tensors(best, own, "best weights")
    _check_optimizer(remembered, optimizer)
    return SavedTraining(_progress(saved.document.get("progress")), weights, remembered, best)


def restore(saved: SavedTraining, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Give a model and its optimizer what `saved_in` found for them."""
    model.load_state_dict(saved.model)
    restore_optimizer(optimizer, saved.optimizer)


def check_same_tensors(tensors: Tensors, own: Tensors, what: str) -> None:
    """Check that tensors have the names, shapes and types of others. Raises Unfit."""
    if tensors.keys() != own.keys():
        message = f"its {what} have other names than the model's"
        raise UnusableCheckpoint(message)
    for name, tensor in tensors.items():
        _check_kind(tensor, own[name], f"{what} {name}")


def _check_kind(tensor: torch.Tensor, own: torch.Tensor, what: str) -> None:
    if (tensor.shape, tensor.dtype) != (own.shape, own.dtype):
        message = (
            f"its {what} are {tensor.dtype} of shape {list(tensor.shape)}; "
            f"{own.dtype} of shape {list(own.shape)} are needed"
        )
        raise UnusableCheckpoint(message)


_COUNT = torch.zeros(())
_IS_ADAM = (torch.optim.Adam, torch.optim.AdamW)


def _check_optimizer(tensors: Tensors, optimizer: torch.optim.Optimizer) -> None:
    """Check what is remembered of each parameter: all that the optimizer uses, or nothing."""
    groups = cast("list[dict[str, list[torch.Tensor]]]", optimizer.param_groups)
    parameters = [parameter for group in groups for parameter in group["params"]]
    is_adam = isinstance(optimizer, _IS_ADAM)
    names = ("step", "exp_avg", "exp_avg_sq") if is_adam else ("momentum_buffer",)
    expected = {
        str(index): {f"{index}.{name}": _COUNT if name == "step" else parameter for name in names}
        for index, parameter in enumerate(parameters)
    }
    for number in {path.partition(".")[0] for path in tensors}:
        if number not in expected:
            message = "its optimizer remembers a parameter that the model does not have"
            raise UnusableCheckpoint(message)
        prefix = f"{number}."
        remembered = {path: tensor for path, tensor in tensors.items() if path.startswith(prefix)}
        check_same_tensors(remembered, expected[number], "optimizer's memories")


_FRESH: Mapping[str, object] = asdict(Progress())


def _progress(document: object) -> Progress:
    if not isinstance(document, Mapping):
        message = "its progress is no object"
        raise UnusableCheckpoint(message)
    fields = cast("Mapping[str, object]", document)
    for name, value in fields.items():
        if name not in _FRESH or type(value) is not type(_FRESH[name]) or not _is_valid(value):
            message = f"its progress.{name[:60]!r} is not what a training has left"
            raise UnusableCheckpoint(message)
    return Progress(**cast("dict[str, Any]", fields))


def _is_valid(value: Any) -> bool:
    """Whether all numbers are finite, and none that counts is below 0."""
    if isinstance(value, bool):
        return True
    if isinstance(value, list):
        points = cast("list[Any]", value)
        return all(isinstance(point, dict) and _is_valid(point) for point in points)
    if isinstance(value, dict):
        return all(map(_is_finite, cast("dict[str, Any]", value).values()))
    return _is_finite(value) and value >= 0


def _is_finite(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and abs(value) <= sys.float_info.max
