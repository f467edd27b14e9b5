"""How many samples a trial is to train for, where the design of the experiment sets it."""

from __future__ import annotations

from collections.abc import Mapping

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.fields import Scalar
from scaling_operator.core.ladder import Scale
from scaling_trainer.config.builtin import with_parameters
from scaling_trainer.counting import count, dimensions_of


def samples_of(
    spec: ExperimentSpec, scale: Scale, parameters: Mapping[str, Scalar]
) -> float | None:
    """Give D of one trial: the grid's, or the budget over the counted FLOPs of a sample.

    A sample is a row, for text a token. None where the trainer's own `epochs` decide. Raises
    ValueError for a budget whose trainer cannot be counted; validation refuses it before.
    """
    if scale.budget_flops is None:
        return scale.samples
    if spec.trainer.built_in is None:
        message = "design isoflop needs the built-in trainer: its FLOPs per sample can be counted"
        raise ValueError(message)
    config = with_parameters(spec.trainer.built_in, parameters)
    dimensions = dimensions_of(config.dataset.model_dump(mode="json"))
    if dimensions is None:
        message = f"design isoflop: the shape of dataset {config.dataset.name} is not known"
        raise ValueError(message)
    flops = count(config.model.model_dump(mode="json"), dimensions).flops_per_sample
    return max(1.0, float(round(scale.budget_flops / flops)))
