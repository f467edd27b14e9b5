"""Memory of training on one accelerator, by formulas whose sources stand in docs/resources.md.

Notations: P parameters, n shards, s tokens of a row (context), b rows at once (micro-batch),
h width, L layers, a heads, V vocabulary. Results are in bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from scaling_operator.api.estimate import OptimizerKind, Precision

GIB = 2**30
# From memory of many runs, not measured here: the CUDA context, and NCCL's buffers.
CONTEXT_BYTES = 0.5 * GIB
COLLECTIVE_BYTES = 0.75 * GIB
Stage = Literal[0, 1, 2, 3]
"""ZeRO's: 1 shards the optimizer, 2 the gradients too, 3 (FSDP) the weights too."""


@dataclass(frozen=True, slots=True)
class BytesPerParameter:
    """Bytes that a parameter costs while it is trained."""

    weights: float
    gradients: float
    optimizer: float

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
    "autocast": (6.0, 4.0, 0.0),  # its cache holds the weights once more, in 16 bits
    "bf16": (2.0, 2.0, 4.0),
    "bf16-fp32-gradients": (2.0, 4.0, 4.0),
}


def states_of(precision: Precision, optimizer: OptimizerKind) -> BytesPerParameter:
    """Give the bytes per parameter; without an optimizer there are weights alone."""
    weights, gradients, master = _WEIGHTS[precision]
    if optimizer == "none":
        return BytesPerParameter(weights, 0.0, 0.0)
    return BytesPerParameter(weights, gradients, master + _MOMENTS[optimizer])


def sharded(states: BytesPerParameter, shards: int, stage: Stage) -> BytesPerParameter:
    """Give what is left of each on one of n accelerators (Rajbhandari 2020)."""
    return BytesPerParameter(
        states.weights / (shards if stage >= 3 else 1),  # noqa: PLR2004 - the stages have numbers
        states.gradients / (shards if stage >= 2 else 1),  # noqa: PLR2004
        states.optimizer / (shards if stage >= 1 else 1),
    )


def zero2_with_buffers(parameters: float, shards: int) -> float:
    """Give DeepSpeed's own estimate of stage 2: 4P + 16P/n."""
    return parameters * (4 + 16 / shards)


def zero3_with_buffers(parameters: float, shards: int, largest_unit: float) -> float:
    """Give DeepSpeed's own estimate of stage 3, FSDP too: 18P/n + 4 per parameter of a unit."""
    return 18 * parameters / shards + gathered(largest_unit)


def gathered(largest_unit: float) -> float:
    """Give what stage 3 holds besides: the largest unit in full, twice in 16 bits."""
    return 4 * largest_unit


@dataclass(frozen=True, slots=True)
class TransformerShape:
    """Sizes of a decoder-only transformer."""

    layers: float
    width: float
    heads: float
    context: float


def gpt_parameters(transformer: TransformerShape, vocabulary: float, *, tied: bool = True) -> float:
    """Count a GPT-2 style model: 12Lh² + 13Lh + Vh + sh + 2h; an untied head adds Vh."""
    layers, width = transformer.layers, transformer.width
    blocks = layers * (12 * width**2 + 13 * width)
    embeddings = (vocabulary + transformer.context + 2) * width
    return blocks + embeddings + (0 if tied else vocabulary * width)


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


def gpu_hours(flops: float, peak_flops: float, utilization: float) -> float:
    """Give hours of one accelerator for so many FLOPs at a share of its peak FLOP/s."""
    return flops / (peak_flops * utilization) / 3600
