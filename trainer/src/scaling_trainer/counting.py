"""Parameters N and training FLOPs of a model, by formula, before the model is built.

The module needs the standard library alone, so that the operator can size a trial and turn a budget
of FLOPs into samples without PyTorch. A test compares the formulas with what PyTorch counts.

Conventions (Kaplan 2020, Hoffmann 2022, Porian 2024; `docs/` says why):

* N includes the output head and excludes the input embeddings (tokens and positions), so that 6N is
  FLOPs per token. A tied head is counted once, as the head.
* Matrix factorisation consists of embeddings alone, so its N includes all of them.
* A sample is a row, for text a token. Training costs 6 FLOPs per parameter and sample: 2 forward,
  4 backward. Causal attention adds 6·context·width per layer and token.
* A model that uses parameters more often than once per sample (cnn), or less often (embeddings),
  costs 6 FLOPs per multiply-accumulate instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

VOCABULARY = 256  # tokens are bytes

Kind = Literal["table", "images", "tokens", "ratings"]


@dataclass(frozen=True, slots=True)
class Dimensions:
    """The sizes that a data set sets for a model. Sizes of other kinds of data are 0."""

    kind: Kind
    features: int = 0
    channels: int = 0
    height: int = 0
    width: int = 0
    outputs: int = 1
    users: int = 0
    items: int = 0
    vocabulary: int = 0

    @property
    def inputs(self) -> int:
        """Numbers in one row, an image laid flat."""
        return self.features or self.channels * self.height * self.width


@dataclass(frozen=True, slots=True)
class Counted:
    """The cost of a model: its parameters N and its training FLOPs per sample."""

    parameters: int
    flops_per_sample: int


def count(model: Mapping[str, Any], dimensions: Dimensions) -> Counted:
    """Count a model by the formula of its kind.

    `model` is the whole section `model` of the configuration, defaults filled in. Raises ValueError
    for a name that has no formula.
    """
    match model["name"]:
        case "linear":
            return _dense(dimensions.inputs * dimensions.outputs + dimensions.outputs)
        case "mlp":
            return _dense(_mlp(model, dimensions))
        case "cnn":
            return _cnn(model, dimensions)
        case "transformer":
            return _transformer(model, dimensions)
        case "matrix-factorisation":
            width = int(model["width"])
            rows = dimensions.users + dimensions.items
            # One product of two vectors per rating; the biases are additions alone.
            return Counted(rows * (width + 1) + 1, 6 * width)
        case name:
            message = f"model {name!r} has no formula for its parameters"
            raise ValueError(message)


def _dense(parameters: int) -> Counted:
    """Count a model that uses each parameter once per sample."""
    return Counted(parameters, 6 * parameters)


def _mlp(model: Mapping[str, Any], dimensions: Dimensions) -> int:
    width, depth = int(model["width"]), int(model["depth"])
    sizes = [dimensions.inputs, *[width] * depth, dimensions.outputs]
    return sum((before + 1) * after for before, after in pairwise(sizes))


@dataclass(frozen=True, slots=True)
class Block:
    """One block of the cnn: channels in and out, and the image's size while it convolves."""

    before: int
    after: int
    height: int
    width: int

    @property
    def halves(self) -> bool:
        """Whether the next block sees half the image. An image one pixel wide stays as it is."""
        return min(self.height, self.width) > 1


def cnn_blocks(width: int, depth: int, dimensions: Dimensions) -> Iterator[Block]:
    """Give the blocks of a cnn: where the image halves, the channels double."""
    block = Block(dimensions.channels, width, dimensions.height, dimensions.width)
    for _ in range(depth):
        yield block
        factor = 2 if block.halves else 1
        block = Block(
            block.after, block.after * factor, block.height // factor, block.width // factor
        )


def _cnn(model: Mapping[str, Any], dimensions: Dimensions) -> Counted:
    parameters, macs, channels = 0, 0, dimensions.channels
    for block in cnn_blocks(int(model["width"]), int(model["depth"]), dimensions):
        weights = 9 * block.before * block.after
        parameters += weights + 2 * block.after  # the normalisation's scale and shift
        macs += weights * block.height * block.width
        channels = block.after
    head = channels * dimensions.outputs
    return Counted(parameters + head + dimensions.outputs, 6 * (macs + head))


def _transformer(model: Mapping[str, Any], dimensions: Dimensions) -> Counted:
    layers, width, context = int(model["layers"]), int(model["width"]), int(model["context"])
    # Per layer 12 w² of matrices (3 queries, keys, values; 1 output; 8 feed-forward), 9 w of their
    # biases and 4 w of two normalisations; one more normalisation before the tied head.
    parameters = layers * (12 * width**2 + 13 * width) + 2 * width + dimensions.vocabulary * width
    return Counted(parameters, 6 * parameters + 6 * context * width * layers)


_BUNDLED: Mapping[str, Dimensions] = {
    "digits": Dimensions("images", channels=1, height=8, width=8, outputs=10),
    "breast-cancer": Dimensions("table", features=30, outputs=2),
    "wine": Dimensions("table", features=13, outputs=3),
    "iris": Dimensions("table", features=4, outputs=3),
    "diabetes": Dimensions("table", features=10, outputs=1),
}


def dimensions_of(dataset: Mapping[str, Any]) -> Dimensions | None:
    """Give the dimensions of a data set if they are known before reading the data, else None.

    `dataset` is the whole section `dataset` of the configuration, defaults filled in.
    """
    match dataset["name"]:
        case "synthetic-regression":
            return Dimensions("table", features=1, outputs=1)
        case "synthetic-classification":
            return Dimensions("table", features=dataset["features"], outputs=dataset["classes"])
        case "synthetic-text" | "text":
            return Dimensions("tokens", outputs=VOCABULARY, vocabulary=VOCABULARY)
        case "synthetic-ratings":
            return Dimensions("ratings", users=dataset["users"], items=dataset["items"])
        case name:
            return _BUNDLED.get(name)
