"""`spec.resources.estimate`: what a trainer of one's own needs, as far as its author knows it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from scaling_operator.api.expressions import MAX_LENGTH, ExpressionError, check
from scaling_operator.api.fields import CheckedSection
from scaling_operator.api.problems import Problem
from scaling_operator.api.rules import Rule


def _checked(value: str | float) -> str | float:
    try:
        check(value)
    except ExpressionError as error:
        raise ValueError(str(error)) from error
    return value


Amount = Annotated[
    Annotated[str, Field(max_length=MAX_LENGTH)] | int | float, AfterValidator(_checked)
]
Precision = Literal["fp32", "autocast", "bf16", "bf16-fp32-gradients"]
OptimizerKind = Literal["adam", "adam8bit", "momentum", "sgd", "none"]
Ability = Literal["microBatch", "recompute", "sharding"]

_CHOICES = ("precision", "optimizer", "attention", "fused_cross_entropy", "honours")
_TRANSFORMER = ("layers", "width", "heads", "context")


def _transformer_is_whole(estimate: Estimate) -> Iterator[Problem]:
    given = [name for name in _TRANSFORMER if getattr(estimate, name) is not None]
    missing = [name for name in _TRANSFORMER if name not in given]
    if given and missing and estimate.activation_bytes is None and given != ["context"]:
        sentence = f"a transformer has {', '.join(_TRANSFORMER)}: add {', '.join(missing)}"
        yield Problem(missing[0], sentence)
    elif estimate.vocabulary is not None and estimate.context is None:
        yield Problem("context", "is required with vocabulary: logits are per token")


class Estimate(CheckedSection):
    """Each amount is a number, a quantity such as 4Gi, or a CEL expression over the parameters."""

    RULES: ClassVar[tuple[Rule[Estimate], ...]] = (Rule(check=_transformer_is_whole),)

    parameters: Amount | None = Field(
        default=None, description="Parameters that are stored, embeddings included."
    )
    samples: Amount | None = Field(
        default=None, description="D of a trial, where the design of the ladder does not set it."
    )
    flops: Amount | None = Field(
        default=None, description="Training FLOPs of a trial; absent: 6 x parameters x samples."
    )
    precision: Precision = Field(
        default="fp32",
        description="Weights, gradients and optimizer: fp32; autocast over fp32 weights; bf16 with "
        "fp32 master weights; the same with fp32 gradients.",
    )
    optimizer: OptimizerKind = Field(
        default="adam", description="What the optimizer keeps; none: the model is not trained."
    )
    bytes_per_parameter: Amount | None = Field(
        default=None, description="Instead of what precision and optimizer give."
    )
    batch_size: Amount = Field(default=1, description="Global batch: rows of a step.")
    layers: Amount | None = Field(default=None, description="Of a transformer.")
    width: Amount | None = Field(default=None, description="Of a transformer's residual stream.")
    heads: Amount | None = Field(default=None, description="Of a transformer.")
    context: Amount | None = Field(default=None, description="Tokens of a row.")
    vocabulary: Amount | None = Field(
        default=None, description="Of a language model: its logits are often the largest part."
    )
    attention: Literal["flash", "plain"] = Field(
        default="flash", description="Whether attention keeps its matrix."
    )
    fused_cross_entropy: bool = Field(
        default=False, description="Whether the loss is computed without keeping all logits."
    )
    activation_bytes: Amount | None = Field(
        default=None,
        description="Bytes kept per row of the batch, instead of the formula for transformers.",
    )
    largest_unit: Amount | None = Field(
        default=None, description="Parameters of the largest unit that sharding gathers."
    )
    device_memory: Amount | None = Field(
        default=None, description="Bytes on each accelerator in all, instead of the parts."
    )
    host_memory: Amount | None = Field(default=None, description="Bytes of host memory in all.")
    shared_memory: Amount | None = Field(
        default=None, description="Bytes of /dev/shm, such as for loader workers."
    )
    cpu: Amount | None = Field(default=None, description="CPU cores.")
    honours: Annotated[tuple[Ability, ...], Field(max_length=3)] = Field(
        default=(),
        description="What of SCALING_EXECUTION the trainer acts on: micro_batch and accumulation; "
        "recompute; devices and sharding.",
    )

    def amounts(self) -> Iterator[tuple[str, str | float]]:
        """Give the amounts that are set, by their names in a file."""
        for name, info in type(self).model_fields.items():
            value = getattr(self, name)
            if name not in _CHOICES and value is not None:
                yield info.alias or name, value
