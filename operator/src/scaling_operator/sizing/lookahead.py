"""The whole experiment before it runs: what each scale needs, gets and costs.

A scale is represented by its most demanding trial: at each searched parameter the value that needs
most memory. So hours and cost are upper bounds; pruning and small values cost less. Where that
trial fits nowhere the least demanding one stands for the scale: the search space is too wide.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.fields import Scalar
from scaling_operator.api.policy import PolicySpec
from scaling_operator.api.search import CategoricalParameter, Parameter
from scaling_operator.core.ladder import Scale, running_order, samples_of, scales_of
from scaling_operator.sizing.allocation import allocation_of, fixed_allocation
from scaling_operator.sizing.choice import Choice, NoMachine, choose
from scaling_operator.sizing.judgement import judge, named
from scaling_operator.sizing.knowledge import Calibration, Observations, estimates_of
from scaling_operator.sizing.need import Need, Unknown
from scaling_operator.sizing.needs import need_of
from scaling_operator.sizing.offers import Constraints
from scaling_operator.sizing.outlook import ResourcePlan, ScalePlan
from scaling_operator.sizing.parts import device_parts, host_parts
from scaling_trainer.contract import Execution

_TRIED_CHOICES = 10


@dataclass(frozen=True, slots=True)
class Lessons:
    """What earlier trials have taught."""

    knowledge: Observations = field(default_factory=Observations)
    calibration: Calibration = field(default_factory=Calibration)


def plan_resources(
    spec: ExperimentSpec, policy: PolicySpec, trials: int, lessons: Lessons | None = None
) -> ResourcePlan:
    """Plan the machines of an experiment. `trials` is how many each scale gets."""
    scales = running_order(scales_of(spec))
    looked = tuple(
        plan_scale(spec, policy, scale, trials, lessons or Lessons()) for scale in scales
    )
    return ResourcePlan(looked, judge(spec, policy, looked))


def plan_scale(
    spec: ExperimentSpec, policy: PolicySpec, scale: Scale, trials: int, lessons: Lessons
) -> ScalePlan:
    """Plan the machine of one scale."""
    constraints = constraints_of(spec, policy, scale.index, lessons)
    need = representative(spec, policy, scale)
    if spec.resources.fixed is not None:
        return ScalePlan(scale, need, None, fixed_allocation(spec.resources.fixed), trials)
    if isinstance(need, Unknown):
        return ScalePlan(scale, need, NoMachine((str(need),)), None, trials)
    found, note = choose(need, constraints), ""
    if isinstance(found, NoMachine):
        least = representative(spec, policy, scale, most=False)
        smaller = choose(least, constraints) if isinstance(least, Need) else found
        if isinstance(least, Need) and isinstance(smaller, Choice):
            note = f"scale {scale.index} ({named(scale)}): some trials of the search fit nowhere"
            note, need, found = f"{note} and end as Infeasible: {found}", least, smaller
    allocation = allocation_of(found, need.cores) if isinstance(found, Choice) else None
    return ScalePlan(scale, need, found, allocation, trials, note)


def constraints_of(
    spec: ExperimentSpec, policy: PolicySpec, scale: int, lessons: Lessons
) -> Constraints:
    """Say what binds the choices of a scale."""
    return Constraints(
        policy=policy,
        estimates=estimates_of(lessons.knowledge, lessons.calibration, scale, policy),
        deadline_seconds=spec.trials.timeout.total_seconds(),
        is_ladder=spec.scaling is not None,
    )


# --- The trials that stand for a scale -----------------------------------------------------------


def representative(
    spec: ExperimentSpec, policy: PolicySpec, scale: Scale, *, most: bool = True
) -> Need | Unknown:
    """Give the need of the trial of a scale that needs most memory, or least."""
    point: dict[str, Scalar] = dict(scale.parameters)
    best = _need(spec, policy, scale, point)
    for name, parameter in spec.search.parameters.items():
        if parameter.when:  # what goes with one choice only may not go with the others
            continue
        for value in _ends(parameter):
            tried = {**point, name: value}
            need = _need(spec, policy, scale, tried)
            if (
                isinstance(best, Unknown)
                or name not in point
                or (isinstance(need, Need) and (_size(need) > _size(best)) is most)
            ):
                point, best = tried, need
    return best


def _need(
    spec: ExperimentSpec, policy: PolicySpec, scale: Scale, point: Mapping[str, Scalar]
) -> Need | Unknown:
    try:
        samples = samples_of(spec, scale, point)
    except ValueError as error:
        return Unknown("spec.scaling.budgets", str(error))
    return need_of(spec, point, samples, policy.unknown)


def _ends(parameter: Parameter) -> tuple[Scalar, ...]:
    if isinstance(parameter, CategoricalParameter):
        return parameter.choices[:_TRIED_CHOICES]
    return parameter.low, parameter.high


def _size(need: Need) -> tuple[float, float, float]:
    plain = Execution()
    parts = device_parts(need, plain)
    host = host_parts(need, plain, on_device=False)
    # An evaluation may hide what the batch adds, but not on a machine that takes it in pieces.
    training = parts.states + parts.activations + parts.outputs
    return parts.total + host.total, training, need.flops or 0.0
