"""What training minimises, and how: the loss, the optimizer, the learning rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, Literal, assert_never

import torch
from torch.nn import functional

from scaling_trainer.config.builtin import BuiltIn
from scaling_trainer.config.training import (
    Adam,
    Constant,
    Cosine,
    Momentum,
    Optimizer,
    Schedule,
    Sgd,
    WarmupStableDecay,
)

LossFunction = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def loss_function(config: BuiltIn) -> LossFunction:
    """Give the function from a model's outputs and the targets to the mean loss of a batch."""
    match config.effective_loss:
        case "cross-entropy":
            return _cross_entropy
        case "mse":
            return _brier if config.task == "classification" else functional.mse_loss
        case _:
            assert_never(config.effective_loss)


def _cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Take (rows, classes) with (rows,), or for text (rows, tokens, vocabulary) with two axes."""
    return functional.cross_entropy(logits.flatten(0, -2), targets.flatten())


def _brier(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Give the squared error of the probabilities, per class (Brier 1950, over the classes).

    The error of probabilities, not of logits, is a proper score and can reach 0.
    """
    wanted = functional.one_hot(targets, logits.shape[-1]).to(logits.dtype)
    return functional.mse_loss(logits.softmax(-1), wanted)


def make_optimizer(config: Optimizer, parameters: Iterable[torch.Tensor]) -> torch.optim.Optimizer:
    """Make the optimizer with its full learning rate. The schedule changes the rate."""
    shared: dict[str, Any] = {"lr": config.learning_rate, "weight_decay": config.weight_decay}
    match config:
        case Sgd():
            return torch.optim.SGD(parameters, **shared)
        case Momentum(momentum=momentum):
            return torch.optim.SGD(parameters, momentum=momentum, **shared)
        case Adam(name=name, beta1=beta1, beta2=beta2):
            kind = torch.optim.AdamW if name == "adamw" else torch.optim.Adam
            # Fused: one call for all parameters halves the time of a small model's step on a CPU.
            return kind(parameters, betas=(beta1, beta2), fused=True, **shared)
        case _:
            assert_never(config)


def learning_rate_share(schedule: Schedule, step: int, total_steps: int) -> float:
    """Give the share of the full learning rate at a step, counted from 0, of `total_steps`.

    The rate is above 0 in the first step of a warm-up and in the last step of a decay.
    """
    match schedule:
        case Constant():
            return 1.0
        case Cosine(warmup=warmup):
            rise = round(warmup * total_steps)
            if step < rise:
                return (step + 1) / rise
            return 0.5 * (1 + math.cos(math.pi * (step - rise) / (total_steps - rise)))
        case WarmupStableDecay(warmup=warmup, decay=decay):
            rise = round(warmup * total_steps)
            if step < rise:
                return (step + 1) / rise
            end = next(end for end in ends_of_decays(schedule, total_steps) if step < end)
            fall = round(decay * end)
            # Haegele 2024: 1 - sqrt is better than a straight line, and as good as a cosine of the
            # same length.
            progress = (step - (end - fall)) / fall if fall else 0.0
            return 1.0 if progress <= 0 else 1 - math.sqrt(progress)
        case _:
            assert_never(schedule)


def ends_of_decays(schedule: Schedule, total_steps: int) -> tuple[int, ...]:
    """List the steps at which a decay ends, ascending. The last of them ends the training."""
    if not isinstance(schedule, WarmupStableDecay):
        return (total_steps,)
    early = {max(1, round(share * total_steps)) for share in schedule.early_decays}
    return (*sorted(early - {total_steps}), total_steps)


Phase = Literal["warmup", "stable", "decay"]
GRACE = 0.1
"""Share of the steps after a warm-up, or an early decay, that counts as warm-up."""


def phase_after(schedule: Schedule, steps: int, total_steps: int) -> Phase | None:
    """Name the phase after so many steps. Gives None for a schedule without phases.

    Only stable phases of trainings may be compared: a decay lowers the loss by itself.
    """
    if not isinstance(schedule, WarmupStableDecay):
        return None
    decay_ends = ends_of_decays(schedule, total_steps)
    end = next(end for end in decay_ends if steps <= end)
    if steps > end - round(schedule.decay * end):
        return "decay"
    risen = max(
        [
            round(schedule.warmup * total_steps),
            *(end_of_decay for end_of_decay in decay_ends if end_of_decay < steps),
        ]
    )
    return "warmup" if steps <= risen + GRACE * total_steps else "stable"
