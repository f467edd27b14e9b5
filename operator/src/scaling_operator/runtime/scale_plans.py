"""The machines of an experiment's scales, planned once for each state of spec and observations.

Planning a hundred sizes may take a second, too long for the event loop, so `prepare` plans in a
thread. Observations that arrive meanwhile are used by the next `prepare`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from scaling_operator.api.status_sizing import ScaleSizing
from scaling_operator.core.ladder import Scale
from scaling_operator.sizing.admission import Demand, demand_of
from scaling_operator.sizing.observations import Observations
from scaling_operator.sizing.scale_plan import ScalePlan, sizing_of

Planner = Callable[[Scale], ScalePlan]
"""Plans a scale; a planner must not change while a thread uses it."""


@dataclass(frozen=True, slots=True)
class ScaleSummary:
    """A scale's machines as the status has them, and what a new trial of the scale would hold."""

    plan: ScalePlan
    observations: Observations
    sizing: ScaleSizing
    demand: Demand | None

    def follows_from(self, plan: ScalePlan, observations: Observations) -> bool:
        """Whether it was written from these very values."""
        return self.plan is plan and self.observations is observations


@dataclass(slots=True)
class ScalePlans:
    """The plans of an experiment's scales, by the index of the scale."""

    _plans: dict[int, ScalePlan] = field(default_factory=dict[int, ScalePlan])
    _summaries: dict[int, ScaleSummary] = field(default_factory=dict[int, ScaleSummary])
    _are_outdated: bool = False

    def get(self, scale: int) -> ScalePlan | None:
        """Give the plan of a scale; None where the scale has not been planned."""
        return self._plans.get(scale)

    def of(self, scale: Scale, planner: Planner) -> ScalePlan:
        """Give the plan of a scale; a scale that was not prepared is planned now."""
        if scale.index not in self._plans:
            self._plans[scale.index] = planner(scale)
        return self._plans[scale.index]

    def summary(self, plan: ScalePlan, observations: Observations) -> ScaleSummary:
        """Summarize a plan, once for each plan and each state of the observations."""
        index = plan.scale.index
        before = self._summaries.get(index)
        if before is not None and before.follows_from(plan, observations):
            return before
        demand = None if plan.allocation is None else demand_of(plan.allocation)
        summary = ScaleSummary(plan, observations, sizing_of(plan, observations), demand)
        self._summaries[index] = summary
        return summary

    def invalidate(self) -> None:
        """Plan all scales anew at the next `prepare`: trials have taught something."""
        self._are_outdated = True

    def forget(self) -> None:
        """Plan all scales anew before the next use: the spec has changed."""
        self._plans = {}

    async def prepare(self, scales: Iterable[Scale], planner: Planner) -> bool:
        """Plan in a thread the scales without a plan, and those with an outdated one.

        False where all plans were forgotten meanwhile: `planner` is outdated, another is needed.
        """
        plans = self._plans
        due = [scale for scale in scales if self._are_outdated or scale.index not in self._plans]
        if not due:
            return True
        self._are_outdated = False
        new_plans = await asyncio.to_thread(lambda: [planner(scale) for scale in due])
        plans.update((plan.scale.index, plan) for plan in new_plans)
        return self._plans is plans
