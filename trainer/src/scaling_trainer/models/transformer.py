"""Decoder-only transformer over bytes.

Notable features:
* learned positions, pre-norm, GELU, biases in every layer but the head
* the head is the token embedding, transposed (tied)
* PyTorch's scaled dot-product attention, which chooses a flash kernel if there is one
* initialisation by width: normal, 1/sqrt(3 inputs), which is GPT-2's 0.02 at its width of 768 and
  fits small rungs too; layers that write to the residual stream are divided by sqrt(2 layers)

Shapes: B sequences, T tokens, W width.
"""

from __future__ import annotations

import math
from typing import cast

import torch
import torch.utils.checkpoint
from torch import nn
from torch.nn import functional

from scaling_trainer.config import models as config


class Attention(nn.Module):
    """Causal self-attention over all heads at once."""

    def __init__(self, model: config.Transformer) -> None:
        super().__init__()
        self.heads = model.heads
        self.dropout = model.dropout
        self.queries_keys_values = nn.Linear(model.width, 3 * model.width)
        self.output = nn.Linear(model.width, model.width)

    def forward(self, x_btw: torch.Tensor) -> torch.Tensor:
        """Let each token attend to itself and the tokens before it."""
        batch, tokens, width = x_btw.shape
        parts = self.queries_keys_values(x_btw).chunk(3, dim=-1)
        query, key, value = (
            part.view(batch, tokens, self.heads, width // self.heads).transpose(1, 2)
            for part in parts
        )
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        joined = mixed.transpose(1, 2).reshape(batch, tokens, width)
        return functional.dropout(self.output(joined), self.dropout, self.training)


class FeedForward(nn.Module):
    """Two layers with four times the width between them."""

    def __init__(self, model: config.Transformer) -> None:
        super().__init__()
        self.dropout = model.dropout
        self.widen = nn.Linear(model.width, 4 * model.width)
        self.output = nn.Linear(4 * model.width, model.width)

    def forward(self, x_btw: torch.Tensor) -> torch.Tensor:
        """Transform each token separately."""
        hidden = self.output(functional.gelu(self.widen(x_btw)))
        return functional.dropout(hidden, self.dropout, self.training)


class Block(nn.Module):
    """Attention and feed-forward, each added to the residual stream."""

    def __init__(self, model: config.Transformer) -> None:
        super().__init__()
        self.before_attention = nn.LayerNorm(model.width)
        self.attention = Attention(model)
        self.before_feed_forward = nn.LayerNorm(model.width)
        self.feed_forward = FeedForward(model)

    def forward(self, x_btw: torch.Tensor) -> torch.Tensor:
        """Add the layer's output to the residual stream."""
        x_btw = x_btw + self.attention(self.before_attention(x_btw))
        return x_btw + self.feed_forward(self.before_feed_forward(x_btw))


class Transformer(nn.Module):
    """(B, T) tokens → (B, T, vocabulary) logits of the next tokens, for T up to the context."""

    def __init__(self, model: config.Transformer, vocabulary: int, *, recompute: str) -> None:
        super().__init__()
        self.recompute = recompute
        self.tokens = nn.Embedding(vocabulary, model.width)
        self.positions = nn.Embedding(model.context, model.width)
        self.blocks = nn.ModuleList(Block(model) for _ in range(model.layers))
        self.before_head = nn.LayerNorm(model.width)
        self._draw_weights(model.layers)

    def _draw_weights(self, layers: int) -> None:
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                residual = name.endswith("output.weight")
                scale = 1 / math.sqrt(2 * layers) if residual else 1.0
                nn.init.normal_(parameter, std=scale / math.sqrt(3 * parameter.shape[1]))
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, tokens_bt: torch.Tensor) -> torch.Tensor:
        """Predict the next token after each token."""
        places = torch.arange(tokens_bt.shape[1], device=tokens_bt.device)
        x_btw = self.tokens(tokens_bt) + self.positions(places)
        for block in self.blocks:
            x_btw = self._run(block, x_btw)
        return functional.linear(self.before_head(x_btw), self.tokens.weight)

    def _run(self, block: nn.Module, x_btw: torch.Tensor) -> torch.Tensor:
        if self.recompute == "full" and self.training:
            again = torch.utils.checkpoint.checkpoint(block, x_btw, use_reentrant=False)  # pyright: ignore[reportUnknownMemberType] # its hooks are untyped
            return cast("torch.Tensor", again)
        return block(x_btw)
