"""Machines for anybody's runs: of their trainer nothing is known but N, D and C.

A run is reckoned as a transformer trained in bf16 with Adam: 16 bytes for each parameter, spread
over as many accelerators as need be; activations are not counted. A step takes 2^20 tokens.
"""

from __future__ import annotations

from scaling_operator.api.estimate import Estimate
from scaling_operator.api.policy import PolicySpec
from scaling_operator.law.recommended_runs import Plan
from scaling_operator.law.results import FitReport
from scaling_operator.sizing.belief import first_estimates
from scaling_operator.sizing.need_own import own_need
from scaling_operator.sizing.offers import Constraints
from scaling_operator.sizing.one_run import RunPlan, plan_run

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
