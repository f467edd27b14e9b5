"""What a plan costs grows with the live trials, and no faster: counted in calls, not in time."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import pytest
from live_trials import engine, plan_of

from scaling_operator.kube.reconcile.workload_kinds import JOB_KIND, POD_KIND, WorkloadKind
from scaling_operator.runtime.engine import Engine

MOST_CALLS = 120
"""Of Python's functions and of built-in ones, for one more live trial in a plan; the time that
they take is what `make benchmark-plan` measures."""
KINDS = [pytest.param(POD_KIND, id="pods"), pytest.param(JOB_KIND, id="Jobs")]


def calls_of(measured: Engine) -> int:
    """Count the calls that a plan takes once everything has been seen before."""
    plan_of(measured)
    count = 0

    def note(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal count
        del frame, argument
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        plan_of(measured)
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sized", [True, False], ids=["with a policy", "without a policy"])
def test_one_more_live_trial_costs_a_plan_no_more_than_the_one_before(
    kind: WorkloadKind, *, sized: bool
) -> None:
    none, some, many = (calls_of(engine(kind, live, sized=sized)) for live in (1, 101, 301))

    first, next_ones = (some - none) / 100, (many - some) / 200
    assert first <= MOST_CALLS
    assert next_ones <= first * 1.05, "in proportion: nobody looks at all trials for each of them"


@pytest.mark.parametrize("kind", KINDS)
def test_scales_and_live_trials_add_to_the_cost_and_do_not_multiply_it(kind: WorkloadKind) -> None:
    def calls(live: int, scales: int) -> int:
        return calls_of(engine(kind, live, scales))

    by_trials = calls(220, 2) - calls(20, 2)
    assert calls(220, 20) - calls(20, 20) <= by_trials * 1.1
