"""What a trial of an experiment needs, whoever trains it."""

from __future__ import annotations

from collections.abc import Mapping

from scaling_operator.api.estimate import Estimate
from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.fields import Scalar
from scaling_operator.api.policy import UnknownNeeds
from scaling_operator.sizing.need import Need, Unknown
from scaling_operator.sizing.need_builtin import built_in_need
from scaling_operator.sizing.need_own import own_need


def need_of(
    spec: ExperimentSpec,
    parameters: Mapping[str, Scalar],
    samples: float | None,
    unknown: UnknownNeeds,
) -> Need | Unknown:
    """Give what one trial needs. `samples` is D where the design sets it; `unknown` helps out."""
    if spec.trainer.built_in is not None:
        return built_in_need(spec.trainer.built_in, parameters, samples)
    return own_need(spec.resources.estimate or Estimate(), parameters, samples, unknown)
