"""What training minimises."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

import torch
from torch.nn import functional

from scaling_trainer.config.builtin import BuiltIn

LossFunction = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def loss_function(config: BuiltIn) -> LossFunction:
    """Give the mean loss of a batch as a function of a model's outputs and the targets."""
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

    Of probabilities, not of logits: so it is a proper score, and 0 is within reach.
    """
    wanted = functional.one_hot(targets, logits.shape[-1]).to(logits.dtype)
    return functional.mse_loss(logits.softmax(-1), wanted)
