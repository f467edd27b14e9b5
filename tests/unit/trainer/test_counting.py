from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch.utils.flop_counter import FlopCounterMode

from scaling_trainer import models
from scaling_trainer.config.builtin import BuiltIn
from scaling_trainer.config.data import Dataset
from scaling_trainer.config.models import Model
from scaling_trainer.counting import Dimensions, count, dimensions_of
from scaling_trainer.data.load import prepare
from scaling_trainer.models.transformer import Transformer
from scaling_trainer.trained_model import data_dimensions

TABLE = Dimensions("table", features=10, outputs=2)
NUMBER = Dimensions("table", features=1, outputs=1)
GREY = Dimensions("images", channels=1, height=8, width=8, outputs=10)
COLOUR = Dimensions("images", channels=3, height=33, width=17, outputs=5)
BYTES = Dimensions("tokens", outputs=256, vocabulary=256)
PAIRS = Dimensions("ratings", users=30, items=20)

CASES = [
    pytest.param({"name": "linear"}, TABLE, id="a linear model on a table"),
    pytest.param({"name": "linear"}, GREY, id="a linear model on images laid flat"),
    pytest.param({"name": "mlp"}, NUMBER, id="the smallest mlp, one number in and out"),
    pytest.param({"name": "mlp", "width": 33, "depth": 3}, TABLE, id="three hidden layers"),
    pytest.param({"name": "mlp", "dropout": 0.5}, COLOUR, id="an mlp on images, with dropout"),
    pytest.param({"name": "cnn"}, GREY, id="the default cnn"),
    pytest.param({"name": "cnn", "depth": 6}, GREY, id="more blocks than the image can halve"),
    pytest.param({"name": "cnn", "width": 7, "depth": 3}, COLOUR, id="odd width and odd image"),
    pytest.param({"name": "transformer"}, BYTES, id="the default transformer"),
    pytest.param(
        {"name": "transformer", "layers": 3, "width": 48, "heads": 4, "context": 16},
        BYTES,
        id="a deeper transformer with a short context",
    ),
    pytest.param({"name": "matrix-factorisation", "width": 5}, PAIRS, id="matrix factorisation"),
]


def built(model: dict[str, Any], dimensions: Dimensions) -> tuple[Model, torch.nn.Module]:
    config: Model = TypeAdapter[Model](Model).validate_python(model)
    return config, models.build(config, dimensions)


def example(model: Model, dimensions: Dimensions, rows: int) -> torch.Tensor:
    match dimensions.kind:
        case "table":
            return torch.randn(rows, dimensions.features)
        case "images":
            return torch.randn(rows, dimensions.channels, dimensions.height, dimensions.width)
        case "tokens":
            context: int = getattr(model, "context")  # noqa: B009 # only the transformer has one
            return torch.randint(dimensions.vocabulary, (rows, context))
        case "ratings":
            raise AssertionError(model)


@pytest.mark.parametrize(("model", "dimensions"), CASES)
def test_formula_counts_the_parameters_that_are_built(
    model: dict[str, Any], dimensions: Dimensions
) -> None:
    config, module = built(model, dimensions)
    # By convention N leaves out the look-up of positions; the tied head is the tokens' look-up.
    looked_up = module.positions.weight.numel() if isinstance(module, Transformer) else 0
    counted = sum(parameter.numel() for parameter in module.parameters()) - looked_up
    assert count(config.model_dump(), dimensions).parameters == counted


# Matrix factorisation has no matrix product, and so nothing that PyTorch would count.
@pytest.mark.parametrize(("model", "dimensions"), CASES[:-1])
def test_formula_agrees_with_the_flops_that_pytorch_counts(
    model: dict[str, Any], dimensions: Dimensions
) -> None:
    config, module = built(model, dimensions)
    rows = 4
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        outputs = module(example(config, dimensions, rows))
    samples = outputs.numel() // outputs.shape[-1]
    forward = counter.get_total_flops() / samples
    expected = count(config.model_dump(), dimensions).flops_per_sample / 3
    if isinstance(module, Transformer):
        # PyTorch counts all pairs of tokens; a causal model needs half of them.
        forward -= (
            2 * config.model_dump()["context"] * module.tokens.embedding_dim * len(module.blocks)
        )
    # 6N counts biases and normalisations, which are no products; the cnn's formula counts products.
    biases = sum(p.numel() for p in module.parameters() if p.dim() == 1)
    beyond_products = 0 if config.name == "cnn" else 2 * biases
    assert expected == pytest.approx(forward + beyond_products, rel=1e-12)


@pytest.mark.parametrize(
    "dataset",
    [
        {"name": "synthetic-regression", "samples": 50},
        {"name": "synthetic-classification", "samples": 200, "features": 7, "classes": 3},
        {"name": "synthetic-text", "characters": 2000},
        {"name": "synthetic-ratings", "users": 12, "items": 9, "ratings": 100},
        {"name": "digits"},
        {"name": "breast-cancer"},
        {"name": "wine"},
        {"name": "iris"},
        {"name": "diabetes"},
    ],
    ids=lambda dataset: dataset["name"],
)
def test_dimensions_known_beforehand_are_those_of_the_data(dataset: dict[str, Any]) -> None:
    suits = {
        "synthetic-regression": ("regression", "mlp"),
        "diabetes": ("regression", "mlp"),
        "synthetic-text": ("language-modelling", "transformer"),
        "synthetic-ratings": ("recommendation", "matrix-factorisation"),
    }
    task, model = suits.get(dataset["name"], ("classification", "mlp"))
    config = BuiltIn.model_validate({"task": task, "dataset": dataset, "model": {"name": model}})
    assert dimensions_of(config.dataset.model_dump()) == data_dimensions(prepare(config, Path()))


@pytest.mark.parametrize("name", ["csv", "parquet", "npz", "image-folder", "ratings"])
def test_dimensions_of_files_are_not_known_before_they_are_read(name: str) -> None:
    dataset = {"name": name, "path": "somewhere", "target": "y"}
    if name in ("image-folder", "ratings"):
        del dataset["target"]
    config: Dataset = TypeAdapter[Dataset](Dataset).validate_python(dataset)
    assert dimensions_of(config.model_dump()) is None


def test_text_of_ones_own_has_the_vocabulary_of_bytes() -> None:
    assert dimensions_of({"name": "text", "path": "a.txt"}) == BYTES


def test_a_model_without_a_formula_is_refused() -> None:
    with pytest.raises(ValueError, match="'oracle' has no formula"):
        count({"name": "oracle"}, TABLE)


def test_training_flops_are_six_per_parameter_plus_attention() -> None:
    model = {"name": "transformer", "layers": 2, "width": 64, "heads": 2, "context": 64}
    counted = count(model, BYTES)
    assert counted.parameters == 2 * (12 * 64**2 + 13 * 64) + 2 * 64 + 256 * 64
    attention = counted.flops_per_sample - 6 * counted.parameters
    assert math.isclose(attention, 6 * 64 * 64 * 2)
