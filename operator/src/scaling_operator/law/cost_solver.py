"""From money to FLOPs: the largest budget whose best run costs no more."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from scaling_operator.law.optimum import Question
from scaling_operator.law.results import BestRun, Unanswered
from scaling_operator.sizing.run_plan import RunPlan

Plan = Callable[[float, float | None, float | None], RunPlan]
"""From N, D and C of a run to its machine, hours and cost."""
Priced = Callable[[float], RunPlan]
"""From ln C of a budget to what its best run takes."""

FIRST_GUESS = math.log(1e18)
DECADES = 40
"""How far from the first guess a budget is sought."""
HALVINGS = 50
NEARLY_ALL = 0.9
"""Of the money: where no machine takes a dearer run, less is no answer."""


@dataclass(frozen=True, slots=True)
class CostSolver:
    """Finds the FLOPs that money buys on the machines that `plan` knows."""

    plan: Plan

    def flops_for(self, target: Question, best_at: BestRun) -> float | Unanswered:
        """Give the FLOPs, or say that a price is unknown or that no machine takes such a run."""

        def priced(log_flops: float) -> RunPlan:
            flops = math.exp(log_flops)
            best = best_at(flops)
            if best is None:
                return RunPlan(reason="UnknownFlops", message="this law knows no compute")
            return self.plan(*best, flops)

        ends = _around(target.value, priced)
        if not isinstance(ends, tuple):
            return _refusal(target, priced(ends))
        low, high = ends
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if _pays(target.value, priced(middle)) else (low, middle)
        beyond, paid = priced(high), priced(low).cost or 0.0
        if beyond.cost is None and paid < NEARLY_ALL * target.value:
            return _refusal(target, beyond)
        return math.exp(low)


@dataclass(frozen=True, slots=True)
class StoredCost:
    """What money has bought before: where a stored answer is read back without its policy."""

    bought: Mapping[float, float]

    def flops_for(self, target: Question, best_at: BestRun) -> float | Unanswered:
        """Give the FLOPs that were bought, where that is known."""
        del best_at
        flops = self.bought.get(target.value)
        return Unanswered(target, "NoPrices", "no policy is at hand") if flops is None else flops


def _around(money: float, priced: Priced) -> tuple[float, float] | float:
    """Find ln C of a run that the money pays for, and of one ten times larger that it does not.

    Where there is no such pair: ln C of the last run that was tried.
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


def _refusal(target: Question, plan: RunPlan) -> Unanswered:
    message = plan.message or "no run costs that: the smallest takes more, or the largest less"
    return Unanswered(target, plan.reason or "OutOfReach", message)
