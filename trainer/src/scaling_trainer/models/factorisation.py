"""Matrix factorisation: a rating is a mean, two biases and the product of two vectors.

Koren, Bell and Volinsky 2009, equation 3.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from scaling_trainer.config import models as config


class MatrixFactorisation(nn.Module):
    """(rows, 2) of user and item indices → (rows, 1) ratings."""

    def __init__(self, model: config.MatrixFactorisation, users: int, items: int) -> None:
        super().__init__()
        self.users = nn.Embedding(users, model.width)
        self.items = nn.Embedding(items, model.width)
        self.user_bias = nn.Embedding(users, 1)
        self.item_bias = nn.Embedding(items, 1)
        self.mean = nn.Parameter(torch.zeros(1))
        # The product of two new vectors has a standard deviation of about 0.1 at any length. That
        # is small against a rating, so that wide models do not begin with large errors.
        deviation = math.sqrt(0.1) / model.width**0.25
        for vectors in (self.users, self.items):
            nn.init.normal_(vectors.weight, std=deviation)
        for bias in (self.user_bias, self.item_bias):
            nn.init.zeros_(bias.weight)

    def forward(self, pairs: torch.Tensor) -> torch.Tensor:
        """Predict the rating of each pair."""
        users, items = pairs.unbind(1)
        product = (self.users(users) * self.items(items)).sum(1, keepdim=True)
        return product + self.user_bias(users) + self.item_bias(items) + self.mean
