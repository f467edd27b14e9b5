"""One scale before it runs: what it needs, gets and costs.

A scale is represented by its most demanding trial: at each searched parameter the value that needs
most memory. So hours and cost are upper bounds; pruning and small values cost less. Where that
trial fits nowhere the least demanding one stands for the scale: the search space is too wide.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.fields import Scalar
from scaling_operator.api.policy import PolicySpec
from scaling_operator.api.search import CategoricalParameter, Parameter
from scaling_operator.api.status_sizing import ScaleSizing
from scaling_operator.core.ladder import Scale
from scaling_operator.core.samples import samples_of
from scaling_operator.sizing.allocation import (
    Allocation,
    allocation_of,
    fixed_allocation,
    to_status,
)
from scaling_operator.sizing.machines import Choice, Constraints, NoMachine, choose
from scaling_operator.sizing.memory import device_parts, host_parts
from scaling_operator.sizing.need import Need, UnknownNeed, need_of
from scaling_operator.sizing.observations import Lessons, Observations, estimates_of, peak_bytes_at
from scaling_trainer.contract import Execution
from scaling_trainer.foreign_text import as_message


@dataclass(frozen=True, slots=True)
class ScalePlan:
    """One scale: its most demanding trial, the machine for it, and all its trials' cost.

    `found` says which machine, or why there is none; None where the experiment fixes it. `note`
    says which trials of the search space get none, where others do.
    """

    scale: Scale
    need: Need | UnknownNeed
    choice: Choice | NoMachine | None
    allocation: Allocation | None
    trials: int
    note: str = ""

    @property
    def hours(self) -> float | None:
        """Hours of one trial; None where they are not known."""
        return self.choice.hours if isinstance(self.choice, Choice) else None

    @property
    def gpu_hours(self) -> float | None:
        """GPU hours of all its trials."""
        if isinstance(self.choice, Choice) and self.choice.count == 0:
            return 0.0
        if self.hours is None or self.allocation is None:
            return None
        return self.hours * self.allocation.count * self.trials

    @property
    def cost(self) -> float | None:
        """Cost of all its trials."""
        if not isinstance(self.choice, Choice) or self.choice.cost is None:
            return None
        return self.choice.cost * self.trials


_TRIED_CHOICES = 10


def plan_scale(
    spec: ExperimentSpec, policy: PolicySpec, scale: Scale, trials: int, lessons: Lessons
) -> ScalePlan:
    """Plan the machine of one scale."""
    constraints = constraints_of(spec, policy, scale.index, lessons)
    need = representative(spec, policy, scale)
    if spec.resources.fixed is not None:
        return ScalePlan(scale, need, None, fixed_allocation(spec.resources.fixed), trials)
    if isinstance(need, UnknownNeed):
        return ScalePlan(scale, need, NoMachine((str(need),)), None, trials)
    found, note = choose(need, constraints), ""
    if isinstance(found, NoMachine):
        least = representative(spec, policy, scale, most=False)
        smaller = choose(least, constraints) if isinstance(least, Need) else found
        if isinstance(least, Need) and isinstance(smaller, Choice):
            note = (
                f"scale {scale.index} ({scale_name(scale)}): some trials of the search fit nowhere"
            )
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
) -> Need | UnknownNeed:
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
                isinstance(best, UnknownNeed)
                or name not in point
                or (isinstance(need, Need) and (_size(need) > _size(best)) is most)
            ):
                point, best = tried, need
    return best


def _need(
    spec: ExperimentSpec, policy: PolicySpec, scale: Scale, point: Mapping[str, Scalar]
) -> Need | UnknownNeed:
    try:
        samples = samples_of(spec, scale, point)
    except ValueError as error:
        return UnknownNeed("spec.scaling.budgets", str(error))
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


def scale_name(scale: Scale) -> str:
    """Name a scale by what it sets."""
    words = [f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
             for name, value in scale.parameters.items()]  # fmt: skip
    words += [f"D {scale.samples:.3g}"] if scale.samples is not None else []
    words += [f"C {scale.budget_flops:.3g}"] if scale.budget_flops is not None else []
    return ", ".join(words) or "the only one"


def sum_if_known(values: Iterable[float | None]) -> float | None:
    """Sum up; None where a part is not known."""
    found = list(values)
    return None if any(value is None for value in found) else sum(value or 0.0 for value in found)


def sizing_of(looked: ScalePlan, known: Observations | None = None) -> ScaleSizing:
    """Write one scale as its status has it."""
    device, host = peak_bytes_at(known or Observations(), looked.scale.index)
    need = looked.need if isinstance(looked.need, Need) else Need()
    sizing = ScaleSizing(
        parameters=need.counted,
        flops=need.flops,
        measured_device_bytes=device,
        measured_host_bytes=host,
        message=as_message(str(looked.choice)) if isinstance(looked.choice, NoMachine) else "",
    )
    if looked.allocation is None:
        return sizing
    recorded = to_status(looked.allocation)
    sizing = sizing.model_copy(
        update={
            "shape": recorded.shape,
            "count": recorded.count,
            "execution": recorded.execution,
            "planned_hours": looked.hours,
            "planned_gpu_hours": looked.gpu_hours,
            "planned_cost": looked.cost,
        }
    )
    if not isinstance(looked.choice, Choice):
        return sizing
    return sizing.model_copy(
        update={
            "estimated_device_bytes": looked.choice.device_bytes or None,
            "estimated_host_bytes": looked.choice.host_bytes,
            "margin_percent": 100 * looked.choice.margin,
        }
    )
