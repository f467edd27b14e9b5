"""What a trial of the built-in trainer needs: by the formulas of its models.

It computes in fp32, on one accelerator or on the CPU.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from pydantic import ValidationError

from scaling_operator.api.estimate import Ability, OptimizerKind
from scaling_operator.api.fields import Scalar
from scaling_operator.sizing.memory import GIB, states_of
from scaling_operator.sizing.need import Need, Rows, Unknown
from scaling_trainer.config.builtin import BuiltIn, with_parameters
from scaling_trainer.config.data import (
    ImageFolder,
    Ratings,
    SyntheticClassification,
    SyntheticRatings,
    SyntheticRegression,
    SyntheticText,
    Table,
)
from scaling_trainer.config.models import Transformer
from scaling_trainer.counting import Dimensions, count, dimensions_of
from scaling_trainer.footprint import footprint

# A table of a million rows and 256 columns, or an image folder of 80,000 small pictures.
UNREAD_DATA_BYTES = 1.0 * GIB

_BUNDLED_ROWS = {"digits": 1797, "breast-cancer": 569, "wine": 178, "iris": 150, "diabetes": 442}
_OPTIMIZERS: Mapping[str, OptimizerKind] = {
    "adam": "adam",
    "adamw": "adam",
    "momentum": "momentum",
    "sgd": "sgd",
}
_PLAIN: frozenset[Ability] = frozenset({"microBatch"})
_RECOMPUTING: frozenset[Ability] = frozenset({"microBatch", "recompute"})


def built_in_need(
    base: BuiltIn, parameters: Mapping[str, Scalar], samples: float | None
) -> Need | Unknown:
    """Give what one trial of the built-in trainer needs."""
    try:
        config = with_parameters(base, parameters)
    except ValidationError as error:
        return Unknown("spec.trainer.builtIn", str(error.errors()[0]["msg"]))
    dimensions = dimensions_of(config.dataset.model_dump(mode="json"))
    if dimensions is None:
        # The columns of a file are known when it is read. Until then a guess on the large side.
        return replace(_of_model(config, _assumed(config), samples), counted=None)
    return _of_model(config, dimensions, samples)


def _assumed(config: BuiltIn) -> Dimensions:
    match config.dataset:
        case ImageFolder(pixels=pixels, channels=channels):
            return Dimensions(
                "images", channels=channels, height=pixels, width=pixels, outputs=1000
            )
        case Table(features=features):
            return Dimensions("table", features=len(features) or 256, outputs=100)
        case Ratings():
            return Dimensions("ratings", users=100_000, items=100_000)
        case _:
            return Dimensions("images", channels=3, height=64, width=64, outputs=1000)


def _of_model(config: BuiltIn, dimensions: Dimensions, samples: float | None) -> Need:
    model = config.model.model_dump(mode="json")
    counted, found = count(model, dimensions), footprint(model, dimensions)
    rows_of_data = _rows(config)
    per_row = config.model.context if isinstance(config.model, Transformer) else 1
    seen = _samples(config, rows_of_data, per_row) if samples is None else samples
    states = states_of("fp32", _OPTIMIZERS[config.optimizer.name])
    if config.early_stopping is not None:  # the best weights so far lie beside the current ones
        states = replace(states, weights=2 * states.weights)
    evaluated = found.evaluated_rows if rows_of_data is None else min(
        found.evaluated_rows, rows_of_data / per_row
    )  # fmt: skip
    return Need(
        parameters=float(found.stored_parameters),
        counted=float(counted.parameters),
        flops=None if seen is None else counted.flops_per_sample * seen,
        steps=None if seen is None else math.ceil(seen / (config.batch_size * per_row)),
        states=states,
        batch=config.batch_size,
        rows=Rows(
            found.kept_bytes,
            found.recomputed_bytes or 0.0,
            found.block_bytes,
            found.output_bytes,
            found.passing_bytes,
        ),
        evaluated_bytes=evaluated * found.evaluated_bytes,
        data_bytes=_data_bytes(rows_of_data, dimensions),
        cores=float(config.threads),
        abilities=_PLAIN if found.recomputed_bytes is None else _RECOMPUTING,
        family=f"builtIn/{config.model.name}",
    )


def _rows(config: BuiltIn) -> float | None:
    """Count all rows of the data, for text its bytes; None where only reading tells."""
    match config.dataset:
        case SyntheticRegression() | SyntheticClassification():
            return config.dataset.samples
        case SyntheticText():
            return config.dataset.characters
        case SyntheticRatings():
            return config.dataset.ratings
        case dataset:
            return _BUNDLED_ROWS.get(dataset.name)


def _samples(config: BuiltIn, rows: float | None, per_row: int) -> float | None:
    """Give D by the epochs: whole rows of the training part; None where only reading tells."""
    if rows is None:
        return None
    share = 1 - config.dataset.validation - config.dataset.test
    return config.epochs * max(1, math.floor(rows * share / per_row)) * per_row


def _data_bytes(rows: float | None, dimensions: Dimensions) -> float:
    if rows is None:
        return UNREAD_DATA_BYTES
    return rows * (8 if dimensions.kind == "tokens" else 4 * (dimensions.inputs + 2))
