"""What a trial needs, read off the built-in trainer's configuration."""

from __future__ import annotations

from typing import Any

import pytest

from scaling_operator.api.estimate import Estimate
from scaling_operator.api.fields import Scalar
from scaling_operator.api.policy import UnknownNeeds
from scaling_operator.api.quantities import GIBIBYTE
from scaling_operator.sizing.memory import device_parts, host_parts
from scaling_operator.sizing.need import (
    UNREAD_DATA_BYTES,
    Need,
    UnknownNeed,
    built_in_need,
    own_need,
)
from scaling_trainer.config.builtin import BuiltIn
from scaling_trainer.contract import Execution

MIB = 2**20


def text(**changes: Any) -> dict[str, Any]:
    model: dict[str, Any] = {
        "name": "transformer", "width": 512, "layers": 6, "heads": 4, "context": 256
    }  # fmt: skip
    return {
        "task": "language-modelling",
        "dataset": {"name": "synthetic-text", "characters": 20_000},
        "model": model,
        "epochs": 1,
        "batch_size": 8,
        **changes,
    }


def need(config: dict[str, Any], parameters: dict[str, Scalar] | None = None) -> Need:
    trial_need = built_in_need(BuiltIn.model_validate(config), parameters or {}, None)
    assert isinstance(trial_need, Need), trial_need
    return trial_need


# Peaks that the trainer reported for these very configurations: PyTorch 2.10 on Linux, one thread.
MEASURED = [
    (64, 2, 2, 64, 8, 899),
    (256, 4, 4, 128, 8, 1026),
    (512, 6, 4, 256, 8, 1640),
    (512, 6, 4, 256, 32, 3009),
    (768, 8, 4, 256, 8, 2552),
]


@pytest.mark.parametrize(("width", "layers", "heads", "context", "batch", "mebibytes"), MEASURED)
def test_host_memory_is_within_8_percent_of_what_was_measured(
    width: int, layers: int, heads: int, context: int, batch: int, mebibytes: float
) -> None:
    model = {"name": "transformer", "width": width, "layers": layers, "heads": heads,
             "context": context}  # fmt: skip
    trial_need = need(text(model=model, batch_size=batch))

    total = host_parts(trial_need, Execution(), on_device=False).total / MIB

    assert total == pytest.approx(mebibytes, rel=0.08)


def test_a_parameter_of_the_trial_overrides_the_configuration() -> None:
    wide = need(text(), {"model.width": 1024, "batch_size": 4})

    assert wide.parameters > 3 * need(text()).parameters
    assert wide.batch == 4


def test_a_value_that_the_trainer_refuses_is_named() -> None:
    config = BuiltIn.model_validate(text())

    trial_need = built_in_need(config, {"model.width": 511}, None)

    assert isinstance(trial_need, UnknownNeed)
    assert "width 511 is not a multiple of heads 4" in str(trial_need)


OPTIMIZERS = [("sgd", 8), ("momentum", 12), ("adam", 16), ("adamw", 16)]


@pytest.mark.parametrize(("name", "expected"), OPTIMIZERS)
def test_an_optimizer_decides_the_bytes_of_a_parameter(name: str, expected: float) -> None:
    assert need(text(optimizer={"name": name})).bytes_per_parameter.total == expected


def test_early_stopping_keeps_the_best_weights_too() -> None:
    assert need(text(early_stopping={})).bytes_per_parameter.total == 20


