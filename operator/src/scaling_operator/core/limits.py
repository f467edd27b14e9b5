"""What keeps an experiment from starting anything: asked by the plan, and by its neighbours."""

from __future__ import annotations

from scaling_operator.core.observed import Observed
from scaling_operator.core.status import budget_deadline, has_failed, is_complete


def may_start_nothing(observed: Observed) -> bool:
    """Whether no workload and no trial may begin now, however much room there is."""
    return (
        is_suspended(observed)
        or has_failed(observed)
        or budget_is_spent(observed)
        or is_complete(observed)
        or (observed.sizing is not None and not observed.sizing.start_check.may_start)
    )


def is_suspended(observed: Observed) -> bool:
    """Whether the spec says so, or the budget is spent and suspends."""
    spent = budget_is_spent(observed) and observed.spec.budget.on_exceeded == "suspend"
    return observed.spec.suspend or spent


def budget_is_spent(observed: Observed) -> bool:
    """Whether time, GPU hours or money are used up."""
    end = budget_deadline(observed)
    return end is not None and observed.now_seconds >= end
