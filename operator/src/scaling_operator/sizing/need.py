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
from scaling_operator.api.quantities import GIBIBYTE, parse_quantity
from scaling_operator.sizing.memory_formulas import (
    BytesPerParameter,
    TransformerShape,
    bytes_per_parameter,
    layer_bytes,
    logit_bytes,
    recomputed_bytes,
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

NO_BYTES_PER_PARAMETER = BytesPerParameter()


@dataclass(frozen=True, slots=True)
class BytesPerRow:
    """Bytes that each row of a micro-batch adds on an accelerator.

    `kept` lives from the forward to the backward pass. With recomputation `recomputed` lives as
    long instead, and `block` lives while a block is computed again. `outputs` are the logits and
    what the loss makes of the logits. `passing` lives for a moment.
    """

    kept: float = 0.0
    recomputed: float = 0.0
    block: float = 0.0
    outputs: float = 0.0
    passing: float = 0.0


@dataclass(frozen=True, slots=True)
class Need:
    """One trial before any machine is chosen.

    `parameters` counts the stored parameters, `counted` is N by the convention of the laws. `flops`
    is C of the whole trial and `steps` the number of its steps; None where nothing tells.
    `whole_device_bytes` and `whole_host_bytes` replace the sums of all parts. `evaluated_bytes`
    live during an evaluation, beside weights, gradients and optimizer.
    """

    parameters: float = 0.0
    counted: float | None = None
    flops: float | None = None
    steps: float | None = None
    bytes_per_parameter: BytesPerParameter = NO_BYTES_PER_PARAMETER
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
    """Give what one trial needs, whoever trains it.

    `samples` is D where the design sets it. `unknown` says what to assume where no estimate does.
    """
    if spec.trainer.built_in is not None:
        return built_in_need(spec.trainer.built_in, parameters, samples)
    return own_need(spec.resources.estimate or Estimate(), parameters, samples, unknown)


# --- The built-in trainer ------------------------------------------------------------------------

# A table of a million rows and 256 columns, or an image folder of 80,000 small pictures.
UNREAD_DATA_BYTES = 1.0 * GIBIBYTE
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
        # The columns of a file are known when the file is read. Until then they are guessed large.
        return replace(_need_of_model(config, _assumed_dimensions(config), samples), counted=None)
    return _need_of_model(config, dimensions, samples)


def _assumed_dimensions(config: BuiltIn) -> Dimensions:
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


def _need_of_model(config: BuiltIn, dimensions: Dimensions, samples: float | None) -> Need:
    model = config.model.model_dump(mode="json")
    counts, memory = count(model, dimensions), footprint(model, dimensions)
    data_rows = _data_rows(config)
    row_length = config.model.context if isinstance(config.model, Transformer) else 1
    seen = _samples_of_epochs(config, data_rows, row_length) if samples is None else samples
    return Need(
        parameters=float(memory.stored_parameters),
        counted=float(counts.parameters),
        flops=None if seen is None else counts.flops_per_sample * seen,
        steps=None if seen is None else math.ceil(seen / (config.batch_size * row_length)),
        bytes_per_parameter=_bytes_per_parameter(config),
        batch=config.batch_size,
        bytes_per_row=BytesPerRow(
            kept=memory.kept_bytes,
            recomputed=memory.recomputed_bytes or 0.0,
            block=memory.block_bytes,
            outputs=memory.output_bytes,
            passing=memory.passing_bytes,
        ),
        evaluated_bytes=memory.evaluated_bytes
        * (
            memory.evaluated_rows
            if data_rows is None
            else min(memory.evaluated_rows, data_rows / row_length)
        ),
        data_bytes=_data_bytes(data_rows, dimensions),
        cores=float(config.threads),
        abilities=_PLAIN if memory.recomputed_bytes is None else _RECOMPUTING,
    )


def _bytes_per_parameter(config: BuiltIn) -> BytesPerParameter:
    """Give the bytes per parameter; early stopping keeps the best weights beside the current."""
    training = bytes_per_parameter("fp32", _OPTIMIZERS[config.optimizer.name])
    if config.early_stopping is None:
        return training
    return replace(training, weights=2 * training.weights)


def _data_rows(config: BuiltIn) -> float | None:
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


def _samples_of_epochs(config: BuiltIn, data_rows: float | None, row_length: int) -> float | None:
    """Give D by the epochs: whole rows of the training part; None where only reading tells."""
    if data_rows is None:
        return None
    share = 1 - config.dataset.validation - config.dataset.test
    return config.epochs * max(1, math.floor(data_rows * share / row_length)) * row_length


def _data_bytes(data_rows: float | None, dimensions: Dimensions) -> float:
    if data_rows is None:
        return UNREAD_DATA_BYTES
    return data_rows * (8 if dimensions.kind == "tokens" else 4 * (dimensions.inputs + 2))


# --- A trainer of one's own ----------------------------------------------------------------------


def own_need(
    estimate: Estimate,
    parameters: Mapping[str, Scalar],
    samples: float | None,
    unknown: UnknownNeeds,
) -> Need | UnknownNeed:
    """Give what one trial needs; amounts that the estimate leaves out count as 0."""
    amounts = _Amounts(estimate, parameters)
    try:
        return _estimated_need(estimate, amounts, samples, unknown)
    except _CannotCompute as error:
        return error.unknown


class _Amounts:
    """The amounts of an estimate for one trial."""

    def __init__(self, estimate: Estimate, parameters: Mapping[str, Scalar]) -> None:
        self._estimate, self._parameters = estimate, parameters

    def get(self, field: str) -> float | None:
        """Compute an amount; None where the estimate leaves it out. Raises _CannotCompute."""
        amount: Amount | None = getattr(self._estimate, field)
        if amount is None:
            return None
        try:
            return evaluate(amount, self._parameters)
        except ExpressionError as error:
            alias = type(self._estimate).model_fields[field].alias or field
            raise _CannotCompute(
                UnknownNeed(f"spec.resources.estimate.{alias}", str(error))
            ) from error

    def number(self, field: str) -> float:
        """Compute an amount; 0 where the estimate leaves it out."""
        return self.get(field) or 0.0


class _CannotCompute(Exception):
    """An amount that cannot be computed."""

    def __init__(self, unknown: UnknownNeed) -> None:
        super().__init__(str(unknown))
        self.unknown = unknown


def _estimated_need(
    estimate: Estimate, amounts: _Amounts, samples: float | None, unknown: UnknownNeeds
) -> Need:
    stored = amounts.number("parameters")
    batch = max(1, round(amounts.number("batch_size")))
    # Steps of one row each would take longer than the work of the trial: without a batch in the
    # estimate nothing tells the number of steps.
    says_batch = "batch_size" in estimate.model_fields_set
    seen = amounts.get("samples") if samples is None else samples
    flops = amounts.get("flops")
    if flops is None and seen is not None and stored:
        flops = 6 * stored * seen
    device_memory, host_memory = amounts.get("device_memory"), amounts.get("host_memory")
    if host_memory is None and not stored and device_memory is None:
        host_memory = parse_quantity(unknown.memory)
    cores = amounts.get("cpu")
    row_length = amounts.number("context") or 1.0
    return Need(
        parameters=stored,
        counted=stored or None,
        flops=flops,
        steps=math.ceil(seen / (batch * row_length)) if seen is not None and says_batch else None,
        bytes_per_parameter=_estimated_bytes_per_parameter(estimate, amounts),
        batch=batch,
        bytes_per_row=_estimated_bytes_per_row(estimate, amounts),
        largest_unit=amounts.number("largest_unit"),
        shared_bytes=amounts.number("shared_memory"),
        cores=parse_quantity(unknown.cpu) if cores is None else cores,
        whole_device_bytes=device_memory,
        whole_host_bytes=host_memory,
        abilities=frozenset(estimate.honours),
        runs_on_cpu=device_memory is None,
    )


def _estimated_bytes_per_parameter(estimate: Estimate, amounts: _Amounts) -> BytesPerParameter:
    whole = amounts.get("bytes_per_parameter")
    if whole is not None:
        return BytesPerParameter(optimizer=whole)
    return bytes_per_parameter(estimate.precision, estimate.optimizer)


def _estimated_bytes_per_row(estimate: Estimate, amounts: _Amounts) -> BytesPerRow:
    precision_bytes = 4.0 if estimate.precision == "fp32" else 2.0
    context, vocabulary = amounts.number("context"), amounts.number("vocabulary")
    logits = logit_bytes(context, vocabulary, precision_bytes)
    outputs = 0.0 if estimate.fused_cross_entropy else logits
    kept = amounts.get("activation_bytes")
    if kept is not None or estimate.layers is None:
        # How much recomputation would save is unknown here; it is taken to save nothing.
        return BytesPerRow(kept=kept or 0.0, recomputed=kept or 0.0, outputs=outputs)
    model = TransformerShape(
        layers=amounts.number("layers"),
        width=amounts.number("width"),
        heads=amounts.number("heads"),
        context=context,
    )
    layer = layer_bytes(
        model, keeps_attention=estimate.attention == "plain", precision_bytes=precision_bytes
    )
    return BytesPerRow(
        kept=model.layers * layer,
        recomputed=recomputed_bytes(model, precision_bytes),
        block=layer,
        outputs=outputs,
    )
