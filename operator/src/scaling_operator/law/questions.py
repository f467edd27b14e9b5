"""From `spec.scaling.targets` to the questions that a law answers, and why some are not asked."""

from __future__ import annotations

from dataclasses import dataclass

from scaling_operator.api.scaling import Target
from scaling_operator.core.fit_types import FitInput
from scaling_operator.law import optimum
from scaling_operator.law.experiment_points import COUNTED, ExperimentPoints


@dataclass(frozen=True, slots=True)
class NoQuestion:
    """Why a target cannot even be asked."""

    reason: str
    message: str


def question_of(
    target: Target, prepared: ExperimentPoints, fit_input: FitInput
) -> optimum.Question | NoQuestion:
    """Translate a target."""
    served = target.inference_tokens or 0.0
    needs_flops = target.flops is not None or target.cost is not None or served > 0
    if needs_flops and prepared.size != COUNTED and prepared.points.C is None:
        message = (
            f"the trainer counts neither parameters nor FLOPs, and {prepared.size} says nothing of "
            "compute: report modelParameters"
        )
        return NoQuestion("UnknownFlops", message)
    if target.cost is not None:
        if fit_input.machines is None and target.cost not in fit_input.bought:
            message = "prices and speeds of machines come from a ResourcePolicy; none is at hand"
            return NoQuestion("NoPrices", message)
        return optimum.Question("cost", target.cost)
    if target.parameters is not None:
        return optimum.Question("parameters", target.parameters)
    if target.flops is not None:
        return optimum.Question("flops", target.flops, served)
    # Tokens to serve alone: as good as the best that was seen, at the least cost.
    best = float(prepared.points.L.min()) if len(prepared.points) else 1.0
    return optimum.Question("loss", target.loss or best, served)
