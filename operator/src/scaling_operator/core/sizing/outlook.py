"""The whole experiment before it runs: what each scale needs, gets and costs, and what it refuses.

A scale is represented by its most demanding trial: at each searched parameter the value that needs
most memory. So hours and cost are upper bounds; pruning and small values cost less.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.fields import Scalar
from scaling_operator.api.names import ConditionReason
from scaling_operator.api.policy import PolicySpec
from scaling_operator.api.search import CategoricalParameter, Parameter
from scaling_operator.core.ladder import Scale, running_order, scales_of
from scaling_operator.core.samples import samples_of
from scaling_operator.core.sizing.allocation import (
    Allocation,
    allocation_of,
    fixed_allocation,
)
from scaling_operator.core.sizing.choice import Choice, Refusal, choose
from scaling_operator.core.sizing.fixed import fixed_problem
from scaling_operator.core.sizing.knowledge import Calibration, Knowledge, believe
from scaling_operator.core.sizing.need import Need, Unknown
from scaling_operator.core.sizing.needs import need_of
from scaling_operator.core.sizing.offers import Terms
from scaling_operator.core.sizing.parts import device_parts, host_parts
from scaling_trainer.contract import Execution

_TRIED_CHOICES = 10


@dataclass(frozen=True, slots=True)
class ScaleOutlook:
    """One scale: its most demanding trial, the machine for it, and all its trials' cost.

    `found` says which machine, or why there is none; None where the experiment fixes it.
    """

    scale: Scale
    need: Need | Unknown
    found: Choice | Refusal | None
    allocation: Allocation | None
    trials: int

    @property
    def hours(self) -> float | None:
        """Hours of one trial; None where they are not known."""
        return self.found.hours if isinstance(self.found, Choice) else None

    @property
    def gpu_hours(self) -> float | None:
        """GPU hours of all its trials."""
        if isinstance(self.found, Choice) and self.found.count == 0:
            return 0.0
        if self.hours is None or self.allocation is None:
            return None
        return self.hours * self.allocation.count * self.trials

    @property
    def cost(self) -> float | None:
        """Cost of all its trials."""
        if not isinstance(self.found, Choice) or self.found.cost is None:
            return None
        return self.found.cost * self.trials


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an experiment may start, and why not."""

    reason: ConditionReason
    message: str = ""

    @property
    def is_good(self) -> bool:
        """Whether it may."""
        return self.reason in (ConditionReason.PLANNED, ConditionReason.FIXED_RESOURCES)


@dataclass(frozen=True, slots=True)
class Outlook:
    """All scales in running order, and the verdict."""

    scales: tuple[ScaleOutlook, ...]
    verdict: Verdict

    @property
    def gpu_hours(self) -> float | None:
        """GPU hours of everything; None where those of a scale are not known."""
        return _sum(scale.gpu_hours for scale in self.scales)

    @property
    def cost(self) -> float | None:
        """Cost of everything; None where that of a scale is not known."""
        return _sum(scale.cost for scale in self.scales)


@dataclass(frozen=True, slots=True)
class Lessons:
    """What earlier trials have taught."""

    knowledge: Knowledge = field(default_factory=Knowledge)
    calibration: Calibration = field(default_factory=Calibration)


def look_ahead(
    spec: ExperimentSpec, policy: PolicySpec, trials: int, lessons: Lessons | None = None
) -> Outlook:
    """Plan the machines of an experiment. `trials` is how many each scale gets."""
    scales = running_order(scales_of(spec))
    looked = tuple(look_at(spec, policy, scale, trials, lessons or Lessons()) for scale in scales)
    return Outlook(looked, _verdict(spec, policy, looked))


def look_at(
    spec: ExperimentSpec, policy: PolicySpec, scale: Scale, trials: int, lessons: Lessons
) -> ScaleOutlook:
    """Plan the machine of one scale."""
    terms = terms_for(spec, policy, scale.index, lessons)
    need = representative(spec, policy, scale)
    if spec.resources.fixed is not None:
        return ScaleOutlook(scale, need, None, fixed_allocation(spec.resources.fixed), trials)
    if isinstance(need, Unknown):
        return ScaleOutlook(scale, need, Refusal((str(need),)), None, trials)
    found = choose(need, terms)
    allocation = allocation_of(found, need.cores) if isinstance(found, Choice) else None
    return ScaleOutlook(scale, need, found, allocation, trials)


