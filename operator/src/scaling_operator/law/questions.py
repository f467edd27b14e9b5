"""From `spec.scaling.targets` to the questions that a law answers, and why some are not asked."""

from __future__ import annotations

from dataclasses import dataclass

from scaling_operator.api.scaling import Target
from scaling_operator.core.fit_types import FitBasis
from scaling_operator.law import optimum
from scaling_operator.law.experiment_points import COUNTED, Prepared


@dataclass(frozen=True, slots=True)
class Unasked:
    """Why a target cannot even be asked."""

    reason: str
    message: str


def question_of(target: Target, prepared: Prepared, basis: FitBasis) -> optimum.Target | Unasked:
    """Translate a target."""
    served = target.inference_tokens or 0.0
    needs_flops = target.flops is not None or target.cost is not None or served > 0
    if needs_flops and prepared.size != COUNTED and prepared.points.C is None:
        message = (
            f"the trainer counts neither parameters nor FLOPs, and {prepared.size} says nothing of "
            "compute: report modelParameters"
        )
        return Unasked("UnknownFlops", message)
    if target.cost is not None:
        if basis.machines is None and target.cost not in basis.bought:
            message = "prices and speeds of machines come from a ResourcePolicy; none is at hand"
            return Unasked("NoPrices", message)
        return optimum.Target("cost", target.cost)
    if target.parameters is not None:
        return optimum.Target("parameters", target.parameters)
    if target.flops is not None:
        return optimum.Target("flops", target.flops, served)
    # Tokens to serve alone: as good as the best that was seen, at the least cost.
    best = float(prepared.points.L.min()) if len(prepared.points) else 1.0
    return optimum.Target("loss", target.loss or best, served)
