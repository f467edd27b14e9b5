"""The exact figures of the published examples, ± 0.5 %."""

from __future__ import annotations

import pytest

from scaling_operator.api.policy import Shape
from scaling_operator.api.quantities import GIBIBYTE, MEBIBYTE
from scaling_operator.sizing.estimates import first_estimates, hours_of
from scaling_operator.sizing.memory_formulas import (
    Stage,
    TransformerShape,
    attention_share,
    bytes_per_parameter,
    gathered_bytes,
    layer_bytes,
    logit_bytes,
    recomputed_bytes,
    sharded,
)
from scaling_operator.sizing.need import Need

GB = 1e9
GPT3 = TransformerShape(layers=96, width=12288, heads=96, context=2048)
MT_NLG = TransformerShape(layers=105, width=20480, heads=128, context=2048)


def close(figure: float) -> object:
    return pytest.approx(figure, rel=0.005)


ZERO: list[tuple[int, Stage, float]] = [
    (64, 0, 120.0),
    (64, 1, 31.41),
    (64, 2, 16.64),
    (64, 3, 1.88),
    (4, 1, 52.5),
    (4, 2, 41.25),
    (4, 3, 30.0),
    (16, 1, 35.62),
    (16, 2, 21.56),
    (16, 3, 7.5),
    (256, 1, 30.35),
    (256, 2, 15.41),
    (256, 3, 0.47),
]


@pytest.mark.parametrize(("shards", "stage", "gigabytes"), ZERO)
def test_states_of_7_5_billion_parameters_are_those_of_the_zero_paper(
    shards: int, stage: Stage, gigabytes: float
) -> None:
    left = sharded(bytes_per_parameter("bf16", "adam"), shards, stage)

    assert 7.5e9 * left.total / GB == close(gigabytes)


def test_states_with_buffers_are_those_of_deepspeed() -> None:
    """Stage 2: 4P + 16P/n, 2P of which are buffers. Stage 3: 18P/n + 4 per parameter of a unit."""
    unsharded = bytes_per_parameter("bf16-fp32-gradients", "adam")

    def zero2(parameters: float, shards: int) -> float:
        return parameters * (sharded(unsharded, shards, 2).total + 2)

    def zero3(parameters: float, shards: int, largest_unit: float) -> float:
        return parameters * sharded(unsharded, shards, 3).total + gathered_bytes(largest_unit)

    assert zero2(2851e6, 8) / GIBIBYTE == close(15.93)
    assert zero3(2851e6, 8, 32e6) / GIBIBYTE == close(6.09)
    assert zero3(737.67e6, 4, 32.9e6) / MEBIBYTE == close(3291)


STATES = [
    ("bf16", "adam", 16),
    ("bf16-fp32-gradients", "adam", 18),
    ("autocast", "adam", 18),
    ("fp32", "adam", 16),
    ("fp32", "momentum", 12),
    ("bf16", "momentum", 12),
    ("bf16", "adam8bit", 10),
    ("fp32", "sgd", 8),
    ("fp32", "none", 4),
    ("bf16", "none", 2),
]


@pytest.mark.parametrize(("precision", "optimizer", "total"), STATES)
def test_bytes_per_parameter_by_precision_and_optimizer(
    precision: object, optimizer: object, total: float
) -> None:
    assert bytes_per_parameter(precision, optimizer).total == total  # pyright: ignore[reportArgumentType]


def test_the_attention_matrix_of_published_models() -> None:
    assert attention_share(GPT3) == close(80)
    assert attention_share(MT_NLG) == close(64)


ACTIVATIONS = [
    pytest.param(GPT3, (275.4, 82.1, 4.83), id="175 billion"),
    pytest.param(MT_NLG, (431.6, 149.7, 8.81), id="530 billion"),
]


@pytest.mark.parametrize(("model", "gigabytes"), ACTIVATIONS)
def test_activations_of_published_models(
    model: TransformerShape, gigabytes: tuple[float, float, float]
) -> None:
    plain = model.layers * layer_bytes(model, keeps_attention=True, precision_bytes=2)
    flash = model.layers * layer_bytes(model, keeps_attention=False, precision_bytes=2)

    assert plain / GB == close(gigabytes[0])
    assert flash / GB == close(gigabytes[1])
    assert recomputed_bytes(model, 2) / GB == close(gigabytes[2])


def gpt2_parameters(model: TransformerShape) -> float:
    """12Lh² + 13Lh + Vh + sh + 2h, with a tied head and a vocabulary of 50257."""
    blocks = model.layers * (12 * model.width**2 + 13 * model.width)
    return blocks + (50257 + model.context + 2) * model.width


GPT2 = [
    # millions, L, h, a, rows at once, GiB of states, activations, logits, all
    (124.4, 12, 768, 12, 12, 2.09, 3.59, 5.75, 11.42),
    (354.8, 24, 1024, 16, 8, 5.95, 6.38, 3.83, 16.16),
    (774.0, 36, 1280, 20, 4, 12.98, 5.98, 1.92, 20.87),
    (1557.6, 48, 1600, 25, 2, 26.11, 4.98, 0.96, 32.05),
]


@pytest.mark.parametrize(
    ("millions", "layers", "width", "heads", "rows", "states", "activations", "logits", "total"),
    GPT2,
)
def test_gpt2_by_part(
    millions: float, layers: int, width: int, heads: int, rows: int, states: float,
    activations: float, logits: float, total: float,
) -> None:  # fmt: skip
    model = TransformerShape(layers, width, heads, 1024)
    parameters = gpt2_parameters(model)
    parts = (
        parameters * bytes_per_parameter("bf16-fp32-gradients", "adam").total / GIBIBYTE,
        rows * layers * layer_bytes(model, keeps_attention=False, precision_bytes=2) / GIBIBYTE,
        rows * logit_bytes(1024, 50257, 2) / GIBIBYTE,
    )

    assert parameters / 1e6 == close(millions)
    assert parts == (close(states), close(activations), close(logits))
    assert sum(parts) == close(total)


@pytest.mark.parametrize(("flops", "hours"), [(1e19, 7.02), (1e20, 70.2), (1e21, 702)])
def test_gpu_hours_at_40_percent_of_an_h100(flops: float, hours: float) -> None:
    h100 = Shape.model_validate(
        {"name": "h100", "resource": "nvidia.com/gpu", "memory": "80Gi", "flops": 989e12}
    )

    assert hours_of(Need(flops=flops), h100, 1, first_estimates(25), "none") == close(hours)