def test_samples_by_epochs_are_whole_windows_of_the_training_part() -> None:
    trial_need = need(text(epochs=3))

    once = need(text())
    per_epoch = int(20_000 * 0.6 / 256) * 256
    assert trial_need.steps == -(-3 * per_epoch // (8 * 256))
    assert (trial_need.flops or 0) == 3 * (once.flops or 0) > 0


def test_samples_of_the_design_come_before_epochs() -> None:
    config = BuiltIn.model_validate(text())

    trial_need = built_in_need(config, {}, 2048 * 10)

    assert isinstance(trial_need, Need)
    assert trial_need.steps == 10


def test_a_table_that_was_not_read_is_guessed_large() -> None:
    trial_need = need(
        {
            "task": "classification",
            "dataset": {"name": "csv", "path": "a.csv", "target": "y"},
            "model": {"name": "mlp", "width": 64},
        }
    )

    assert trial_need.data_bytes == UNREAD_DATA_BYTES
    assert trial_need.counted is None
    assert trial_need.flops is None


def test_recomputation_is_the_transformers_alone() -> None:
    digits = {"task": "classification", "dataset": {"name": "digits"}, "model": {"name": "cnn"}}

    assert need(digits).abilities == {"microBatch"}
    assert need(text()).abilities == {"microBatch", "recompute"}


def test_half_the_micro_batch_halves_what_a_row_keeps() -> None:
    trial_need = need(text())
    whole = device_parts(trial_need, Execution())
    half = device_parts(trial_need, Execution(micro_batch=4, accumulation=2))

    assert half.activations == whole.activations / 2
    assert half.outputs == whole.outputs / 2
    assert half.states == whole.states


def test_recomputation_keeps_less() -> None:
    trial_need = need(text())

    assert (
        device_parts(trial_need, Execution(recompute="full")).activations
        < device_parts(trial_need, Execution()).activations / 3
    )


def test_accumulation_alone_says_the_same_as_its_micro_batch() -> None:
    trial_need = need(text())

    assert device_parts(trial_need, Execution(accumulation=4)) == device_parts(
        trial_need, Execution(micro_batch=2, accumulation=4)
    )


def test_an_evaluation_may_need_more_than_a_step() -> None:
    trial_need = need(
        {
            "task": "classification",
            "dataset": {"name": "synthetic-classification", "samples": 100_000},
            "model": {"name": "mlp", "width": 4096},
            "batch_size": 1,
        }
    )
    parts = device_parts(trial_need, Execution())

    assert parts.activations + parts.outputs + parts.buffers == trial_need.evaluated_bytes


def own(**fields: Any) -> Need:
    trial_need = own_need(Estimate.model_validate(fields), {"n": 4}, None, UnknownNeeds())
    assert isinstance(trial_need, Need), trial_need
    return trial_need


OWN: list[Any] = [
    pytest.param({"deviceMemory": "10Gi"}, "whole_device_bytes", 10 * GIBIBYTE, id="in all"),
    pytest.param({"hostMemory": "3Gi"}, "whole_host_bytes", 3 * GIBIBYTE, id="the host in all"),
    pytest.param({}, "whole_host_bytes", 2 * GIBIBYTE, id="nothing known: the policy's"),
    pytest.param({"parameters": "1e6 * n"}, "parameters", 4e6, id="an expression"),
    pytest.param({"parameters": 10, "samples": 5}, "flops", 300, id="6ND"),
    pytest.param({"parameters": 10, "samples": 5, "flops": 7}, "flops", 7, id="FLOPs as given"),
    pytest.param({"samples": 100, "batchSize": 8}, "steps", 13, id="steps"),
    pytest.param({"cpu": "500m"}, "cores", 0.5, id="half a core"),
    pytest.param({"sharedMemory": "1Gi"}, "shared_bytes", GIBIBYTE, id="shared memory"),
    pytest.param(
        {"bytesPerParameter": 3}, "bytes_per_parameter.total", 3, id="bytes of a parameter"
    ),
    pytest.param({"activationBytes": 5}, "bytes_per_row.kept", 5, id="bytes of a row"),
    pytest.param({"context": 2, "vocabulary": 3}, "bytes_per_row.outputs", 72, id="logits in fp32"),
    pytest.param(
        {"context": 2, "vocabulary": 3, "precision": "bf16"},
        "bytes_per_row.outputs",
        60,
        id="in bf16",
    ),
    pytest.param(
        {"context": 2, "vocabulary": 3, "fusedCrossEntropy": True},
        "bytes_per_row.outputs",
        0,
        id="fused",
    ),
    pytest.param(
        {"layers": 1, "width": 4, "heads": 1, "context": 2},
        "bytes_per_row.kept",
        2 * 4 * 68,
        id="a layer",
    ),
    pytest.param(
        {"layers": 1, "width": 4, "heads": 1, "context": 2, "attention": "plain"},
        "bytes_per_row.kept",
        2 * 4 * (34 + 5 * 2 / 4) * 2,
        id="a layer that keeps its attention",
    ),
]


@pytest.mark.parametrize(("fields", "path", "expected"), OWN)
def test_an_estimate_says_what_a_trainer_of_ones_own_needs(
    fields: dict[str, Any], path: str, expected: float
) -> None:
    at: Any = own(**fields)
    for name in path.split("."):
        at = getattr(at, name)

    assert at == pytest.approx(expected)


def test_an_amount_that_fails_for_a_trial_is_named() -> None:
    estimate = Estimate.model_validate({"hostMemory": "1.0 / (n - 4.0)"})

    trial_need = own_need(estimate, {"n": 4}, None, UnknownNeeds())

    assert isinstance(trial_need, UnknownNeed)
    assert str(trial_need).startswith("spec.resources.estimate.hostMemory: is inf")


def test_without_an_accelerator_the_model_lies_on_the_host_beside_what_is_given() -> None:
    trial_need = own(parameters=1e9, hostMemory="4Gi")

    assert host_parts(trial_need, Execution(), on_device=True).total == 4 * GIBIBYTE
    assert host_parts(trial_need, Execution(), on_device=False).total == pytest.approx(
        4 * GIBIBYTE + 28e9
    )
