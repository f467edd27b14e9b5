"""The whole experiment before it runs: what its scales cost in all, and whether it may start.

An experiment may start where every scale fits, within the limits of the policy and the budget.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from scaling_operator.api.experiment import ExperimentSpec, FixedResources
from scaling_operator.api.names import ConditionReason
from scaling_operator.api.policy import PolicySpec
from scaling_operator.api.status_sizing import Ledger
from scaling_operator.core.ladder import running_order, scales_of
from scaling_operator.sizing.admission import NOTHING, AdmissionRequest, Capacity, admit, demand_of
from scaling_operator.sizing.allocation import fixed_note, fixed_problem
from scaling_operator.sizing.machines import Choice, NoMachine
from scaling_operator.sizing.scale_plan import ScalePlan, plan_scale, scale_name


@dataclass(frozen=True, slots=True)
class StartCheck:
    """Whether an experiment may start, and why or why not."""

    reason: ConditionReason
    message: str = ""

    @property
    def may_start(self) -> bool:
        """Whether the experiment may start."""
        return self.reason in (ConditionReason.PLANNED, ConditionReason.FIXED_RESOURCES)


@dataclass(frozen=True, slots=True)
class ResourcePlan:
    """All scales in running order, and whether the experiment may start."""

    scales: tuple[ScalePlan, ...]
    start_check: StartCheck

    @property
    def gpu_hours(self) -> float | None:
        """GPU hours of all scales; None where those of a scale are unknown."""
        return _sum_if_known(scale.gpu_hours for scale in self.scales)

    @property
    def cost(self) -> float | None:
        """Cost of all scales; None where that of a scale is unknown."""
        return _sum_if_known(scale.cost for scale in self.scales)


def plan_resources(spec: ExperimentSpec, policy: PolicySpec, trials: int) -> ResourcePlan:
    """Plan the machines of an experiment. `trials` is how many trials each scale gets."""
    scales = tuple(
        plan_scale(spec, policy, scale, trials) for scale in running_order(scales_of(spec))
    )
    return ResourcePlan(scales, check_start(spec, policy, scales))


def _sum_if_known(amounts: Iterable[float | None]) -> float | None:
    """Sum up; None where an amount is unknown."""
    total = 0.0
    for amount in amounts:
        if amount is None:
            return None
        total += amount
    return total


def ledger_of(resource_plan: ResourcePlan) -> Ledger:
    """Write the sums of a plan; nothing is used yet."""
    return Ledger(planned_gpu_hours=resource_plan.gpu_hours, planned_cost=resource_plan.cost)


# --- Whether the experiment may start -------------------------------------------------------------


def check_start(
    spec: ExperimentSpec,
    policy: PolicySpec,
    scales: tuple[ScalePlan, ...],
    *,
    has_started: bool = False,
) -> StartCheck:
    """Check a plan.

    Once trials have started, scales that no longer fit are named in the message, and end trial by
    trial; from then on the budget itself decides.
    """
    if spec.resources.fixed is not None:
        return _check_fixed(spec.resources.fixed, policy, scales)
    unfit = [scale for scale in scales if isinstance(scale.choice, NoMachine)]
    if has_started:
        return StartCheck(ConditionReason.PLANNED, "; ".join(_unfit(unfit)) or _warning(scales))
    if unfit:
        return StartCheck(ConditionReason.NOTHING_FITS, "; ".join(_unfit(unfit)))
    above = next(_above_limits(policy, scales), None)
    if above is not None:
        return StartCheck(ConditionReason.ABOVE_LIMITS, above)
    over = _over_budget(spec, scales)
    if over is not None:
        return StartCheck(ConditionReason.OVER_BUDGET, over)
    return StartCheck(ConditionReason.PLANNED, _warning(scales))


def _check_fixed(
    fixed: FixedResources, policy: PolicySpec, scales: tuple[ScalePlan, ...]
) -> StartCheck:
    problem = fixed_problem(fixed, policy) or next(_above_limits(policy, scales), None)
    if problem is not None:
        return StartCheck(ConditionReason.ABOVE_LIMITS, problem)
    return StartCheck(ConditionReason.FIXED_RESOURCES, fixed_note(fixed, policy))


def _above_limits(policy: PolicySpec, scales: tuple[ScalePlan, ...]) -> Iterator[str]:
    """Name the limits that a single trial of a scale would exceed: it could never start."""
    for scale in scales:
        if scale.allocation is None:
            continue
        alone = AdmissionRequest((0, 0), demand_of(scale.allocation), 0)
        for rejected in admit([alone], Capacity(policy.limits, NOTHING)).rejected:
            where = f"scale {scale.scale.index} ({scale_name(scale.scale)})"
            yield f"{where}: {rejected.message.partition(',')[0]}, one trial needs more"


def _unfit(scales: list[ScalePlan]) -> Iterator[str]:
    for scale in scales[:3]:
        yield f"scale {scale.scale.index} ({scale_name(scale.scale)}): {scale.choice}"
    if len(scales) > 3:  # noqa: PLR2004 - as many as a person reads
        yield f"and {len(scales) - 3} scales more"


def _over_budget(spec: ExperimentSpec, scales: tuple[ScalePlan, ...]) -> str | None:
    """Say by how much the plan exceeds the budget, and which shorter ladder would not."""
    for unit, budget, amounts in (
        ("GPU hours", spec.budget.gpu_hours, [scale.gpu_hours for scale in scales]),
        ("cost", spec.budget.cost, [scale.cost for scale in scales]),
    ):
        planned = _sum_if_known(amounts)
        if budget is None or planned is None or planned <= budget:
            continue
        fitting, spent = 0, 0.0
        for amount in amounts:
            if spent + (amount or 0.0) > budget:
                break
            fitting, spent = fitting + 1, spent + (amount or 0.0)
        return f"planned {unit} {planned:,.4g}, the budget has {budget:,.4g}: " + _largest_ladder(
            scales, fitting, spent
        )
    return None


def _largest_ladder(scales: tuple[ScalePlan, ...], fitting: int, spent: float) -> str:
    if not fitting:
        first = f"not even scale {scales[0].scale.index} ({scale_name(scales[0].scale)}) fits"
        return f"{first}; raise it, or lower trials.max ({scales[0].trials})"
    last = scales[fitting - 1].scale
    return (
        f"the largest ladder that fits has {fitting} of {len(scales)} scales, up to scale "
        f"{last.index} ({scale_name(last)}), with {spent:,.4g}"
    )


def _warning(scales: tuple[ScalePlan, ...]) -> str:
    """Name the first trials that fit nowhere or take too long; nothing where all are well."""
    notes = [scale.note for scale in scales if scale.note]
    if notes:
        return notes[0]
    late = [
        scale
        for scale in scales
        if isinstance(scale.choice, Choice) and not scale.choice.meets_deadline
    ]
    if not late:
        return ""
    hours = late[0].hours or 0.0
    return (
        f"scale {late[0].scale.index} ({scale_name(late[0].scale)}) takes about {hours:,.1f} h a "
        "trial on the fastest machine, longer than trials.timeout"
    )
