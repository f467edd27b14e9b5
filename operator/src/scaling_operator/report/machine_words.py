"""What a recommended run takes, in words: its machine, its time, its cost, and what is unknown."""

from __future__ import annotations

from scaling_operator.api.fitted import Recommendation
from scaling_operator.report.formatting import duration, listing, number
from scaling_operator.sizing.run_plan import RunPlan

LESS_THAN_A_SECOND = 1.0


def plan_of(stored: Recommendation) -> RunPlan:
    """Read a plan back from a status."""
    return RunPlan(
        shape=stored.shape,
        count=stored.count,
        hours=stored.hours,
        gpu_hours=stored.gpu_hours,
        cost=stored.cost,
        reason=stored.machine_reason,
        message=stored.machine_message or "",
    )


def run_words(plan: RunPlan) -> tuple[str, ...]:
    """Write what is known: `8 x h100`, `6 h 2 min`, `48.3 GPU hours`, `a cost of 193`."""
    words: list[str] = []
    if plan.shape is not None:
        words.append(f"{plan.count} x {plan.shape}" if plan.count else plan.shape)
    if plan.hours is not None:
        words.append(duration(max(plan.hours * 3600, LESS_THAN_A_SECOND)))
    if plan.gpu_hours:
        words.append(f"{number(plan.gpu_hours, 3)} GPU hours")
    if plan.cost is not None:
        words.append(f"a cost of {number(plan.cost, 3)}")
    return tuple(words)


def machine_sentence(plan: RunPlan) -> str:
    """Say what a run takes, and what of it is unknown; nothing where no policy was given."""
    if plan.reason == "NoPolicy":
        return ""
    words = run_words(plan)
    if not words:
        return f"What it takes is unknown: {plan.message}." if plan.message else ""
    unknown = f"; {plan.message}" if plan.message else ""
    return f"Such a run takes {listing(words)}{unknown}."
