"""One scale before it runs: what it needs, gets and costs.

A scale is represented by its most demanding trial: at each searched parameter the value that needs
most memory. So hours and cost are upper bounds; pruning and small values cost less. Where the most
demanding trial fits nowhere, the search space is too wide, and the least demanding trial represents
the scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.fields import Scalar
from scaling_operator.api.policy import PolicySpec
from scaling_operator.api.search import CategoricalParameter, Parameter
from scaling_operator.api.status_sizing import ScaleSizing
from scaling_operator.core.ladder import Scale, samples_of
from scaling_operator.sizing.allocation import (
    Allocation,
    allocation_of,
    fixed_allocation,
    to_status,
)
from scaling_operator.sizing.machines import Choice, Constraints, NoMachine, choose
from scaling_operator.sizing.memory import device_parts, host_parts
from scaling_operator.sizing.need import Need, UnknownNeed, need_of
from scaling_operator.sizing.observations import (
    NONE_OBSERVED,
    Observations,
    estimates_of,
    peak_bytes_at,
)
from scaling_trainer.contract import Execution
from scaling_trainer.foreign_text import as_message


@dataclass(frozen=True, slots=True)
class ScalePlan:
    """One scale: the need of its most demanding trial, the machine for it, and all trials' cost.

    `choice` is the machine, or why no machine fits; None where the experiment fixes the machine.
    `note` says that some trials of the search space get no machine, where others do.
    """

    scale: Scale
    need: Need | UnknownNeed
    choice: Choice | NoMachine | None
    allocation: Allocation | None
    trials: int
    note: str = ""

    @property
    def hours(self) -> float | None:
        """Hours of one trial; None where unknown."""
        return self.choice.hours if isinstance(self.choice, Choice) else None

    @property
    def gpu_hours(self) -> float | None:
        """GPU hours of all trials of the scale; None where unknown."""
        if isinstance(self.choice, Choice) and self.choice.count == 0:
            return 0.0
        if self.hours is None or self.allocation is None:
            return None
        return self.hours * self.allocation.count * self.trials

    @property
    def cost(self) -> float | None:
        """Cost of all trials of the scale; None where unknown."""
        if not isinstance(self.choice, Choice) or self.choice.cost is None:
            return None
        return self.choice.cost * self.trials


_TRIED_CHOICES = 10


def plan_scale(
    spec: ExperimentSpec,
    policy: PolicySpec,
    scale: Scale,
    trials: int,
    observations: Observations = NONE_OBSERVED,
) -> ScalePlan:
    """Plan the machine of one scale. `trials` is how many trials the scale gets."""
    need = representative(spec, policy, scale)
    if spec.resources.fixed is not None:
        return ScalePlan(scale, need, None, fixed_allocation(spec.resources.fixed), trials)
    if isinstance(need, UnknownNeed):
        return ScalePlan(scale, need, NoMachine((str(need),)), None, trials)
    constraints = constraints_of(spec, policy, scale.index, observations)
    choice = choose(need, constraints)
    if isinstance(choice, Choice):
        return ScalePlan(scale, need, choice, allocation_of(choice, need.cores), trials)
    least = representative(spec, policy, scale, most=False)
    smaller = choose(least, constraints) if isinstance(least, Need) else choice
    if isinstance(least, UnknownNeed) or isinstance(smaller, NoMachine):
        return ScalePlan(scale, need, choice, None, trials)
    note = (
        f"scale {scale.index} ({scale_name(scale)}): some trials of the search fit nowhere and end "
        f"as Infeasible: {choice}"
    )
    return ScalePlan(scale, least, smaller, allocation_of(smaller, least.cores), trials, note)


def constraints_of(
    spec: ExperimentSpec, policy: PolicySpec, scale: int, observations: Observations
) -> Constraints:
    """Say what binds the choices of a scale."""
    return Constraints(
        policy=policy,
        estimates=estimates_of(observations, scale, policy),
        deadline_seconds=spec.trials.timeout.total_seconds(),
        is_ladder=spec.scaling is not None,
    )


# --- The trial that represents a scale -----------------------------------------------------------


def representative(
    spec: ExperimentSpec, policy: PolicySpec, scale: Scale, *, most: bool = True
) -> Need | UnknownNeed:
    """Give the need of the trial of a scale that needs most memory; with `most` false, least."""
    point: dict[str, Scalar] = dict(scale.parameters)
    best = _need(spec, policy, scale, point)
    for name, parameter in spec.search.parameters.items():
        if parameter.when:  # a parameter of one choice alone may be invalid with the other choices
            continue
        for value in _extremes(parameter):
            candidate = {**point, name: value}
            need = _need(spec, policy, scale, candidate)
            if (
                isinstance(best, UnknownNeed)
                or name not in point
                or (isinstance(need, Need) and (_size(need) > _size(best)) is most)
            ):
                point, best = candidate, need
    return best


def _need(
    spec: ExperimentSpec, policy: PolicySpec, scale: Scale, point: Mapping[str, Scalar]
) -> Need | UnknownNeed:
    try:
        samples = samples_of(spec, scale, point)
    except ValueError as error:
        return UnknownNeed("spec.scaling.budgets", str(error))
    return need_of(spec, point, samples, policy.unknown)


def _extremes(parameter: Parameter) -> tuple[Scalar, ...]:
    if isinstance(parameter, CategoricalParameter):
        return parameter.choices[:_TRIED_CHOICES]
    return parameter.low, parameter.high


def _size(need: Need) -> tuple[float, float, float]:
    """Rate a need by its memory, then by the memory of training alone, then by its FLOPs."""
    plain = Execution()
    device = device_parts(need, plain)
    host = host_parts(need, plain, on_device=False)
    # The memory of an evaluation may hide that of a larger batch; it does not on a machine that
    # takes the batch in pieces.
    training = device.states + device.activations + device.outputs
    return device.total + host.total, training, need.flops or 0.0


def scale_name(scale: Scale) -> str:
    """Name a scale by the parameters that the scale sets."""
    words = [
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in scale.parameters.items()
    ]
    words += [f"D {scale.samples:.3g}"] if scale.samples is not None else []
    words += [f"C {scale.budget_flops:.3g}"] if scale.budget_flops is not None else []
    return ", ".join(words) or "the only one"


# --- The scale in a status, and in the JSON of the command line ----------------------------------


def sizing_of(plan: ScalePlan, observations: Observations = NONE_OBSERVED) -> ScaleSizing:
    """Write one scale for the status."""
    device, host = peak_bytes_at(observations, plan.scale.index)
    need = plan.need if isinstance(plan.need, Need) else Need()
    sizing = ScaleSizing(
        parameters=need.counted,
        flops=need.flops,
        measured_device_bytes=device,
        measured_host_bytes=host,
        message=as_message(str(plan.choice)) if isinstance(plan.choice, NoMachine) else "",
    )
    if plan.allocation is None:
        return sizing
    resources = to_status(plan.allocation)
    sizing = sizing.model_copy(
        update={
            "shape": resources.shape,
            "count": resources.count,
            "execution": resources.execution,
            "planned_hours": plan.hours,
            "planned_gpu_hours": plan.gpu_hours,
            "planned_cost": plan.cost,
        }
    )
    if not isinstance(plan.choice, Choice):
        return sizing
    return sizing.model_copy(
        update={
            "estimated_device_bytes": plan.choice.device_bytes or None,
            "estimated_host_bytes": plan.choice.host_bytes,
            "margin_percent": 100 * plan.choice.margin,
        }
    )
