"""A single training run that is not a trial: its machine, its hours, its cost.

The run is sized by the formulas that size the trials of an experiment. Where the policy lacks a
figure, the result stays unknown, and `message` names the figure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.policy import PolicySpec
from scaling_operator.sizing.estimates import price_per_hour
from scaling_operator.sizing.machines import Choice, Constraints, NoMachine, choose
from scaling_operator.sizing.need import Need, UnknownNeed
from scaling_operator.sizing.observations import NONE_OBSERVED, Observations
from scaling_operator.sizing.scale_plan import constraints_of

NO_SCALE = -1
"""What the trials of a single scale have taught does not hold for a run beyond the ladder."""


@dataclass(frozen=True, slots=True)
class KnownMachines:
    """The machines of a policy, and what trials have taught of these machines."""

    policy: PolicySpec
    observations: Observations = NONE_OBSERVED


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What one run gets and takes; None is unknown, and then `reason` and `message` say why."""

    shape: str | None = None
    count: int | None = None
    hours: float | None = None
    gpu_hours: float | None = None
    cost: float | None = None
    reason: str | None = None
    message: str = ""


def run_constraints(spec: ExperimentSpec, machines: KnownMachines) -> Constraints:
    """Say what binds the choice: machines within a trial's timeout are preferred, not required."""
    constraints = constraints_of(spec, machines.policy, NO_SCALE, machines.observations)
    return replace(constraints, refuses_hopeless=False)


def plan_run(need: Need | UnknownNeed, constraints: Constraints) -> RunPlan:
    """Choose the machine of one run."""
    if isinstance(need, UnknownNeed):
        return RunPlan(reason="UnknownNeed", message=str(need))
    choice = choose(need, constraints)
    if isinstance(choice, NoMachine):
        return RunPlan(reason="NothingFits", message=_last_reason(choice))
    return _planned(need, choice)


def _last_reason(no_machine: NoMachine) -> str:
    """Give the reason of the last shape: a policy mostly names its largest machines last."""
    *others, last = no_machine.reasons
    if not others:
        return last
    return f"{last}; nor does {'the other shape' if len(others) == 1 else 'any other shape'} do"


def _planned(need: Need, choice: Choice) -> RunPlan:
    shape, hours = choice.shape, choice.hours
    plan = RunPlan(shape.name, choice.count)
    if need.flops is None:
        return replace(plan, reason="UnknownFlops", message="nothing tells the FLOPs of the run")
    if hours is None:
        message = f"the policy gives shape {shape.name} no flops: hours and cost are unknown"
        return replace(plan, reason="NoSpeed", message=message)
    plan = replace(plan, hours=hours, gpu_hours=hours * choice.count)
    if price_per_hour(need, shape, choice.count) == 0:
        message = f"the policy gives shape {shape.name} no pricePerHour: the cost is unknown"
        return replace(plan, reason="NoPrices", message=message)
    return replace(plan, cost=choice.cost)
