"""Machines of one experiment: what its trials get, have used, and have taught.

A cache of the stored trials, as the book is: folded as they come in, rebuilt when the spec or the
policy changes. Everything that decides is in `core.sizing`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.names import ConditionReason, Reason, TrialState
from scaling_operator.api.policy import Limits, PolicySpec
from scaling_operator.api.status_sizing import AttemptResources, Ledger, ScaleSizing
from scaling_operator.api.trial import ScalingTrial
from scaling_operator.core.ladder import Scale
from scaling_operator.core.observed import AttemptPhase, AttemptView, Observed
from scaling_operator.core.resources import PodResources
from scaling_operator.core.settle import ESCALATIONS
from scaling_operator.core.starting import wants_more
from scaling_operator.core.trial_status import Machine
from scaling_operator.runtime.outlooks import Look, ScalePlans
from scaling_operator.sizing.admission import (
    NOTHING,
    Demand,
    Peers,
    Slot,
    demand_of,
    demand_of_record,
)
from scaling_operator.sizing.allocation import (
    Allocation,
    alternatives,
    fixed_allocation,
    from_status,
    pod_resources,
    shape_named,
    uses_claims,
)
from scaling_operator.sizing.calibration import calibrate
from scaling_operator.sizing.escalation import EndedAttempt, allocate
from scaling_operator.sizing.machines import Choice, NoMachine
from scaling_operator.sizing.need import Need, UnknownNeed, need_of
from scaling_operator.sizing.observations import (
    Lessons,
    Observations,
    add_measurement,
    add_shortages,
)
from scaling_operator.sizing.resource_plan import ResourcePlan
from scaling_operator.sizing.run_plan import KnownMachines
from scaling_operator.sizing.scale_plan import ScalePlan, constraints_of, plan_scale, sizing_of
from scaling_operator.sizing.start_check import StartCheck, check_start, check_started
from scaling_operator.sizing.usage import (
    NO_LIMITS,
    NO_PEERS,
    NONE_USED,
    SizingView,
    Usage,
    UsageSum,
    rate_of,
    used,
)

NO_LIMIT = Limits()


@dataclass(frozen=True, slots=True)
class _Given:
    """What a live trial was given, or would be, what it has used before, and what an hour is."""

    trial: ScalingTrial
    recorded: AttemptResources | None
    lessons: Lessons
    demand: Demand | None
    rate: Usage
    used_before: Usage

    def is_of(
        self, trial: ScalingTrial, recorded: AttemptResources | None, lessons: Lessons
    ) -> bool:
        """Whether it was reckoned from these very values."""
        return self.trial is trial and self.recorded is recorded and self.lessons is lessons


@dataclass(frozen=True, slots=True)
class _Written:
    """A scale's machines as its status has them, and what a new trial of it would hold."""

    looked: ScalePlan
    known: Observations
    sizing: ScaleSizing
    demand: Demand | None

    def is_of(self, looked: ScalePlan, known: Observations) -> bool:
        """Whether it was written from these very values."""
        return self.looked is looked and self.known is known


@dataclass(slots=True)
class _Machines:
    """Sums over live trials; GPU hours and cost by scale."""

    demands: dict[Slot, Demand] = field(default_factory=dict[Slot, Demand])
    rates: list[Usage] = field(default_factory=list[Usage])
    gpu_hours: dict[int, float] = field(default_factory=dict[int, float])
    cost: dict[int, float] = field(default_factory=dict[int, float])

    def add(self, scale: int, more: Usage) -> None:
        """Count what was used at a scale."""
        self.gpu_hours[scale] = self.gpu_hours.get(scale, 0.0) + more.gpu_hours
        self.cost[scale] = self.cost.get(scale, 0.0) + more.cost

    def used(self, scale: int) -> Usage:
        """Give what was used at a scale."""
        return Usage(self.gpu_hours.get(scale, 0.0), self.cost.get(scale, 0.0))

    @property
    def rate(self) -> Usage:
        """Give what an hour of all that runs is."""
        hours, cost = (each.gpu_hours for each in self.rates), (each.cost for each in self.rates)
        return Usage(sum(hours), sum(cost))


