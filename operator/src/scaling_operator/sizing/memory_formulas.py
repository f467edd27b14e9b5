"""Memory of training on one accelerator, by formulas whose sources stand in docs/resources.md.

Notations: P parameters, n shards, s tokens of a row (context), b rows at once (micro-batch),
h width, L layers, a heads, V vocabulary. Results are in bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from scaling_operator.api.estimate import OptimizerKind, Precision

Stage = Literal[0, 1, 2, 3]
"""ZeRO's: 1 shards the optimizer, 2 the gradients too, 3 (FSDP) the weights too."""


@dataclass(frozen=True, slots=True)
class BytesPerParameter:
    """Bytes that a parameter costs while it is trained."""

    weights: float = 0.0
    gradients: float = 0.0
    optimizer: float = 0.0

    @property
    def total(self) -> float:
        """Bytes per parameter in all."""
        return self.weights + self.gradients + self.optimizer


_MOMENTS: Mapping[OptimizerKind, float] = {
    "adam": 8.0,
    "adam8bit": 2.0,
    "momentum": 4.0,
    "sgd": 0.0,
    "none": 0.0,
}
_WEIGHTS: Mapping[Precision, tuple[float, float, float]] = {
    # Weights, gradients, and the fp32 master copy that the optimizer keeps.
    "fp32": (4.0, 4.0, 0.0),
    "autocast": (6.0, 4.0, 0.0),  # the cache of autocast holds the weights once more, in 16 bits
    "bf16": (2.0, 2.0, 4.0),
    "bf16-fp32-gradients": (2.0, 4.0, 4.0),
}


def bytes_per_parameter(precision: Precision, optimizer: OptimizerKind) -> BytesPerParameter:
    """Give the bytes per parameter; without an optimizer there are weights alone."""
    weights, gradients, master = _WEIGHTS[precision]
    if optimizer == "none":
        return BytesPerParameter(weights)
    return BytesPerParameter(weights, gradients, master + _MOMENTS[optimizer])


def sharded(unsharded: BytesPerParameter, shards: int, stage: Stage) -> BytesPerParameter:
    """Give what is left of each part on one of n accelerators (Rajbhandari 2020)."""
    return BytesPerParameter(
        unsharded.weights / (shards if stage >= 3 else 1),  # noqa: PLR2004 - ZeRO's stages
        unsharded.gradients / (shards if stage >= 2 else 1),  # noqa: PLR2004
        unsharded.optimizer / (shards if stage >= 1 else 1),
    )


def gathered_bytes(largest_unit: float) -> float:
    """Give what stage 3 holds besides: the largest unit in full, twice in 16 bits."""
    return 4 * largest_unit


@dataclass(frozen=True, slots=True)
class TransformerShape:
    """Sizes of a decoder-only transformer."""

    layers: float
    width: float
    heads: float
    context: float


def attention_share(transformer: TransformerShape) -> float:
    """Give 5as/h: the attention matrix beside the 34 of everything else (Korthikanti 2022)."""
    return 5 * transformer.heads * transformer.context / transformer.width


def layer_bytes(
    transformer: TransformerShape, *, keeps_attention: bool, precision_bytes: float
) -> float:
    """Give what one layer keeps per row: sh(34 + 5as/h) in 16 bits; 34 alone with flash."""
    per_number = 34 + (attention_share(transformer) if keeps_attention else 0)
    return transformer.context * transformer.width * per_number * precision_bytes / 2


def recomputed_bytes(transformer: TransformerShape, precision_bytes: float) -> float:
    """Give what full recomputation keeps per row: the input of each layer, 2shL in 16 bits.

    One layer in full comes on top while it is recomputed.
    """
    return transformer.layers * transformer.context * transformer.width * precision_bytes


def logit_bytes(context: float, vocabulary: float, precision_bytes: float) -> float:
    """Give the logits per row: themselves, their copy in fp32 and its gradient; 10sV in 16 bits."""
    return context * vocabulary * (precision_bytes + 4 + 4)
