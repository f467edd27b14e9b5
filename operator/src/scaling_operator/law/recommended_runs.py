"""Resources of recommended runs: machines for sizes never trained, and FLOPs for money."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from scaling_operator.api.fields import Scalar
from scaling_operator.api.scaling import Scaling, Target
from scaling_operator.core.edges import number_of
from scaling_operator.core.fit_types import FitInput, TunedPoint
from scaling_operator.law.experiment_points import COUNTED, ExperimentPoints, interpolated_in_logs
from scaling_operator.law.results import BestRun, Unanswered
from scaling_operator.sizing.need import Need, UnknownNeed, need_of
from scaling_operator.sizing.run_plan import KnownMachines, RunPlan, plan_run, run_constraints

Plan = Callable[[float, float | None, float | None], RunPlan]
"""From N, D and C of a run to its machine, hours and cost."""
Priced = Callable[[float], RunPlan]
"""From ln C of a budget to the plan of its best run."""

FIRST_GUESS = math.log(1e18)
DECADES = 40
"""A budget is sought within so many decades of the first guess."""
HALVINGS = 50
NEARLY_ALL = 0.9
"""Least share of the money that counts as spent, where no machine takes a dearer run."""
LARGEST_SIZE = 1e12
"""Beyond this size whole numbers outgrow what can be counted; no ladder has such a parameter."""


@dataclass(frozen=True, slots=True)
class CostSolver:
    """Finds the FLOPs that money buys on the machines that `plan` knows."""

    plan: Plan

    def flops_for(self, target: Target, best_at: BestRun) -> float | Unanswered:
        """Return the FLOPs, or say that a price is unknown or that no machine takes such a run."""

        def priced(log_flops: float) -> RunPlan:
            flops = math.exp(log_flops)
            best = best_at(flops)
            if best is None:
                return RunPlan(reason="UnknownFlops", message="this law knows no compute")
            return self.plan(*best, flops)

        ends = _around(target.value, priced)
        if not isinstance(ends, tuple):
            return _cannot_buy(target, priced(ends))
        low, high = ends
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if _pays(target.value, priced(middle)) else (low, middle)
        beyond, paid = priced(high), priced(low).cost or 0.0
        if beyond.cost is None and paid < NEARLY_ALL * target.value:
            return _cannot_buy(target, beyond)
        return math.exp(low)


@dataclass(frozen=True, slots=True)
class StoredCost:
    """The FLOPs that money bought before, for a stored answer that is read without its policy."""

    bought: Mapping[float, float]

    def flops_for(self, target: Target, best_at: BestRun) -> float | Unanswered:
        """Return the FLOPs that were bought, where they are known."""
        del best_at
        flops = self.bought.get(target.value)
        return Unanswered(target, "NoPrices", "no policy is at hand") if flops is None else flops


def _around(money: float, priced: Priced) -> tuple[float, float] | float:
    """Find ln C of a run that the money pays for, where it does not pay for ten times that C.

    Without such a pair, return ln C of the last run that was tried.
    """
    at, pays = FIRST_GUESS, _pays(money, priced(FIRST_GUESS))
    step = math.log(10.0) if pays else -math.log(10.0)
    for _ in range(DECADES):
        if _pays(money, priced(at + step)) is not pays:
            return (at, at + step) if pays else (at + step, at)
        at += step
    return at


def _pays(money: float, plan: RunPlan) -> bool:
    return plan.cost is not None and plan.cost <= money


def _cannot_buy(target: Target, plan: RunPlan) -> Unanswered:
    message = plan.message or "no run costs that: the smallest takes more, or the largest less"
    return Unanswered(target, plan.reason or "OutOfReach", message)


@dataclass(frozen=True, slots=True)
class RunPlanner:
    """Plans runs by the experiment's own trainer."""

    fit_input: FitInput
    prepared: ExperimentPoints
    scaling: Scaling
    machines: KnownMachines

    def plan(self, parameters: float, samples: float | None, flops: float | None) -> RunPlan:
        """Plan a run of N on D with C FLOPs; a machine that trials have fixed binds nothing."""
        spec = self.fit_input.spec
        need = self._need(parameters, samples)
        if isinstance(need, Need) and flops is not None:
            need = replace(need, flops=flops)
        return plan_run(need, run_constraints(spec, self.machines))

    def _need(self, parameters: float, samples: float | None) -> Need | UnknownNeed:
        """Compute the need at the ladder's parameter; else scale the need of the nearest size."""
        spec, unknown = self.fit_input.spec, self.machines.policy.unknown
        nearest = self._nearest(parameters)
        for size in self._sizes(parameters):
            point: dict[str, Scalar] = {**nearest.parameters, size[0]: size[1]}
            need = need_of(spec, point, samples, unknown)
            if isinstance(need, Need):
                return self._of_size(need, parameters)
        at = {**nearest.parameters, **nearest.scale.parameters}
        need = need_of(spec, at, samples, unknown)
        return self._of_size(need, parameters) if isinstance(need, Need) else need

    def _nearest(self, parameters: float) -> TunedPoint:
        sizes = zip(self.prepared.points.N, self.prepared.used, strict=True)
        return min(sizes, key=lambda sized: abs(math.log(sized[0] / parameters)))[1]

    def _sizes(self, parameters: float) -> Iterator[tuple[str, Scalar]]:
        """Yield values for the ladder's parameter, best first: whole sizes stay whole."""
        size = ladder_size(parameters, self.prepared, self.scaling)
        name = self.scaling.parameter
        if size is None or name is None or not size < LARGEST_SIZE:
            return
        if not all(isinstance(rung, int) for rung in self.scaling.sizes):
            yield name, size
            return
        unit = math.gcd(*(int(rung) for rung in self.scaling.sizes))
        yield name, max(1, round(size))
        yield name, max(1, round(size / unit)) * unit

    def _of_size(self, need: Need, parameters: float) -> Need:
        """Set the need's parameters to the law's N, where N counts parameters."""
        if self.prepared.size != COUNTED:
            return need
        stored = need.parameters * parameters / (need.counted or need.parameters or 1.0)
        return replace(need, parameters=stored or parameters, counted=parameters)


def ladder_size(parameters: float, prepared: ExperimentPoints, scaling: Scaling) -> float | None:
    """Interpolate the value of the ladder's parameter that has this N."""
    if prepared.size != COUNTED:
        return parameters
    if scaling.parameter is None:
        return None
    numbers = np.array([number_of(point.scale) for point in prepared.used])
    return (
        interpolated_in_logs(parameters, prepared.points.N, numbers)
        if (numbers > 0).all()
        else None
    )
