"""Activation functions by their name in the configuration."""

from __future__ import annotations

from typing import Literal, assert_never

from torch import nn


def activation(name: Literal["relu", "gelu", "tanh"]) -> nn.Module:
    """Make the layer that a configuration names."""
    match name:
        case "relu":
            return nn.ReLU()
        case "gelu":
            return nn.GELU()
        case "tanh":
            return nn.Tanh()
        case _:
            assert_never(name)