@dataclass(slots=True)
class Sizer:
    """Sizes the trials of an experiment by a policy."""

    spec: ExperimentSpec
    policy: PolicySpec
    trials_per_scale: int
    peers: Callable[[], Peers] = Peers
    is_waiting: bool = False
    lessons: Lessons = field(default_factory=Lessons)
    _used: dict[int, UsageSum] = field(default_factory=dict[int, UsageSum])
    _ended: set[Slot] = field(default_factory=set[Slot])
    _scale_plans: ScalePlans = field(default_factory=ScalePlans)
    _scales: dict[int, _Written] = field(default_factory=dict[int, _Written])
    _known: dict[Slot, _Given] = field(default_factory=dict[Slot, _Given])
    """Machines of live trials: a plan looks at all of them, and few have changed."""

    def note(self, trial: ScalingTrial) -> None:
        """Take in a stored trial: where memory ran out, what it used, what it measured."""
        slot = trial.spec.scale, trial.spec.number
        if slot in self._ended:
            return
        has_learnt = self._learn(trial)
        if trial.status.state.ended:
            self._ended.add(slot)
            self._known.pop(slot, None)
            more = Usage(trial.status.gpu_hours or 0.0, trial.status.cost or 0.0)
            self._used[trial.spec.scale] = self._used.get(trial.spec.scale, UsageSum()) + more
        if has_learnt:
            self._scale_plans.invalidate()

    def follow(self, spec: ExperimentSpec, trials_per_scale: int) -> None:
        """Take over what may change while an experiment runs."""
        self.spec, self.trials_per_scale = spec, trials_per_scale
        self._scale_plans.forget()
        self._known.clear()

    def allocation(self, trial: ScalingTrial) -> Allocation | NoMachine:
        """Decide what the next attempt of a trial gets."""
        need = self._need(trial)
        if isinstance(need, UnknownNeed):
            return NoMachine((str(need),))
        constraints = constraints_of(self.spec, self.policy, trial.spec.scale, self.lessons)
        fixed = self.spec.resources.fixed
        first = None if fixed is None else fixed_allocation(fixed)
        return allocate(need, constraints, self._ended_attempts(trial), first)

    def request(self, trial: ScalingTrial, allocation: Allocation) -> PodResources:
        """Make the request of a pod: by an extended resource, or by a claim."""
        if not uses_claims(self.policy, allocation):
            return pod_resources(allocation, self.policy)
        need = self._need(trial)
        constraints = constraints_of(self.spec, self.policy, trial.spec.scale, self.lessons)
        shapes = (
            () if isinstance(need, UnknownNeed) else alternatives(need, constraints, allocation)
        )
        return pod_resources(allocation, self.policy, shapes)

    def reason_of_refusal(self, trial: ScalingTrial) -> Reason:
        """Name why a trial gets no machine: memory ran out, or its parameters ask for too much."""
        for attempt in reversed(trial.status.attempts):
            if attempt.reason is not None and attempt.reason in ESCALATIONS:
                return attempt.reason
        looked = self._scale_plans.get(trial.spec.scale)
        too_wide = looked is None or isinstance(looked.choice, Choice)
        return Reason.INFEASIBLE if too_wide else Reason.ACCELERATOR_OOM

    def demand_of_scale(self, scale: int) -> Demand:
        """Say what a new trial of a scale would hold, as far as that was planned."""
        looked = self._scale_plans.get(scale)
        planned = None if looked is None else looked.allocation
        return NOTHING if planned is None else demand_of(planned)

    def machine(self, view: AttemptView) -> Machine | None:
        """Say what an attempt had and what an hour of it is; None where that was not recorded."""
        if view.resources is None:
            return None
        rate = rate_of(view.resources, self.policy, self.spec.resources.fixed)
        return Machine(view.resources, view.started_seconds, rate)

    def complete(
        self,
        observed: Observed,
        live: tuple[ScalingTrial, ...],
    ) -> Observed:
        """Add what a plan needs to know of machines, and remember what neighbours ask for."""
        machines = KnownMachines(self.policy, self.lessons)
        observed = replace(observed, sizing=self._view(observed, live), machines=machines)
        shares = self.policy.limits.namespace != NO_LIMIT
        self.is_waiting = shares and wants_more(observed)
        return observed

    def _view(
        self,
        observed: Observed,
        trials: tuple[ScalingTrial, ...],
    ) -> SizingView:
        scales = tuple(view.scale for view in observed.scales)
        resource_plan = self._resource_plan(scales, has_started=bool(trials or self._ended))
        machines = self._machines(observed, trials)
        before = {
            scale.scale.index: self._used.get(scale.scale.index, UsageSum()).usage
            for scale in resource_plan.scales
        }
        by_scale = {index: before[index] + machines.used(index) for index in before}
        total = sum(by_scale.values(), NONE_USED)
        return SizingView(
            start_check=resource_plan.start_check,
            scales={
                scale.scale.index: self._status(scale, by_scale[scale.scale.index])
                for scale in resource_plan.scales
            },
            ledger=Ledger(
                planned_gpu_hours=resource_plan.gpu_hours,
                planned_cost=resource_plan.cost,
                used_gpu_hours=_rounded(total.gpu_hours),
                used_cost=_rounded(total.cost),
            ),
            demands=machines.demands,
            scale_demands={
                scale.scale.index: demand
                for scale in resource_plan.scales
                if (demand := self._written(scale).demand) is not None
            },
            limits=self.policy.limits,
            is_queued=self.policy.queue is not None,
            peers=self.peers() if self.policy.limits != NO_LIMITS else NO_PEERS,
            used=total,
            rate=machines.rate,
        )

    def _learn(self, trial: ScalingTrial) -> bool:
        """Fold what a trial has measured into what is known; whether that was anything."""
        status, known = trial.status, self.lessons.knowledge
        if self.spec.resources.fixed is not None or not status.attempts:
            return False
        need = self._need(trial)
        if isinstance(need, UnknownNeed):
            return False
        more = add_shortages(known, trial.spec.scale, need, status, self.policy)
        last = status.attempts[-1].resources
        if status.state is TrialState.SUCCEEDED and last is not None:
            slot = trial.spec.scale, trial.spec.number
            more = add_measurement(more, slot, need, self._had(last), status)
        if more == known:
            return False
        self.lessons = Lessons(more, calibrate(more.measurements, self.policy))
        return True

    def _need(self, trial: ScalingTrial) -> Need | UnknownNeed:
        spec = trial.spec
        return need_of(self.spec, spec.parameters, spec.samples, self.policy.unknown)

    def _had(self, recorded: AttemptResources) -> Allocation:
        shape = shape_named(self.policy, recorded.shape)
        fixed = self.spec.resources.fixed
        resource = None if fixed is None or not fixed.gpus else fixed.resource
        return from_status(recorded, resource if shape is None else shape.resource)

    def _ended_attempts(self, trial: ScalingTrial) -> tuple[EndedAttempt, ...]:
        return tuple(
            EndedAttempt(
                attempt.reason or Reason.SUSPENDED,
                None if attempt.resources is None else self._had(attempt.resources),
            )
            for attempt in trial.status.attempts
        )

    async def prepare(self, scales: Iterable[Scale]) -> None:
        """Reckon what scales get before a plan asks for it: that may take a second."""
        every = tuple(scales)
        while not await self._scale_plans.prepare(every, self._look()):
            pass  # the spec was changed meanwhile

    def _look(self) -> Look:
        known = self.spec, self.policy, self.trials_per_scale, self.lessons

        def look(scale: Scale) -> ScalePlan:
            spec, policy, trials, lessons = known
            return plan_scale(spec, policy, scale, trials, lessons)

        return look

    def _resource_plan(self, scales: tuple[Scale, ...], *, has_started: bool) -> ResourcePlan:
        look = self._look()
        looked = tuple(self._scale_plans.of(scale, look) for scale in scales)
        started = has_started and self.spec.resources.fixed is None
        start_check = (
            check_started(looked) if started else check_start(self.spec, self.policy, looked)
        )
        return ResourcePlan(looked, start_check)

    def _status(self, looked: ScalePlan, total: Usage) -> ScaleSizing:
        spent = {"used_gpu_hours": _rounded(total.gpu_hours), "used_cost": _rounded(total.cost)}
        return self._written(looked).sizing.model_copy(update=spent)

    def _written(self, looked: ScalePlan) -> _Written:
        """Write a scale down, once for each outlook and state of what is known."""
        known, index = self.lessons.knowledge, looked.scale.index
        before = self._scales.get(index)
        if before is not None and before.is_of(looked, known):
            return before
        planned = None if looked.allocation is None else demand_of(looked.allocation)
        self._scales[index] = written = _Written(looked, known, sizing_of(looked, known), planned)
        return written

    def _machines(self, observed: Observed, trials: tuple[ScalingTrial, ...]) -> _Machines:
        """Sum up what live trials have or want, have used, and use in an hour."""
        found = _Machines()
        for trial, live in zip(trials, observed.live, strict=True):
            given = self._given(trial, live.view.resources)
            if given.demand is not None:
                found.demands[live.slot] = given.demand
            if given.used_before is not NONE_USED:
                found.add(live.scale, given.used_before)
            view = live.view
            if given.recorded is not None and _is_held(view):
                found.add(live.scale, used(given.rate, view.started_seconds, observed.now_seconds))
                found.rates.append(given.rate)
        return found

    def _wanted(self, trial: ScalingTrial) -> Demand | None:
        found = self.allocation(trial)
        return demand_of(found) if isinstance(found, Allocation) else None

    def _given(self, trial: ScalingTrial, recorded: AttemptResources | None) -> _Given:
        """Say what a live trial has or wants of machines, reckoned once for each of its states."""
        slot = trial.spec.scale, trial.spec.number
        known = self._known.get(slot)
        if known is not None and known.is_of(trial, recorded, self.lessons):
            return known
        fixed = self.spec.resources.fixed
        given = _Given(
            *(trial, recorded, self.lessons),
            demand=self._wanted(trial) if recorded is None else demand_of_record(recorded),
            rate=NONE_USED if recorded is None else rate_of(recorded, self.policy, fixed),
            used_before=_used_before(trial),
        )
        self._known[slot] = given
        return given


