"""Memory of a built-in model per row of a batch, by formula, before the model is built.

Like `counting`, the module needs the standard library alone, so that the operator can size a trial
without PyTorch. A test compares the formulas with what autograd keeps. All numbers are float32. A
row of a text is a window of `context` tokens.

The backward pass needs, in numbers per element of a layer's output:

* relu and tanh keep their output, which the next layer keeps too: 1; gelu its input as well: 2
* an activation with dropout after it: the activation keeps 1, dropout keeps its mask (1), the next
  layer keeps dropout's output (1): 3. The mask has bytes on a GPU and floats on a CPU; floats
  count.
* a normalisation keeps its input: 1, and the layer after it its output
* a block of the transformer keeps 17 per token and unit of width: 2 normalisations and what follows
  them (4), queries, keys, values, the attention's output (4), the narrow layers' inputs (1), the
  feed-forward before and after gelu (8). Korthikanti's 34 bytes in 16 bits are the same 17.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scaling_trainer.counting import Dimensions, cnn_blocks, count

FLOAT = 4
INDEX = 8
TRANSFORMER_NUMBERS = 17
_KEPT_BY_ACTIVATION = {"relu": 1, "tanh": 1, "gelu": 2}
_KEPT_WITH_DROPOUT = 3
# The loss: logits, their log-softmax, and its gradient while the logits' own is made.
_OUTPUTS_AT_ONCE = 3
_EVALUATED_NUMBERS = 2**20
"""Inputs or outputs that an evaluation holds at once, as in `evaluate`."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """The memory of a model: its stored parameters, and the bytes that a row of a batch adds.

    `kept_bytes` are held from the forward to the backward pass. With recomputation
    `recomputed_bytes` are held instead, and `block_bytes` in addition for one block at a time;
    `recomputed_bytes` is None for a model without recomputation. `output_bytes` are the outputs and
    the intermediate tensors of the loss. `passing_bytes` are held briefly: a gradient beside the
    gradient from which it is computed. An evaluation holds `evaluated_rows` rows of
    `evaluated_bytes` each.
    """

    stored_parameters: int
    kept_bytes: float
    output_bytes: float
    passing_bytes: float
    evaluated_bytes: float
    evaluated_rows: int
    recomputed_bytes: float | None = None
    block_bytes: float = 0.0


def footprint(model: Mapping[str, Any], dimensions: Dimensions) -> Footprint:
    """Give the footprint of a model by the formula of its kind.

    `model` is the whole section `model` of the configuration. Raises ValueError for a name that has
    no formula.
    """
    match model["name"]:
        case "linear":
            numbers = _NumbersPerRow(dimensions.inputs, dimensions.outputs, dimensions.inputs)
        case "mlp":
            numbers = _mlp(model, dimensions)
        case "cnn":
            numbers = _cnn(model, dimensions)
        case "matrix-factorisation":
            width = int(model["width"])
            numbers = _NumbersPerRow(2 * width + 2 * INDEX / FLOAT, 1, 2 * width)
        case "transformer":
            return _transformer(model, dimensions)
        case name:
            message = f"model {name!r} has no formula for its memory"
            raise ValueError(message)
    held = max(dimensions.inputs, dimensions.outputs, 1)
    return Footprint(
        stored_parameters=count(model, dimensions).parameters,
        kept_bytes=FLOAT * numbers.kept,
        output_bytes=FLOAT * _OUTPUTS_AT_ONCE * numbers.outputs,
        passing_bytes=FLOAT * 2 * numbers.widest,
        evaluated_bytes=FLOAT * (3 * numbers.widest + dimensions.inputs),
        evaluated_rows=max(1, _EVALUATED_NUMBERS // held),
    )


@dataclass(frozen=True, slots=True)
class _NumbersPerRow:
    """Numbers per row: kept for the backward pass, in the outputs, and in the widest layer."""

    kept: float
    outputs: int
    widest: int


def _mlp(model: Mapping[str, Any], dimensions: Dimensions) -> _NumbersPerRow:
    width, depth = int(model["width"]), int(model["depth"])
    dropped = model["dropout"] > 0
    per_unit = _KEPT_WITH_DROPOUT if dropped else _KEPT_BY_ACTIVATION[model["activation"]]
    kept = dimensions.inputs + depth * width * per_unit
    return _NumbersPerRow(kept, dimensions.outputs, max(width, dimensions.inputs))


def _cnn(model: Mapping[str, Any], dimensions: Dimensions) -> _NumbersPerRow:
    kept, widest = float(dimensions.inputs), dimensions.inputs
    per_unit = 1 + _KEPT_BY_ACTIVATION[model["activation"]]
    blocks = tuple(cnn_blocks(int(model["width"]), int(model["depth"]), dimensions))
    for block, following in zip(blocks, (*blocks[1:], None), strict=True):
        numbers = block.after * block.height * block.width
        kept += numbers * per_unit
        widest = max(widest, numbers)
        if following is not None and block.halves:
            # The pooled image, and the source of each of its pixels.
            kept += following.before * following.height * following.width * (1 + INDEX / FLOAT)
    return _NumbersPerRow(kept + blocks[-1].after, dimensions.outputs, widest)


def _transformer(model: Mapping[str, Any], dimensions: Dimensions) -> Footprint:
    layers, width, context = int(model["layers"]), int(model["width"]), int(model["context"])
    heads, vocabulary = int(model["heads"]), dimensions.vocabulary
    stream = FLOAT * width * context
    # The attention's normaliser of each head and token; dropout's two masks.
    block = TRANSFORMER_NUMBERS * stream + FLOAT * heads * context
    block += 2 * stream if model["dropout"] > 0 else 0
    ends = 2 * stream + INDEX * context
    logits = FLOAT * vocabulary * context
    return Footprint(
        stored_parameters=count(model, dimensions).parameters + width * context,
        kept_bytes=layers * block + ends,
        output_bytes=_OUTPUTS_AT_ONCE * logits,
        passing_bytes=8 * stream,
        evaluated_bytes=10 * stream + 2 * logits,
        evaluated_rows=max(1, _EVALUATED_NUMBERS // (vocabulary * context)),
        recomputed_bytes=layers * stream + ends,
        block_bytes=block,
    )
