"""The formulas of the built-in models against what autograd really keeps."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import TypeAdapter

from scaling_trainer import models
from scaling_trainer.config.models import Model
from scaling_trainer.counting import Dimensions
from scaling_trainer.footprint import footprint

TABLE = Dimensions("table", features=10, outputs=2)
GREY = Dimensions("images", channels=1, height=8, width=8, outputs=10)
COLOUR = Dimensions("images", channels=3, height=33, width=17, outputs=5)
BYTES = Dimensions("tokens", outputs=256, vocabulary=256)
PAIRS = Dimensions("ratings", users=30, items=20)
ROWS = 8


def mlp(**fields: Any) -> dict[str, Any]:
    return {"name": "mlp", "width": 64, "depth": 3, **fields}


def transformer(layers: int, width: int, heads: int, context: int, **fields: Any) -> dict[str, Any]:
    sizes = {"layers": layers, "width": width, "heads": heads, "context": context}
    return {"name": "transformer", **sizes, **fields}


CASES: list[Any] = [
    pytest.param({"name": "linear"}, TABLE, id="linear"),
    pytest.param(mlp(), TABLE, id="relu keeps its output"),
    pytest.param(mlp(activation="tanh"), TABLE, id="tanh keeps its output"),
    pytest.param(mlp(activation="gelu"), TABLE, id="gelu keeps its input too"),
    pytest.param(mlp(dropout=0.5), TABLE, id="dropout keeps its mask"),
    pytest.param(mlp(dropout=0.5, activation="gelu"), TABLE, id="dropout after gelu"),
    pytest.param({"name": "cnn"}, GREY, id="cnn"),
    pytest.param({"name": "cnn", "width": 8, "depth": 6}, GREY, id="cnn down to a pixel"),
    pytest.param(
        {"name": "cnn", "width": 8, "depth": 3, "activation": "gelu"}, COLOUR, id="cnn with gelu"
    ),
    pytest.param({"name": "matrix-factorisation", "width": 5}, PAIRS, id="factorisation"),
    pytest.param(transformer(2, 64, 2, 64), BYTES, id="a small transformer"),
    pytest.param(transformer(4, 128, 4, 64), BYTES, id="a middling transformer"),
    pytest.param(transformer(6, 192, 6, 128), BYTES, id="a larger transformer"),
    pytest.param(transformer(3, 64, 2, 64, dropout=0.1), BYTES, id="a transformer with dropout"),
]


def built(model: dict[str, Any], dimensions: Dimensions, recompute: str) -> tuple[Any, Any]:
    config: Any = TypeAdapter[Model](Model).validate_python(model)
    return config, models.build(config, dimensions, recompute=recompute).train()


def inputs_of(dimensions: Dimensions, context: int) -> torch.Tensor:
    match dimensions.kind:
        case "table":
            return torch.randn(ROWS, dimensions.features)
        case "images":
            return torch.randn(ROWS, dimensions.channels, dimensions.height, dimensions.width)
        case "tokens":
            return torch.randint(dimensions.vocabulary, (ROWS, context))
        case "ratings":
            return torch.randint(dimensions.items, (ROWS, 2))


def kept_bytes(module: torch.nn.Module, inputs: torch.Tensor) -> int:
    weights = {tensor.untyped_storage().data_ptr() for tensor in module.parameters()}
    alive: list[torch.Tensor] = []  # else a freed tensor's address may be another's

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        alive.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = module(inputs)
    assert output is not None
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage() for tensor in alive}
    return sum(storage.nbytes() for address, storage in storages.items() if address not in weights)


@pytest.mark.parametrize(("model", "dimensions"), CASES)
def test_the_formula_is_within_7_percent_of_what_autograd_keeps(
    model: dict[str, Any], dimensions: Dimensions
) -> None:
    config, module = built(model, dimensions, "none")

    kept = kept_bytes(module, inputs_of(dimensions, getattr(config, "context", 0)))

    expected = footprint(config.model_dump(), dimensions)
    assert ROWS * expected.kept_bytes == pytest.approx(kept, rel=0.07)


def test_recomputation_keeps_what_the_formula_says() -> None:
    config, module = built(transformer(6, 192, 6, 128), BYTES, "full")

    kept = kept_bytes(module, inputs_of(BYTES, 128))

    estimate = footprint(config.model_dump(), BYTES)
    assert estimate.recomputed_bytes is not None
    assert ROWS * estimate.recomputed_bytes == pytest.approx(kept, rel=0.15)
    assert estimate.recomputed_bytes + estimate.block_bytes < estimate.kept_bytes


@pytest.mark.parametrize(("model", "dimensions"), CASES)
def test_every_parameter_that_is_stored_is_counted(
    model: dict[str, Any], dimensions: Dimensions
) -> None:
    config, module = built(model, dimensions, "none")

    stored = sum(parameter.numel() for parameter in module.parameters())

    assert footprint(config.model_dump(), dimensions).stored_parameters == stored


def test_a_model_without_a_formula_is_refused() -> None:
    with pytest.raises(ValueError, match="'oracle' has no formula for its memory"):
        footprint({"name": "oracle"}, TABLE)
