"""The state of a training in a checkpoint. All of it is checked before any part is used.

A checkpoint may be damaged, or come from another version. Loading a part of it into a model would
be worse than loading nothing.
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
    """The checkpoint does not fit the training."""


@dataclass(slots=True)
class Progress:
    """The progress of a trial. A checkpoint holds the progress and the tensors."""

    step: int = 0
    evaluations: int = 0
    ended: bool = False
    stepping_seconds: float = 0.0
    evaluating_seconds: float = 0.0
    metrics: dict[str, float] = field(default_factory=dict[str, float])
    points: list[dict[str, float]] = field(default_factory=list[dict[str, float]])
    """The metrics after each early decay, and the `samples` seen up to it."""
    best_metrics: dict[str, float] = field(default_factory=dict[str, float])
    without_improvement: int = 0


@dataclass(frozen=True, slots=True)
class SavedTraining:
    """A training that can be resumed. `best_weights` is empty before the first best evaluation."""

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
    """Make a checkpoint of all that the next attempt needs."""
    tensors = (
        with_prefix("model", model.state_dict())
        | with_prefix("best", best_weights)
        | with_prefix("optimizer", optimizer_tensors(optimizer))
    )
    return Checkpoint(tensors, {"identity": identity, "progress": asdict(progress)})


def read_training(
    saved: Checkpoint, identity: str, model: nn.Module, optimizer: torch.optim.Optimizer
) -> SavedTraining | None:
    """Read a checkpoint. Gives None for another training's. Raises UnusableCheckpoint."""
    if saved.document.get("identity") != identity:
        return None
    weights, best = without_prefix("model", saved.tensors), without_prefix("best", saved.tensors)
    optimizer_state = without_prefix("optimizer", saved.tensors)
    own: Tensors = model.state_dict()
    check_same_tensors(weights, own, "weights")
    if best:
        check_same_tensors(best, own, "best weights")
    _check_optimizer(optimizer_state, optimizer)
    return SavedTraining(_progress(saved.document.get("progress")), weights, optimizer_state, best)


def restore(saved: SavedTraining, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Load the state that `read_training` gave into a model and its optimizer."""
    model.load_state_dict(saved.model)
    restore_optimizer(optimizer, saved.optimizer)


def check_same_tensors(tensors: Tensors, own: Tensors, what: str) -> None:
    """Check the names, shapes and types of tensors. Raises UnusableCheckpoint."""
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
    """Check the state of each parameter: complete for this optimizer, or absent."""
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
    """Whether all numbers are finite, and no count or duration is below 0."""
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
