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
    under,
    without,
)


class Unfit(ValueError):
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
class Saved:
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
        under("model", model.state_dict())
        | under("best", best_weights)
        | under("optimizer", optimizer_tensors(optimizer))
    )
    return Checkpoint(tensors, {"identity": identity, "progress": asdict(progress)})


def saved_in(
    found: Checkpoint, identity: str, model: nn.Module, optimizer: torch.optim.Optimizer
) -> Saved | None:
    """Read a checkpoint for a training; None where it is another training's. Raises Unfit."""
    if found.document.get("identity") != identity:
        return None
    weights, best = without("model", found.tensors), without("best", found.tensors)
    remembered = without("optimizer", found.tensors)
    own: Tensors = model.state_dict()
    check_alike(weights, own, "weights")
    if best:
        check_alike(best, own, "best weights")
    _check_optimizer(remembered, optimizer)
    return Saved(_progress(found.document.get("progress")), weights, remembered, best)


def restore(saved: Saved, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Give a model and its optimizer what `saved_in` found for them."""
    model.load_state_dict(saved.model)
    restore_optimizer(optimizer, saved.optimizer)


def check_alike(found: Tensors, own: Tensors, what: str) -> None:
    """Check that tensors have the names, shapes and types of others. Raises Unfit."""
    if found.keys() != own.keys():
        message = f"its {what} have other names than the model's"
        raise Unfit(message)
    for name, tensor in found.items():
        _check_kind(tensor, own[name], f"{what} {name}")


def _check_kind(tensor: torch.Tensor, own: torch.Tensor, what: str) -> None:
    if (tensor.shape, tensor.dtype) != (own.shape, own.dtype):
        message = (
            f"its {what} are {tensor.dtype} of shape {list(tensor.shape)}; "
            f"{own.dtype} of shape {list(own.shape)} are needed"
        )
        raise Unfit(message)


_COUNT = torch.zeros(())
_IS_ADAM = (torch.optim.Adam, torch.optim.AdamW)


def _check_optimizer(found: Tensors, optimizer: torch.optim.Optimizer) -> None:
    """Check what is remembered of each parameter: all that the optimizer uses, or nothing."""
    groups = cast("list[dict[str, list[torch.Tensor]]]", optimizer.param_groups)
    parameters = [each for group in groups for each in group["params"]]
    is_adam = isinstance(optimizer, _IS_ADAM)
    names = ("step", "exp_avg", "exp_avg_sq") if is_adam else ("momentum_buffer",)
    known = {
        str(at): {f"{at}.{name}": _COUNT if name == "step" else each for name in names}
        for at, each in enumerate(parameters)
    }
    for number in {path.partition(".")[0] for path in found}:
        if number not in known:
            message = "its optimizer remembers a parameter that the model does not have"
            raise Unfit(message)
        start = f"{number}."
        own = {path: tensor for path, tensor in found.items() if path.startswith(start)}
        check_alike(own, known[number], "optimizer's memories")


_FRESH: Mapping[str, object] = asdict(Progress())


def _progress(given: object) -> Progress:
    if not isinstance(given, Mapping):
        message = "its progress is no object"
        raise Unfit(message)
    written = cast("Mapping[str, object]", given)
    for name, value in written.items():
        if name not in _FRESH or type(value) is not type(_FRESH[name]) or not _is_sound(value):
            message = f"its progress.{name[:60]!r} is not what a training has left"
            raise Unfit(message)
    return Progress(**cast("dict[str, Any]", written))


def _is_sound(value: Any) -> bool:
    """Whether all numbers are finite, and none that counts is below 0."""
    if isinstance(value, bool):
        return True
    if isinstance(value, list):
        points = cast("list[Any]", value)
        return all(isinstance(each, dict) and _is_sound(each) for each in points)
    if isinstance(value, dict):
        return all(map(_is_finite, cast("dict[str, Any]", value).values()))
    return _is_finite(value) and value >= 0


def _is_finite(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and abs(value) <= sys.float_info.max
