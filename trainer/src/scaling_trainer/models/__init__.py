"""The models, one file each, and the model that a configuration names."""

from __future__ import annotations

from typing import assert_never

from torch import nn

from scaling_trainer.config import models as config
from scaling_trainer.counting import Dimensions
from scaling_trainer.models.cnn import Cnn
from scaling_trainer.models.factorisation import MatrixFactorisation
from scaling_trainer.models.mlp import Linear, Mlp
from scaling_trainer.models.transformer import Transformer


def build(model: config.Model, dimensions: Dimensions, *, recompute: str = "none") -> nn.Module:
    """Build a model with freshly drawn weights (from PyTorch's global generator).

    `recompute="full"` trades time for memory in models that support it. No result changes.
    """
    match model:
        case config.Linear():
            return Linear(dimensions.inputs, dimensions.outputs)
        case config.Mlp():
            return Mlp(model, dimensions.inputs, dimensions.outputs)
        case config.Cnn():
            return Cnn(model, dimensions)
        case config.Transformer():
            return Transformer(model, dimensions.vocabulary, recompute=recompute)
        case config.MatrixFactorisation():
            return MatrixFactorisation(model, dimensions.users, dimensions.items)
        case _:
            assert_never(model)
