from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import TypeAdapter

from scaling_trainer import models
from scaling_trainer.config.models import Model
from scaling_trainer.counting import Dimensions, cnn_blocks
from scaling_trainer.models.transformer import Transformer

GREY = Dimensions("images", channels=1, height=8, width=8, outputs=10)
BYTES = Dimensions("tokens", outputs=256, vocabulary=256)
SMALL = {"name": "transformer", "layers": 2, "width": 16, "heads": 2, "context": 8}


def build(
    model: dict[str, Any], dimensions: Dimensions, *, recompute: str = "none"
) -> torch.nn.Module:
    torch.manual_seed(0)  # pyright: ignore[reportUnknownMemberType] # untyped in torch
    config: Model = TypeAdapter[Model](Model).validate_python(model)
    return models.build(config, dimensions, recompute=recompute)


def gradients(module: torch.nn.Module, inputs: torch.Tensor) -> list[torch.Tensor]:
    module.zero_grad()
    torch.manual_seed(1)  # pyright: ignore[reportUnknownMemberType] # the same dropout each time
    module(inputs).square().mean().backward()
    return [p.grad.clone() for p in module.parameters() if p.grad is not None]


def test_transformer_does_not_look_ahead() -> None:
    module = build(SMALL, BYTES).eval()
    tokens = torch.randint(256, (3, 8))
    changed = tokens.clone()
    changed[:, 5] = (changed[:, 5] + 1) % 256
    before, after = module(tokens), module(changed)
    assert torch.equal(before[:, :5], after[:, :5])
    assert not torch.allclose(before[:, 5:], after[:, 5:])


def test_transformer_takes_less_than_a_whole_context() -> None:
    assert build(SMALL, BYTES)(torch.zeros(1, 3, dtype=torch.int64)).shape == (1, 3, 256)


def test_a_fresh_transformer_knows_nothing() -> None:
    logits = build(SMALL, BYTES).eval()(torch.randint(256, (4, 8)))
    # Logits of deviation d cost about d²/2 beyond the ln 256 of knowing nothing.
    assert float(logits.detach().std()) < 0.7


def test_recomputing_changes_no_gradient_even_with_dropout() -> None:
    model = SMALL | {"dropout": 0.3}
    tokens = torch.randint(256, (3, 8))
    plain = gradients(build(model, BYTES).train(), tokens)
    again = gradients(build(model, BYTES, recompute="full").train(), tokens)
    assert all(
        torch.equal(gradient, recomputed) for gradient, recomputed in zip(plain, again, strict=True)
    )


def test_recomputing_is_for_training_alone() -> None:
    module = build(SMALL, BYTES, recompute="full").eval()
    assert isinstance(module, Transformer)
    tokens = torch.randint(256, (1, 8))
    assert torch.equal(module(tokens), build(SMALL, BYTES).eval()(tokens))


@pytest.mark.parametrize(
    ("model", "dimensions"),
    [
        pytest.param({"name": "mlp", "depth": 2, "activation": "tanh"}, GREY, id="mlp"),
        pytest.param({"name": "cnn", "width": 12, "activation": "gelu"}, GREY, id="cnn"),
        pytest.param({"name": "linear"}, GREY, id="linear"),
    ],
)
def test_a_row_does_not_depend_on_those_beside_it(
    model: dict[str, Any], dimensions: Dimensions
) -> None:
    module = build(model, dimensions).train()
    images = torch.randn(5, 1, 8, 8)
    torch.testing.assert_close(module(images)[2:3], module(images[2:3]), rtol=1e-5, atol=1e-6)


def test_dropout_acts_in_training_alone() -> None:
    module = build({"name": "mlp", "width": 64, "dropout": 0.5}, GREY)
    images = torch.randn(4, 1, 8, 8)
    assert not torch.equal(module.train()(images), module(images))
    assert torch.equal(module.eval()(images), module(images))


@pytest.mark.parametrize(
    ("height", "width", "sizes"),
    [
        pytest.param(8, 8, [(8, 4), (4, 8), (2, 16), (1, 32), (1, 32)], id="until one pixel"),
        pytest.param(5, 2, [(5, 4), (2, 8), (2, 8), (2, 8), (2, 8)], id="until one side is one"),
    ],
)
def test_channels_double_where_the_image_halves(
    height: int, width: int, sizes: list[tuple[int, int]]
) -> None:
    image = Dimensions("images", channels=1, height=height, width=width)
    assert [(block.height, block.after) for block in cnn_blocks(4, 5, image)] == sizes


def test_matrix_factorisation_begins_near_the_mean_whatever_its_width() -> None:
    pairs = torch.randint(50, (500, 2))
    for width in (1, 8, 256):
        model = {"name": "matrix-factorisation", "width": width}
        module = build(model, Dimensions("ratings", users=50, items=50))
        ratings = module(pairs)
        assert ratings.shape == (500, 1)
        assert 0.02 < float(ratings.detach().std()) < 0.3
