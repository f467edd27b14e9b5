"""What may start now: launches and asks, with and without a policy's machines."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from planned_machines import GOOD, NO_NODE, ONE, RUNS, observed, sizing

from scaling_operator.api.names import ConditionReason, Reason, TrialState
from scaling_operator.core.actions import Action, Ask, EndTrial, Launch, SetState
from scaling_operator.core.ladder import Scale
from scaling_operator.core.observed import LiveTrial, Observed, Rules, ScaleView
from scaling_operator.core.starting import asks, capacity_of, launches, may_ask, wants_more
from scaling_operator.core.tally import Tally
from scaling_operator.sizing.resource_plan import StartCheck

FIRST, SECOND = LiveTrial(0, 0), LiveTrial(0, 1)
QUEUED = replace(FIRST, state=TrialState.QUEUED, queued_seconds=0.0)


def without_policy(*live: LiveTrial, **changes: Any) -> Observed:
    return replace(observed(*live, **changes), sizing=None)


@pytest.mark.parametrize(
    ("observation", "actions"),
    [
        pytest.param(
            without_policy(FIRST, SECOND),
            (Launch(0, 0, 0), Launch(0, 1, 0)),
            id="without a policy every trial without a workload is launched",
        ),
        pytest.param(
            without_policy(replace(FIRST, view=RUNS), SECOND),
            (Launch(0, 1, 0),),
            id="a trial with a workload is not launched",
        ),
        pytest.param(
            without_policy(replace(FIRST, ended_attempts=(Reason.SUSPENDED,))),
            (Launch(0, 0, 1),),
            id="the next attempt has the next number",
        ),
        pytest.param(
            replace(without_policy(FIRST, SECOND), changing=frozenset({(0, 0)})),
            (Launch(0, 1, 0),),
            id="a trial with an action under way is left alone",
        ),
        pytest.param(
            observed(FIRST, SECOND),
            (Launch(0, 0, 0), Launch(0, 1, 0)),
            id="a policy without limits has room for all",
        ),
    ],
)
def test_launches(observation: Observed, actions: tuple[Action, ...]) -> None:
    assert launches(observation) == actions


def test_an_interrupted_trial_is_launched_after_its_pause() -> None:
    interrupted = replace(FIRST, ended_attempts=(Reason.EVICTED,), last_ended_seconds=95.0)
    rules = Rules(max_trials=10, backoff_seconds=10.0)
    observation = replace(without_policy(interrupted), rules=rules)
    assert launches(observation) == ()
    assert launches(replace(observation, now_seconds=105.0)) == (Launch(0, 0, 1),)


def test_a_trial_without_room_is_queued_since_now() -> None:
    launch, queued = launches(observed(FIRST, SECOND, view=sizing(FIRST, SECOND, limit=1)))
    assert launch == Launch(0, 0, 0)
    assert isinstance(queued, SetState)
    assert (queued.number, queued.state) == (1, TrialState.QUEUED)
    assert queued.reason is Reason.QUOTA_EXCEEDED
    assert queued.queued_seconds == 100.0


@pytest.mark.parametrize(
    ("pending_timeout", "fails"),
    [
        pytest.param("101s", False, id="before pendingTimeout it waits on"),
        pytest.param("100s", True, id="at pendingTimeout it fails"),
    ],
)
def test_a_queued_trial_does_not_wait_for_ever(pending_timeout: str, *, fails: bool) -> None:
    view = sizing(QUEUED, limit=0)
    trials = {"parallel": 4, "pendingTimeout": pending_timeout}
    actions = launches(observed(QUEUED, view=view, trials=trials))
    assert [type(action) for action in actions] == ([EndTrial] if fails else [])
    for action in actions:
        assert isinstance(action, EndTrial)
        assert (action.state, action.reason) == (TrialState.FAILED, Reason.QUOTA_EXCEEDED)
        assert action.message.startswith("waited longer than 0:01:40: ")


def view_of(index: int, *, created: int = 0, **changes: Any) -> ScaleView:
    return ScaleView(Scale(index), Tally(), open=True, created=created, **changes)


def test_free_slots_are_asked_for_scale_by_scale_at_the_points_to_try_first() -> None:
    scales = (view_of(0, created=9), view_of(1, points=({"x": 0.5},)))
    observation = replace(without_policy(replace(FIRST, view=RUNS)), scales=scales)
    assert list(asks(observation)) == [
        Ask(0, 9, None),
        Ask(1, 0, {"x": 0.5}),
        Ask(1, 1, None),
    ]


def test_no_trial_is_asked_for_in_a_closed_scale_or_at_its_goal() -> None:
    scales = (replace(view_of(0), open=False), replace(view_of(1), tally=Tally(goal_reached=True)))
    assert not list(asks(replace(without_policy(), scales=scales)))


def test_trials_that_are_being_created_have_their_slots_and_their_room() -> None:
    observation = replace(
        observed(view=replace(sizing(limit=3), scale_demands={0: ONE})),
        asking=frozenset({(0, 0), (0, 1)}),
    )
    assert list(asks(observation)) == [Ask(0, 2, None)], "four slots, room for three"
    assert observation.sizing is not None
    assert capacity_of(observation, observation.sizing).held.gpus == 2


@pytest.mark.parametrize(
    ("created", "may"),
    [pytest.param(9, True, id="one is left"), pytest.param(10, False, id="none is left")],
)
def test_a_scale_may_be_asked_up_to_its_most_trials(created: int, *, may: bool) -> None:
    assert may_ask(without_policy(), view_of(0, created=created)) is may


def test_trials_that_run_hold_their_machines_and_those_without_a_workload_none() -> None:
    running = replace(FIRST, view=RUNS)
    observation = observed(running, SECOND)
    assert observation.sizing is not None
    assert capacity_of(observation, observation.sizing).held.gpus == 1


@pytest.mark.parametrize(
    ("reason", "is_queued", "blocks"),
    [
        pytest.param(Reason.UNSCHEDULABLE, False, True, id="no node"),
        pytest.param(Reason.UNSCHEDULABLE, True, True, id="no node, behind a queue"),
        pytest.param(Reason.QUOTA_EXCEEDED, False, True, id="a quota"),
        pytest.param(Reason.QUOTA_EXCEEDED, True, False, id="a queue sees the others itself"),
        pytest.param(Reason.IMAGE_PULL_FAILED, False, False, id="an image"),
    ],
)
def test_a_wait_says_whether_others_of_its_shape_would_wait(
    reason: Reason, *, is_queued: bool, blocks: bool
) -> None:
    waits = replace(FIRST, view=replace(NO_NODE, reason=reason))
    view = sizing(waits, is_queued=is_queued)
    capacity = capacity_of(observed(waits, view=view), view)
    assert capacity.waiting == ((("gpu", "0/3 nodes"),) if blocks else ())


@pytest.mark.parametrize(
    ("observation", "wants"),
    [
        pytest.param(without_policy(FIRST), False, id="without a policy nobody makes room"),
        pytest.param(observed(FIRST), True, id="a live trial has no workload"),
        pytest.param(observed(), False, id="every free slot finds a machine"),
        pytest.param(observed(view=sizing(limit=1)), True, id="a free slot finds no machine"),
        pytest.param(
            observed(
                FIRST,
                view=sizing(FIRST, start_check=StartCheck(ConditionReason.NOTHING_FITS)),
            ),
            False,
            id="what may not start wants nothing",
        ),
    ],
)
def test_whether_an_experiment_wants_more_machines(observation: Observed, *, wants: bool) -> None:
    assert wants_more(observation) is wants


def test_the_largest_memory_of_the_cheapest_scale_goes_first() -> None:
    small, large, dearer = LiveTrial(0, 0), LiveTrial(0, 1), LiveTrial(1, 0)
    demands = {
        (0, 0): ONE,
        (0, 1): replace(ONE, memory_bytes=2e9),
        (1, 0): replace(ONE, memory_bytes=4e9),
    }
    view = replace(sizing(limit=1), start_check=GOOD, demands=demands)
    observation = replace(
        observed(small, large, dearer, view=view), scales=(view_of(0), view_of(1))
    )
    assert launches(observation)[0] == Launch(0, 1, 0)
