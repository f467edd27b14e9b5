"""What a trial of a trainer of one's own needs: as far as its `estimate` says."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from scaling_operator.api.estimate import Estimate
from scaling_operator.api.expressions import Amount, ExpressionError, evaluate
from scaling_operator.api.fields import Scalar
from scaling_operator.api.policy import UnknownNeeds
from scaling_operator.api.quantities import parse_quantity
from scaling_operator.sizing.memory import (
    TransformerShape,
    layer_bytes,
    logit_bytes,
    recomputed_bytes,
    states_of,
)
from scaling_operator.sizing.need import Need, Rows, Unknown


def own_need(
    estimate: Estimate,
    parameters: Mapping[str, Scalar],
    samples: float | None,
    unknown: UnknownNeeds,
) -> Need | Unknown:
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
            raise _Fault(Unknown(f"spec.resources.estimate.{alias}", str(error))) from error

    def number(self, field: str) -> float:
        """Compute an amount; 0 where it is not set."""
        return self.get(field) or 0.0


class _Fault(Exception):
    """An amount that cannot be computed."""

    def __init__(self, unknown: Unknown) -> None:
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
        states=states,
        batch=batch,
        rows=_rows_of_own(estimate, amounts),
        largest_unit=amounts.number("largest_unit"),
        shared_bytes=amounts.number("shared_memory"),
        cores=parse_quantity(unknown.cpu) if cores is None else cores,
        whole_device_bytes=device,
        whole_host_bytes=host,
        abilities=frozenset(estimate.honours),
        runs_on_cpu=device is None,
        family="container",
    )


def _rows_of_own(estimate: Estimate, amounts: _Amounts) -> Rows:
    width_bytes = 4.0 if estimate.precision == "fp32" else 2.0
    context, vocabulary = amounts.number("context"), amounts.number("vocabulary")
    outputs = 0.0 if estimate.fused_cross_entropy else logit_bytes(context, vocabulary, width_bytes)
    kept = amounts.get("activation_bytes")
    if kept is not None or estimate.layers is None:
        # How much recomputation would spare is not known here: no less than nothing.
        return Rows(kept=kept or 0.0, recomputed=kept or 0.0, outputs=outputs)
    model = TransformerShape(
        amounts.number("layers"), amounts.number("width"), amounts.number("heads"), context
    )
    layer = layer_bytes(
        model, keeps_attention=estimate.attention == "plain", precision_bytes=width_bytes
    )
    return Rows(
        kept=model.layers * layer,
        recomputed=recomputed_bytes(model, width_bytes),
        block=layer,
        outputs=outputs,
    )
