"""Linear model and multi-layer perceptron. An image is laid flat first.

(rows, ...) → (rows, outputs); PyTorch's default initialisation.
"""

from __future__ import annotations

import torch
from torch import nn

from scaling_trainer.config import models as config
from scaling_trainer.models.activation import activation


class Linear(nn.Module):
    """One linear layer."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.head = nn.Linear(inputs, outputs)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Map rows to outputs."""
        return self.head(inputs.flatten(1))


class Mlp(nn.Module):
    """Hidden layers of one width, each followed by an activation and dropout, and a linear head."""

    def __init__(self, model: config.Mlp, inputs: int, outputs: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        size = inputs
        for _ in range(model.depth):
            layers += [nn.Linear(size, model.width), activation(model.activation)]
            if model.dropout > 0:
                layers.append(nn.Dropout(model.dropout))
            size = model.width
        self.layers = nn.Sequential(*layers, nn.Linear(size, outputs))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Map rows to outputs."""
        return self.layers(inputs.flatten(1))
