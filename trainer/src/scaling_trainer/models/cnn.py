"""Convolutional network for small images.

Each block is a 3x3 convolution, a normalisation and an activation; between blocks the image halves
and the channels double. Then the mean over the image, dropout and a linear head.

* Group normalisation replaces batch normalisation: with the latter a row's output would depend on
  the other rows of its batch, and micro-batches would change the metrics.
* `mean` replaces adaptive pooling, which has no deterministic backward pass on a GPU.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from scaling_trainer.config import models as config
from scaling_trainer.counting import Dimensions, cnn_blocks
from scaling_trainer.models.activation import activation

_GROUPS = 8


class Cnn(nn.Module):
    """(rows, channels, height, width) → (rows, outputs)."""

    def __init__(self, model: config.Cnn, dimensions: Dimensions) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        blocks = list(cnn_blocks(model.width, model.depth, dimensions))
        for block in blocks:
            if layers and block.after > block.before:
                layers.append(nn.MaxPool2d(2))
            layers += [
                nn.Conv2d(block.before, block.after, 3, padding=1, bias=False),
                nn.GroupNorm(math.gcd(_GROUPS, block.after), block.after),
                activation(model.activation),
            ]
        self.blocks = nn.Sequential(*layers)
        self.dropout = nn.Dropout(model.dropout)
        self.head = nn.Linear(blocks[-1].after, dimensions.outputs)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map images to outputs."""
        return self.head(self.dropout(self.blocks(images).mean((2, 3))))
