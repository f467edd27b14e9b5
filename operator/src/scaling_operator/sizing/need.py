"""What a trial is, in the numbers that decide its memory and its time.

The needs of the built-in trainer follow from the formulas of its models: it computes in fp32, on
one accelerator or on the CPU. The needs of a trainer of one's own are what its `estimate` says.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from pydantic import ValidationError

from scaling_operator.api.estimate import Ability, Estimate, OptimizerKind
from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.expressions import Amount, ExpressionError, evaluate
from scaling_operator.api.fields import Scalar
from scaling_operator.api.policy import UnknownNeeds
from scaling_operator.api.quantities import parse_quantity
from scaling_operator.sizing.memory_formulas import (
    GIB,
    BytesPerParameter,
    TransformerShape,
    layer_bytes,
    logit_bytes,
    recomputed_bytes,
    states_of,
)
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

NO_STATES = BytesPerParameter(0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class BytesPerRow:
    """Bytes that each row of a micro-batch adds on an accelerator.

    `kept` lives from the forward to the backward pass; with recomputation `recomputed` does, and
    `block` once more while a block is computed again. `outputs` are logits and what the loss makes
    of them, `passing` lives for a moment.
    """

    kept: float = 0.0
    recomputed: float = 0.0
    block: float = 0.0
    outputs: float = 0.0
    passing: float = 0.0


@dataclass(frozen=True, slots=True)
class Need:
    """One trial before any machine is chosen.

    `parameters` are those that are stored, `counted` is N by the convention of the laws. `flops` is
    C of the whole trial, `steps` how many there are, None where nothing tells. `whole_device_bytes`
    and `whole_host_bytes` stand instead of all parts. `evaluated_bytes` lives in an evaluation,
    beside the states.
    """

    parameters: float = 0.0
    counted: float | None = None
    flops: float | None = None
    steps: float | None = None
    bytes_per_parameter: BytesPerParameter = NO_STATES
    batch: int = 1
    bytes_per_row: BytesPerRow = BytesPerRow()
    evaluated_bytes: float = 0.0
    largest_unit: float = 0.0
    data_bytes: float = 0.0
    shared_bytes: float = 0.0
    cores: float = 1.0
    whole_device_bytes: float | None = None
    whole_host_bytes: float | None = None
    abilities: frozenset[Ability] = frozenset()
    runs_on_cpu: bool = True
    runs_on_devices: bool = True
    family: str = ""
    """Of what kind the trainer is: only alike ones calibrate each other."""


@dataclass(frozen=True, slots=True)
class UnknownNeed:
    """Why a need cannot be computed: the field at fault and a sentence."""

    path: str
    message: str

    def __str__(self) -> str:
        """Render as `path: message`."""
        return f"{self.path}: {self.message}"


def need_of(
    spec: ExperimentSpec,
    parameters: Mapping[str, Scalar],
    samples: float | None,
    unknown: UnknownNeeds,
) -> Need | UnknownNeed:
    """Give what one trial needs. `samples` is D where the design sets it; `unknown` helps out."""
    if spec.trainer.built_in is not None:
        return built_in_need(spec.trainer.built_in, parameters, samples)
    return own_need(spec.resources.estimate or Estimate(), parameters, samples, unknown)


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
) -> Need | UnknownNeed:
    """Give what one trial of the built-in trainer needs."""
    try:
        config = with_parameters(base, parameters)
    except ValidationError as error:
        return UnknownNeed("spec.trainer.builtIn", str(error.errors()[0]["msg"]))
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
        bytes_per_parameter=states,
        batch=config.batch_size,
        bytes_per_row=BytesPerRow(
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


def own_need(
    estimate: Estimate,
    parameters: Mapping[str, Scalar],
    samples: float | None,
    unknown: UnknownNeeds,
) -> Need | UnknownNeed:
    """Give what one trial needs; what its author does not say counts as nothing."""
    amounts = _Amounts(estimate, parameters)
    try:
        return _estimated(estimate, amounts, samples, unknown)
    except _Fault as fault:
        return fault.unknown


class _Amounts:
    """The amounts of an estimate for one trial."""

    def __init__(self, estimate: Estimate, parameters: Mapping[str, Scalar]) -> None:
        self._estimate, self._parameters = estimate, parameters

    def get(self, field: str) -> float | None:
        """Compute an amount; None where it is not set. Raises _Fault."""
        amount: Amount | None = getattr(self._estimate, field)
        if amount is None:
            return None
        try:
            return evaluate(amount, self._parameters)
        except ExpressionError as error:
            alias = type(self._estimate).model_fields[field].alias or field
            raise _Fault(UnknownNeed(f"spec.resources.estimate.{alias}", str(error))) from error

    def number(self, field: str) -> float:
        """Compute an amount; 0 where it is not set."""
        return self.get(field) or 0.0


class _Fault(Exception):
    """An amount that cannot be computed."""

    def __init__(self, unknown: UnknownNeed) -> None:
        super().__init__(str(unknown))
        self.unknown = unknown


def _estimated(
    estimate: Estimate, amounts: _Amounts, samples: float | None, unknown: UnknownNeeds
) -> Need:
    stored = amounts.number("parameters")
    batch = max(1, round(amounts.number("batch_size")))
    # Steps of one row each would take longer than their work: an unsaid batch says nothing of them.
    says_batch = "batch_size" in estimate.model_fields_set
    seen = amounts.get("samples") if samples is None else samples
    flops = amounts.get("flops")
    if flops is None and seen is not None and stored:
        flops = 6 * stored * seen
    states = states_of(estimate.precision, estimate.optimizer)
    per_parameter = amounts.get("bytes_per_parameter")
    if per_parameter is not None:
        states = replace(states, weights=0.0, gradients=0.0, optimizer=per_parameter)
    host = amounts.get("host_memory")
    if host is None and not stored and amounts.get("device_memory") is None:
        host = parse_quantity(unknown.memory)
    cores = amounts.get("cpu")
    context = amounts.number("context") or 1.0
    device = amounts.get("device_memory")
    return Need(
        parameters=stored,
        counted=stored or None,
        flops=flops,
        steps=math.ceil(seen / (batch * context)) if seen is not None and says_batch else None,
        bytes_per_parameter=states,
        batch=batch,
        bytes_per_row=_rows_of_own(estimate, amounts),
        largest_unit=amounts.number("largest_unit"),
        shared_bytes=amounts.number("shared_memory"),
        cores=parse_quantity(unknown.cpu) if cores is None else cores,
        whole_device_bytes=device,
        whole_host_bytes=host,
        abilities=frozenset(estimate.honours),
        runs_on_cpu=device is None,
        family="container",
    )


def _rows_of_own(estimate: Estimate, amounts: _Amounts) -> BytesPerRow:
    width_bytes = 4.0 if estimate.precision == "fp32" else 2.0
    context, vocabulary = amounts.number("context"), amounts.number("vocabulary")
    outputs = 0.0 if estimate.fused_cross_entropy else logit_bytes(context, vocabulary, width_bytes)
    kept = amounts.get("activation_bytes")
    if kept is not None or estimate.layers is None:
        # How much recomputation would spare is not known here: no less than nothing.
        return BytesPerRow(kept=kept or 0.0, recomputed=kept or 0.0, outputs=outputs)
    model = TransformerShape(
        amounts.number("layers"), amounts.number("width"), amounts.number("heads"), context
    )
    layer = layer_bytes(
        model, keeps_attention=estimate.attention == "plain", precision_bytes=width_bytes
    )
    return BytesPerRow(
        kept=model.layers * layer,
        recomputed=recomputed_bytes(model, width_bytes),
        block=layer,
        outputs=outputs,
    )