def _is_held(view: AttemptView) -> bool:
    return view.phase is AttemptPhase.RUNNING and view.started_seconds is not None


def _used_before(trial: ScalingTrial) -> Usage:
    hours, cost = trial.status.gpu_hours or 0.0, trial.status.cost or 0.0
    return Usage(hours, cost) if hours or cost else NONE_USED


def _rounded(number: float) -> float:
    """Write so many digits as anybody reads: a status that changes each second is written so."""
    return float(f"{number:.4g}")


@dataclass(frozen=True, slots=True)
class InvalidPolicy:
    """Stands where a policy that an experiment names cannot be used: nothing starts."""

    reason: ConditionReason
    message: str

    def note(self, trial: ScalingTrial) -> None:
        """Take in nothing."""
        del trial

    async def prepare(self, scales: Iterable[Scale]) -> None:
        """Do nothing: nothing is sized."""
        del scales

    def machine(self, view: AttemptView) -> Machine | None:
        """Say what an attempt had, as far as it was recorded; what it cost is not known."""
        if view.resources is None:
            return None
        return Machine(view.resources, view.started_seconds, rate_of(view.resources, None))

    def complete(
        self,
        observed: Observed,
        live: tuple[ScalingTrial, ...],
    ) -> Observed:
        """Say that nothing may start, and why."""
        del live
        return replace(observed, sizing=SizingView(StartCheck(self.reason, self.message)))
