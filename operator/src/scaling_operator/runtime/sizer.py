"""Machines of one experiment: what its trials get, have used, and have taught.

The sizer remembers: a cache of the stored trials, as the experiment's state is. It is filled as
trials come in, and rebuilt when the spec or the policy changes. Every decision is in `sizing`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.names import ConditionReason, Reason, TrialKey
from scaling_operator.api.policy import Limits, PolicySpec
from scaling_operator.api.status_sizing import AttemptResources, Ledger, ScaleSizing
from scaling_operator.api.trial import ScalingTrial
from scaling_operator.core.ladder import Scale
from scaling_operator.core.observed import AttemptView, Observed
from scaling_operator.core.reasons import Next, next_of
from scaling_operator.core.resources import PodResources
from scaling_operator.core.starting import wants_more
from scaling_operator.core.trial_status import Machine
from scaling_operator.runtime.machine_use import MachineTotals, TrialUse, used_before
from scaling_operator.runtime.scale_plans import Planner, ScalePlans
from scaling_operator.sizing.admission import (
    NOTHING,
    Demand,
    Peers,
    demand_of,
    demand_of_record,
)
from scaling_operator.sizing.allocation import (
    Allocation,
    alternatives,
    fixed_allocation,
    pod_resources,
    uses_claims,
)
from scaling_operator.sizing.calibration import calibrated
from scaling_operator.sizing.escalation import allocate, ended_attempts
from scaling_operator.sizing.machines import Choice, Constraints, NoMachine
from scaling_operator.sizing.need import Need, UnknownNeed, need_of
from scaling_operator.sizing.observations import NONE_OBSERVED, Observations, add_trial
from scaling_operator.sizing.resource_plan import ResourcePlan, StartCheck, check_start
from scaling_operator.sizing.run_plan import KnownMachines
from scaling_operator.sizing.scale_plan import ScalePlan, constraints_of, plan_scale
from scaling_operator.sizing.usage import (
    NO_LIMITS,
    NO_PEERS,
    NONE_USED,
    NoMachineLeft,
    SizingView,
    Usage,
    UsageSum,
    rate_of,
)

NO_LIMIT = Limits()


@dataclass(slots=True)
class Sizer:
    """Sizes the trials of an experiment by a policy."""

    spec: ExperimentSpec
    policy: PolicySpec
    trials_per_scale: int
    peers: Callable[[], Peers] = Peers
    is_waiting: bool = False
    observations: Observations = NONE_OBSERVED
    _used_by_ended: dict[int, UsageSum] = field(default_factory=dict[int, UsageSum])
    _ended: set[TrialKey] = field(default_factory=set[TrialKey])
    _scale_plans: ScalePlans = field(default_factory=ScalePlans)
    _uses: dict[TrialKey, TrialUse] = field(default_factory=dict[TrialKey, TrialUse])
    """Machines of live trials: a plan looks at all of them, and few have changed."""

    # --- What the stored trials say --------------------------------------------------------------

    def note(self, trial: ScalingTrial) -> None:
        """Take in a stored trial: where memory ran out, what it used, what it measured."""
        trial_key = trial.spec.key
        if trial_key in self._ended:
            return
        has_learnt = self._learn(trial)
        if trial.status.state.ended:
            self._ended.add(trial_key)
            self._uses.pop(trial_key, None)
            self._used_by_ended[trial.spec.scale] = self._used(trial.spec.scale) + Usage(
                trial.status.gpu_hours or 0.0, trial.status.cost or 0.0
            )
        if has_learnt:
            self._scale_plans.invalidate()

    def follow(self, spec: ExperimentSpec, trials_per_scale: int) -> None:
        """Take over what may change while an experiment runs."""
        self.spec, self.trials_per_scale = spec, trials_per_scale
        self._scale_plans.forget()
        self._uses.clear()

    def _learn(self, trial: ScalingTrial) -> bool:
        """Add what a trial teaches to the observations; return whether it teaches anything."""
        if self.spec.resources.fixed is not None or not trial.status.attempts:
            return False
        need = self._need(trial)
        if isinstance(need, UnknownNeed):
            return False
        observations = add_trial(self.observations, trial, need, self.policy)
        if observations == self.observations:
            return False
        self.observations = calibrated(observations, self.policy)
        return True

    def _used(self, scale: int) -> UsageSum:
        """Give what the ended trials of a scale have used."""
        return self._used_by_ended.get(scale, UsageSum())

    # --- What a trial gets -----------------------------------------------------------------------

    def allocation(self, trial: ScalingTrial) -> Allocation | NoMachine:
        """Decide what the next attempt of a trial gets."""
        need = self._need(trial)
        if isinstance(need, UnknownNeed):
            return NoMachine((str(need),))
        fixed = self.spec.resources.fixed
        first = None if fixed is None else fixed_allocation(fixed)
        ended = ended_attempts(trial.status.attempts, self.policy, fixed)
        return allocate(need, self._constraints(trial), ended, first)

    def request(self, trial: ScalingTrial, allocation: Allocation) -> PodResources:
        """Make the request of a pod: by an extended resource, or by a claim."""
        if not uses_claims(self.policy, allocation):
            return pod_resources(allocation, self.policy)
        need = self._need(trial)
        if isinstance(need, UnknownNeed):
            return pod_resources(allocation, self.policy)
        shapes = alternatives(need, self._constraints(trial), allocation)
        return pod_resources(allocation, self.policy, shapes)

    def reason_of_refusal(self, trial: ScalingTrial) -> Reason:
        """Name why a trial gets no machine: memory ran out, or its parameters ask for too much."""
        for attempt in reversed(trial.status.attempts):
            if attempt.reason is not None and next_of(attempt.reason) is Next.ESCALATE:
                return attempt.reason
        plan = self._scale_plans.get(trial.spec.scale)
        is_search_too_wide = plan is None or isinstance(plan.choice, Choice)
        return Reason.INFEASIBLE if is_search_too_wide else Reason.ACCELERATOR_OOM

    def demand_of_scale(self, scale: int) -> Demand:
        """Say what a new trial of a scale would hold, as far as the scale was planned."""
        plan = self._scale_plans.get(scale)
        allocation = None if plan is None else plan.allocation
        return NOTHING if allocation is None else demand_of(allocation)

    def machine(self, view: AttemptView) -> Machine | None:
        """Say what an attempt had and what an hour of it uses; None where nothing was recorded."""
        if view.resources is None:
            return None
        rate = rate_of(view.resources, self.policy, self.spec.resources.fixed)
        return Machine(view.resources, view.started_seconds, rate)

    def _need(self, trial: ScalingTrial) -> Need | UnknownNeed:
        spec = trial.spec
        return need_of(self.spec, spec.parameters, spec.samples, self.policy.unknown)

    def _constraints(self, trial: ScalingTrial) -> Constraints:
        return constraints_of(self.spec, self.policy, trial.spec.scale, self.observations)

    # --- What a plan is told ---------------------------------------------------------------------

    async def prepare(self, scales: Iterable[Scale]) -> None:
        """Plan the scales before the core needs their plans: to plan them may take a second."""
        all_scales = tuple(scales)
        while not await self._scale_plans.prepare(all_scales, self._planner()):
            pass  # the spec was changed meanwhile

    def complete(
        self,
        observed: Observed,
        live: tuple[ScalingTrial, ...],
    ) -> Observed:
        """Add what a plan needs of machines, and remember whether the experiment waits for more."""
        machines = KnownMachines(self.policy, self.observations)
        observed = replace(observed, sizing=self._view(observed, live), machines=machines)
        shares_limit = self.policy.limits.namespace != NO_LIMIT
        self.is_waiting = shares_limit and wants_more(observed)
        return observed

    def _view(
        self,
        observed: Observed,
        trials: tuple[ScalingTrial, ...],
    ) -> SizingView:
        resource_plan = self._resource_plan(observed, has_started=bool(trials or self._ended))
        totals = self._totals(observed, trials)
        used = {
            plan.scale.index: self._used(plan.scale.index).usage + totals.used(plan.scale.index)
            for plan in resource_plan.scales
        }
        used_in_all = sum(used.values(), NONE_USED)
        return SizingView(
            start_check=resource_plan.start_check,
            scales={
                plan.scale.index: self._status(plan, used[plan.scale.index])
                for plan in resource_plan.scales
            },
            ledger=Ledger(
                planned_gpu_hours=resource_plan.gpu_hours,
                planned_cost=resource_plan.cost,
                used_gpu_hours=_four_digits(used_in_all.gpu_hours),
                used_cost=_four_digits(used_in_all.cost),
            ),
            demands=totals.demands,
            no_machine=totals.no_machine,
            scale_demands={
                plan.scale.index: demand
                for plan in resource_plan.scales
                if (demand := self._scale_plans.summary(plan, self.observations).demand) is not None
            },
            limits=self.policy.limits,
            is_queued=self.policy.queue is not None,
            peers=self.peers() if self.policy.limits != NO_LIMITS else NO_PEERS,
            used=used_in_all,
            rate=totals.rate,
        )

    def _planner(self) -> Planner:
        """Make a planner that later changes of the sizer do not reach."""
        spec, policy, observations = self.spec, self.policy, self.observations
        trials = self.trials_per_scale

        def plan(scale: Scale) -> ScalePlan:
            return plan_scale(spec, policy, scale, trials, observations)

        return plan

    def _resource_plan(self, observed: Observed, *, has_started: bool) -> ResourcePlan:
        planner = self._planner()
        plans = tuple(self._scale_plans.of(view.scale, planner) for view in observed.scales)
        start_check = check_start(self.spec, self.policy, plans, has_started=has_started)
        return ResourcePlan(plans, start_check)

    def _status(self, plan: ScalePlan, used: Usage) -> ScaleSizing:
        sizing = self._scale_plans.summary(plan, self.observations).sizing
        return sizing.model_copy(
            update={
                "used_gpu_hours": _four_digits(used.gpu_hours),
                "used_cost": _four_digits(used.cost),
            }
        )

    def _totals(self, observed: Observed, trials: tuple[ScalingTrial, ...]) -> MachineTotals:
        """Sum up what live trials hold or want, have used, and use in an hour."""
        totals = MachineTotals()
        for trial, live in zip(trials, observed.live, strict=True):
            totals.add(live, self._use(trial, live.view.resources), observed.now_seconds)
        return totals

    def _use(self, trial: ScalingTrial, resources: AttemptResources | None) -> TrialUse:
        """Say what a live trial holds or wants, computed once for each of the trial's states."""
        trial_key = trial.spec.key
        before = self._uses.get(trial_key)
        if before is not None and before.follows_from(trial, resources, self.observations):
            return before
        fixed = self.spec.resources.fixed
        wanted = self._wanted(trial) if resources is None else demand_of_record(resources)
        use = TrialUse(
            trial=trial,
            resources=resources,
            observations=self.observations,
            demand=wanted if isinstance(wanted, Demand) else None,
            no_machine=wanted if isinstance(wanted, NoMachineLeft) else None,
            rate=NONE_USED if resources is None else rate_of(resources, self.policy, fixed),
            used_before=used_before(trial),
        )
        self._uses[trial_key] = use
        return use

    def _wanted(self, trial: ScalingTrial) -> Demand | NoMachineLeft:
        allocation = self.allocation(trial)
        if isinstance(allocation, Allocation):
            return demand_of(allocation)
        return NoMachineLeft(self.reason_of_refusal(trial), str(allocation))


def _four_digits(number: float) -> float:
    """Round to the digits that a person reads, so that a status need not change each second."""
    return float(f"{number:.4g}")


@dataclass(frozen=True, slots=True)
class UnusablePolicy:
    """Replaces the sizer where an experiment's policy cannot be used: nothing starts."""

    reason: ConditionReason
    message: str

    def note(self, trial: ScalingTrial) -> None:
        """Take in nothing."""
        del trial

    async def prepare(self, scales: Iterable[Scale]) -> None:
        """Do nothing: no scale is planned."""
        del scales

    def machine(self, view: AttemptView) -> Machine | None:
        """Say what an attempt had, as far as it was recorded; what it cost is unknown."""
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
