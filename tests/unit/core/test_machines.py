"""What a plan does with machines: verdicts, room, order, budgets; and what a status records."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from planned_machines import NO_NODE, ONE, RUNS, observed, sizing

from scaling_operator.api.names import ConditionReason, Reason, StopReason, TrialState
from scaling_operator.api.status import TrialStatus
from scaling_operator.api.status_sizing import AttemptResources
from scaling_operator.core.actions import Ask, EndAttempt, EndTrial, Launch, SetState
from scaling_operator.core.observed import (
    ABSENT,
    LiveTrial,
)
from scaling_operator.core.plan import plan
from scaling_operator.core.trial_status import Machine, attempt_ended, finished
from scaling_operator.sizing.resource_plan import StartCheck
from scaling_operator.sizing.usage import NoMachineLeft, Usage


def test_a_bad_verdict_starts_nothing_and_says_why() -> None:
    view = sizing(start_check=StartCheck(ConditionReason.OVER_BUDGET, "far too dear"))
    decided = plan(observed(view=view))

    (condition,) = [
        condition for condition in decided.status.conditions if condition.type == "Sized"
    ]
    assert decided.actions == ()
    assert (condition.status, condition.reason) == ("False", "OverBudget")
    assert condition.message == "far too dear"


def test_only_as_many_trials_are_asked_for_as_there_is_room() -> None:
    actions = plan(observed(view=sizing(limit=2))).actions

    assert [action for action in actions if isinstance(action, Ask)] == [
        Ask(0, 0, None),
        Ask(0, 1, None),
    ]


def test_nothing_is_asked_for_beside_a_trial_that_no_node_takes() -> None:
    waits = LiveTrial(0, 0, TrialState.QUEUED, view=NO_NODE)

    assert plan(observed(waits)).actions == ()


def test_a_queue_sees_all_that_wait_for_it() -> None:
    held = replace(NO_NODE, reason=Reason.QUOTA_EXCEEDED)
    waits = LiveTrial(0, 0, TrialState.QUEUED, view=held)
    queued = sizing(waits, is_queued=True)

    assert plan(observed(waits)).actions == ()
    asked = [
        action for action in plan(observed(waits, view=queued)).actions if isinstance(action, Ask)
    ]
    assert len(asked) == 3


def test_a_live_trial_without_room_is_queued_with_the_reason_once() -> None:
    runs, next_attempt = LiveTrial(0, 0, view=RUNS), LiveTrial(0, 1, view=ABSENT)
    view = sizing(runs, next_attempt, limit=1)

    actions = plan(observed(runs, next_attempt, view=view)).actions
    assert actions == (
        SetState(
            scale=0,
            number=1,
            state=TrialState.QUEUED,
            reason=Reason.QUOTA_EXCEEDED,
            message="limits.experiment.gpus allows 1, 1 are held",
            queued_seconds=100.0,
        ),
    )
    queued = replace(next_attempt, state=TrialState.QUEUED, queued_seconds=100.0)
    assert plan(observed(runs, queued, view=view)).actions == ()


def test_the_next_attempt_of_the_largest_trial_starts_first() -> None:
    small, large = LiveTrial(0, 0, view=ABSENT), LiveTrial(0, 1, view=ABSENT)
    demands = {(0, 0): replace(ONE, device_bytes=1), (0, 1): replace(ONE, device_bytes=2)}

    actions = plan(observed(small, large, view=sizing(demands=demands))).actions

    assert actions == (Launch(0, 1, 0), Launch(0, 0, 0))


BUDGETS: list[Any] = [
    pytest.param({"gpuHours": 10}, Usage(10.0), 0.0, id="GPU hours are used up"),
    pytest.param({"gpuHours": 10}, Usage(9.0), 1800.0, id="at two GPU hours an hour"),
    pytest.param({"cost": 10}, Usage(0.0, 4.0), 3600.0, id="at six an hour"),
    pytest.param({"cost": 10, "gpuHours": 3}, Usage(1.0, 4.0), 3600.0, id="whichever ends first"),
    pytest.param({"cost": 10, "duration": "150s"}, Usage(), 50.0, id="or time does"),
]


@pytest.mark.parametrize(("budget", "used", "left_seconds"), BUDGETS)
def test_a_budget_ends_when_what_runs_has_used_it_up(
    budget: dict[str, Any], used: Usage, left_seconds: float
) -> None:
    runs = LiveTrial(0, 0, view=RUNS)
    view = sizing(runs, limit=1, used=used, rate=Usage(2.0, 6.0))
    decided = plan(observed(runs, view=view, budget=budget))

    if left_seconds == 0:
        assert decided.actions == (EndTrial(0, 0, TrialState.STOPPED, StopReason.BUDGET_EXHAUSTED),)
    else:
        assert decided.wake_at_seconds == 100.0 + left_seconds


def test_a_budget_that_suspends_gives_machines_back() -> None:
    runs = LiveTrial(0, 0, view=RUNS)
    view = sizing(runs, used=Usage(10.0))
    budget = {"gpuHours": 10, "onExceeded": "suspend"}

    decided = plan(observed(runs, view=view, budget=budget))

    assert decided.actions == (EndAttempt(0, 0, 0, Reason.SUSPENDED, "suspended"),)
    assert decided.status.phase == "Suspended"


HOPELESS = [Reason.INFEASIBLE, Reason.ACCELERATOR_OOM, Reason.OOM_KILLED]


@pytest.mark.parametrize("reason", HOPELESS)
def test_a_trial_for_which_no_machine_is_left_fails_at_once(reason: Reason) -> None:
    left = NoMachineLeft(reason, "nothing is left")
    view = sizing(no_machine={(0, 0): left})

    (action,) = plan(observed(LiveTrial(0, 0, view=ABSENT), view=view)).actions

    assert isinstance(action, EndTrial)
    assert (action.state, action.reason) == (TrialState.FAILED, reason)
    assert action.message == "nothing is left"


def test_a_trial_that_has_its_workload_goes_on_though_no_other_machine_is_left() -> None:
    left = NoMachineLeft(Reason.INFEASIBLE, "nothing is left")
    view = sizing(no_machine={(0, 0): left})

    assert (
        plan(observed(LiveTrial(0, 0, view=RUNS), view=view, trials={"parallel": 1})).actions == ()
    )


MACHINE = Machine(AttemptResources(shape="gpu", count=2), 100.0, Usage(2.0, 8.0))


def test_every_attempt_is_recorded_with_its_machine_and_use() -> None:
    first = attempt_ended(
        TrialStatus(), EndAttempt(0, 0, 0, Reason.OOM_KILLED, "no more"), 1900.0, MACHINE
    )
    done = finished(first, EndTrial(0, 0, TrialState.SUCCEEDED, exit_code=0), (), 3700.0, MACHINE)

    assert [(attempt.number, attempt.reason) for attempt in done.attempts] == [
        (0, Reason.OOM_KILLED), (1, None)
    ]  # fmt: skip
    assert all(attempt.resources == MACHINE.resources for attempt in done.attempts)
    assert (first.gpu_hours, first.cost) == (1.0, 4.0)
    assert (done.gpu_hours, done.cost) == (3.0, 12.0)


def test_an_attempt_that_never_had_its_machine_costs_nothing() -> None:
    waited = replace(MACHINE, started_seconds=None)

    done = finished(TrialStatus(), EndTrial(0, 0, TrialState.STOPPED), (), 50.0, waited)

    assert (done.gpu_hours, done.cost) == (0.0, 0.0)
