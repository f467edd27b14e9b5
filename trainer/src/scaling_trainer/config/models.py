"""The models and their size knobs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from scaling_trainer.config.base import Section, SectionError


class Linear(Section):
    """One linear layer."""

    name: Literal["linear"]


class Mlp(Section):
    """Fully connected hidden layers of one width."""

    name: Literal["mlp"]
    width: int = Field(default=16, ge=1, le=65_536, description="Units of each hidden layer.")
    depth: int = Field(default=1, ge=1, le=64, description="Hidden layers.")
    activation: Literal["relu", "gelu", "tanh"] = Field(
        default="relu", description="Between the layers."
    )
    dropout: float = Field(
        default=0.0, ge=0, lt=1, description="Share of hidden units left out while training."
    )


class Cnn(Section):
    """Blocks of 3x3 convolution and normalisation, halving in between; then global pooling."""

    name: Literal["cnn"]
    width: int = Field(
        default=16,
        ge=1,
        le=4096,
        description="Channels of the first block; they double where the image halves.",
    )
    depth: int = Field(default=2, ge=1, le=6, description="Blocks.")
    activation: Literal["relu", "gelu", "tanh"] = Field(
        default="relu", description="In the blocks."
    )
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Before the last layer.")


class Transformer(Section):
    """Decoder-only language model over bytes.

    Learned positions, pre-norm, GELU, tied output head.
    """

    name: Literal["transformer"]
    layers: int = Field(
        default=2, ge=1, le=200, description="Blocks of attention and feed-forward."
    )
    width: int = Field(
        default=64,
        ge=2,
        le=65_536,
        description="Size of the residual stream; the feed-forward has 4x.",
    )
    heads: int = Field(
        default=2, ge=1, le=256, description="Attention heads; must divide the width."
    )
    context: int = Field(default=64, ge=2, le=65_536, description="Tokens the model looks back on.")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="After attention and feed-forward.")

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Transformer:
        if self.width % self.heads:
            sentence = f"width {self.width} is not a multiple of heads {self.heads}"
            raise SectionError(("heads", sentence))
        return self


class MatrixFactorisation(Section):
    """A vector and a bias for each user and item; their product predicts the rating."""

    name: Literal["matrix-factorisation"]
    width: int = Field(default=8, ge=1, le=4096, description="Length of the vectors.")


Model = Annotated[
    Linear | Mlp | Cnn | Transformer | MatrixFactorisation, Field(discriminator="name")
]
