"""The whole experiment before it runs: what its scales need, get and cost."""

from __future__ import annotations

from dataclasses import dataclass

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.policy import PolicySpec
from scaling_operator.api.status_sizing import Ledger
from scaling_operator.core.ladder import running_order, scales_of
from scaling_operator.sizing.scale_plan import ScalePlan, plan_scale, sum_if_known
from scaling_operator.sizing.start_check import StartCheck, check_start


@dataclass(frozen=True, slots=True)
class ResourcePlan:
    """All scales in running order, and whether the experiment may start."""

    scales: tuple[ScalePlan, ...]
    start_check: StartCheck

    @property
    def gpu_hours(self) -> float | None:
        """GPU hours of all scales; None where those of a scale are unknown."""
        return sum_if_known(scale.gpu_hours for scale in self.scales)

    @property
    def cost(self) -> float | None:
        """Cost of all scales; None where that of a scale is unknown."""
        return sum_if_known(scale.cost for scale in self.scales)


def plan_resources(spec: ExperimentSpec, policy: PolicySpec, trials: int) -> ResourcePlan:
    """Plan the machines of an experiment. `trials` is how many trials each scale gets."""
    scales = tuple(
        plan_scale(spec, policy, scale, trials) for scale in running_order(scales_of(spec))
    )
    return ResourcePlan(scales, check_start(spec, policy, scales))


def ledger_of(resource_plan: ResourcePlan) -> Ledger:
    """Write the sums of a plan; nothing is used yet."""
    return Ledger(planned_gpu_hours=resource_plan.gpu_hours, planned_cost=resource_plan.cost)