def terms_for(spec: ExperimentSpec, policy: PolicySpec, scale: int, lessons: Lessons) -> Terms:
    """Say what binds the choices of a scale."""
    return Terms(
        policy=policy,
        belief=believe(lessons.knowledge, lessons.calibration, scale, policy),
        deadline_seconds=spec.trials.timeout.total_seconds(),
        is_ladder=spec.scaling is not None,
    )


# --- The most demanding trial ---------------------------------------------------------------------


def representative(spec: ExperimentSpec, policy: PolicySpec, scale: Scale) -> Need | Unknown:
    """Give the need of the trial of a scale that needs most memory."""
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
                or (isinstance(need, Need) and _size(need) > _size(best))
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


# --- Verdict --------------------------------------------------------------------------------------


def _verdict(spec: ExperimentSpec, policy: PolicySpec, scales: tuple[ScaleOutlook, ...]) -> Verdict:
    if spec.resources.fixed is not None:
        problem = fixed_problem(spec.resources.fixed, policy)
        if problem is not None:
            return Verdict(ConditionReason.ABOVE_LIMITS, problem)
        return Verdict(ConditionReason.FIXED_RESOURCES)
    unfit = [scale for scale in scales if isinstance(scale.found, Refusal)]
    if unfit:
        return Verdict(ConditionReason.NOTHING_FITS, "; ".join(_unfit(unfit)))
    over = _over_budget(spec, scales)
    if over is not None:
        return Verdict(ConditionReason.OVER_BUDGET, over)
    return Verdict(ConditionReason.PLANNED, _planned(scales))


def _unfit(scales: list[ScaleOutlook]) -> Iterator[str]:
    for scale in scales[:3]:
        yield f"scale {scale.scale.index} ({named(scale.scale)}): {scale.found}"
    if len(scales) > 3:  # noqa: PLR2004 - as many as a person reads
        yield f"and {len(scales) - 3} scales more"


def named(scale: Scale) -> str:
    """Name a scale by what it sets."""
    words = [f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
             for name, value in scale.parameters.items()]  # fmt: skip
    words += [f"D {scale.samples:.3g}"] if scale.samples is not None else []
    words += [f"C {scale.budget_flops:.3g}"] if scale.budget_flops is not None else []
    return ", ".join(words) or "the only one"


def _over_budget(spec: ExperimentSpec, scales: tuple[ScaleOutlook, ...]) -> str | None:
    """Say by how much the plan exceeds the budget, and which ladder would not."""
    budget = spec.budget
    for what, most, of in (
        ("GPU hours", budget.gpu_hours, [scale.gpu_hours for scale in scales]),
        ("cost", budget.cost, [scale.cost for scale in scales]),
    ):
        planned = _sum(of)
        if most is None or planned is None or planned <= most:
            continue
        fitting, spent = 0, 0.0
        for scale in of:
            if spent + (scale or 0.0) > most:
                break
            fitting, spent = fitting + 1, spent + (scale or 0.0)
        return f"planned {what} {planned:,.4g}, the budget has {most:,.4g}: " + _largest(
            scales, fitting, spent
        )
    return None


def _largest(scales: tuple[ScaleOutlook, ...], fitting: int, spent: float) -> str:
    if not fitting:
        first = f"not even scale {scales[0].scale.index} ({named(scales[0].scale)}) fits"
        return f"{first}; raise it, or lower trials.max ({scales[0].trials})"
    last = scales[fitting - 1].scale
    return (
        f"the largest ladder that fits has {fitting} of {len(scales)} scales, up to scale "
        f"{last.index} ({named(last)}), with {spent:,.4g}"
    )


def _planned(scales: tuple[ScaleOutlook, ...]) -> str:
    late = [scale for scale in scales if isinstance(scale.found, Choice)
            and not scale.found.meets_deadline]  # fmt: skip
    if not late:
        return ""
    hours = late[0].hours or 0.0
    return (
        f"scale {late[0].scale.index} ({named(late[0].scale)}) takes about {hours:,.1f} h a trial "
        "on the fastest machine, longer than trials.timeout"
    )


def _sum(values: Iterator[float | None] | list[float | None]) -> float | None:
    found = list(values)
    return None if any(value is None for value in found) else sum(value or 0.0 for value in found)
