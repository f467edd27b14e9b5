"""Machines for anybody's runs: of their trainer nothing is known but N, D and C.

A run is reckoned as a transformer trained in bf16 with Adam: 16 bytes for each parameter, spread
over as many accelerators as need be; activations are not counted. A step takes 2^20 tokens.
"""

from __future__ import annotations

from typing import Any

from scaling_operator.api.estimate import Estimate
from scaling_operator.api.policy import PolicySpec
from scaling_operator.law.cost_solver import Plan
from scaling_operator.law.results import FitReport
from scaling_operator.sizing.estimates import first_estimates
from scaling_operator.sizing.machines import Constraints
from scaling_operator.sizing.need import own_need
from scaling_operator.sizing.run_plan import RunPlan, plan_run

LONGEST_SECONDS = 30 * 86_400
"""Machines that are done within a month are preferred, however cheap a slower one is."""


def planner(policy: PolicySpec) -> Plan:
    """Give what plans a run by a policy."""
    constraints = Constraints(
        policy=policy,
        estimates=first_estimates(policy.first_margin_percent),
        deadline_seconds=LONGEST_SECONDS,
        is_ladder=True,
        refuses_hopeless=False,
    )

    def plan(parameters: float, samples: float | None, flops: float | None) -> RunPlan:
        estimate = Estimate(
            parameters=parameters,
            samples=samples,
            flops=flops,
            precision="bf16",
            batch_size=1024,
            context=1024,
            honours=("microBatch", "recompute", "sharding"),
        )
        return plan_run(own_need(estimate, {}, None, policy.unknown), constraints)

    return plan


def plans_of(report: FitReport, plan: Plan | None) -> tuple[RunPlan | None, ...]:
    """Plan every recommendation; None for each where there is no policy."""
    return tuple(
        None if plan is None else plan(each.parameters, each.tokens, each.flops)
        for each in report.recommendation
    )


def machine_keys(plan: RunPlan | None) -> dict[str, Any]:
    """Write a plan as keys of a recommendation's JSON object; nothing without a policy."""
    if plan is None:
        return {}
    return {
        "shape": plan.shape,
        "count": plan.count,
        "hours": plan.hours,
        "gpuHours": plan.gpu_hours,
        "cost": plan.cost,
        "machineReason": plan.reason,
        "machineMessage": plan.message or None,
    }
