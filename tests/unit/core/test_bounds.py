"""Nothing waits or repeats for ever, and no list of a status grows without a bound."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from planned_machines import observed, sizing

from scaling_operator.api.names import (
    MAX_ATTEMPTS,
    MAX_SCALES,
    ConditionType,
    Reason,
    TrialState,
)
from scaling_operator.api.status import (
    MAX_DATA_NOTES,
    MAX_EARLY_POINTS,
    MAX_FRONT,
    BestTrial,
)
from scaling_operator.core.actions import EndAttempt, EndTrial, Launch, SetState
from scaling_operator.core.bounds import (
    LAST_VALUES_SECONDS,
    LONGEST_PAUSE_SECONDS,
    MAX_BACKOFF_DOUBLINGS,
    MOST_VALUES,
    REQUEST_SECONDS,
)
from scaling_operator.core.curve import thin
from scaling_operator.core.finisher import Finished, FinishingStep, finishing
from scaling_operator.core.observed import (
    ABSENT,
    AttemptPhase,
    AttemptView,
    LiveTrial,
    Observed,
    Rules,
)
from scaling_operator.core.plan import plan
from scaling_operator.core.reasons import counts
from scaling_operator.core.settle import launch_time
from scaling_operator.validation.crd import KINDS, definition
from scaling_trainer import report_client
from scaling_trainer.results import MAX_METRICS

TRIALS = {"parallel": 4, "timeout": "100s", "pendingTimeout": "50s", "maxInterruptions": 2}
LONGEST_SECONDS = 100.0
"""The longer of the two; every wait ends by then, and every attempt."""
PENDING_SECONDS = 50.0
NO_ROOM = {"limit": 0}

INTERRUPTIONS = {
    *(Reason.EVICTED, Reason.PREEMPTED, Reason.NODE_LOST, Reason.POD_DELETED, Reason.STORAGE_FULL)
}


def at(now_seconds: float, live: LiveTrial, *, has_room: bool) -> Observed:
    room = {} if has_room else NO_ROOM
    observation = observed(live, view=sizing(live, **room), trials=TRIALS)
    rules = Rules(max_trials=1, queueing_grace_seconds=5.0, no_result_grace_seconds=10.0)
    return replace(observation, now_seconds=now_seconds, rules=rules)


VIEWS = [
    AttemptView(phase, reason, since_seconds=0.0, exit_code=code, is_refused=refused)
    for phase, reason, code, refused in itertools.product(
        AttemptPhase, (None, *Reason), (None, 0, 1, 86, 87), (False, True)
    )
]


@pytest.mark.slow
@pytest.mark.parametrize("state", [TrialState.RUNNING, TrialState.QUEUED])
@pytest.mark.parametrize("has_room", [True, False])
def test_every_wait_of_a_trial_ends_by_itself(state: TrialState, *, has_room: bool) -> None:
    """Time alone passes, from one moment that the plan asks for to the next."""
    for view in VIEWS:
        live, now = LiveTrial(0, 0, state, view=view), 0.0
        while True:
            decided = plan(at(now, live, has_room=has_room))
            if not decided.actions:
                assert decided.wake_at_seconds is not None, f"waits for ever: {view}"
                now = decided.wake_at_seconds
                assert now <= LONGEST_SECONDS, f"waits too long: {view}"
                continue
            (action,) = decided.actions
            if not isinstance(action, SetState):
                assert isinstance(action, EndAttempt | EndTrial | Launch)
                break
            queued = action.queued_seconds
            assert (action.state, queued) != (live.state, live.queued_seconds)
            live = replace(live, state=action.state, queued_seconds=queued)


FINISHERS = [
    pytest.param(AttemptPhase.WAITING, Reason.UNSCHEDULABLE, id="it waits for a node"),
    pytest.param(AttemptPhase.WAITING, None, id="it is being started"),
    pytest.param(AttemptPhase.RUNNING, None, id="it runs"),
    pytest.param(AttemptPhase.EXITED, None, id="it has ended"),
    pytest.param(AttemptPhase.LOST, Reason.EVICTED, id="it is evicted again and again"),
    pytest.param(AttemptPhase.LOST, Reason.NODE_LOST, id="its nodes are lost"),
    pytest.param(AttemptPhase.LOST, Reason.POD_DELETED, id="somebody deletes it"),
]


def test_every_phase_of_a_finisher_is_walked() -> None:
    """One that is not there yet is made; what that waits for, `test_cluster_finishing` walks."""
    assert {parameters.values[0] for parameters in FINISHERS} | {AttemptPhase.ABSENT} == set(
        AttemptPhase
    )


@pytest.mark.parametrize(("phase", "reason"), FINISHERS)
def test_every_wait_of_the_finisher_ends_by_itself(
    phase: AttemptPhase, reason: Reason | None
) -> None:
    """Time alone passes. One that is discarded is made again, and meets the same at once."""
    spec = observed(trials=TRIALS).spec
    best = BestTrial(trial="0-0", scale=0, number=0, values=(0.5,))
    for now in range(0, 1000, 10):
        began = float(now) if phase is AttemptPhase.LOST else 0.0
        view = AttemptView(phase, reason, since_seconds=began, exit_code=1)
        step = finishing(best, view, spec, float(now), ended_seconds=0.0)
        if isinstance(step, Finished):
            assert not step.export.saved
            assert step.export.message
            assert now <= LONGEST_SECONDS + PENDING_SECONDS
            return
        assert step is not FinishingStep.CREATE
    pytest.fail("it waits for ever")


def test_the_bounds_of_reports_are_those_of_the_trainer() -> None:
    reporter = importlib.import_module("scaling_trainer.report")  # the package's name is a function
    bounds = (REQUEST_SECONDS, LONGEST_PAUSE_SECONDS, LAST_VALUES_SECONDS, MOST_VALUES)
    assert bounds == (
        report_client.TIMEOUT_SECONDS,
        report_client.LONGEST_PAUSE_SECONDS,
        reporter.PATIENCE_SECONDS,
        reporter.MAX_WAITING,
    )


def test_a_trial_that_waits_for_a_limit_fails_after_its_pending_timeout() -> None:
    live = LiveTrial(0, 0, TrialState.QUEUED, view=ABSENT, queued_seconds=20.0)

    before, after = (plan(at(now, live, has_room=False)) for now in (69.9, 70.0))

    assert (before.actions, before.wake_at_seconds) == ((), 70.0)
    (action,) = after.actions
    assert isinstance(action, EndTrial)
    assert (action.state, action.reason) == (TrialState.FAILED, Reason.QUOTA_EXCEEDED)
    assert action.message.startswith("waited longer than 0:00:50: limits.experiment.gpus allows 0")
    assert isinstance(plan(at(70.0, live, has_room=True)).actions[0], Launch), "room comes first"


@pytest.mark.parametrize("reason", sorted({*INTERRUPTIONS, Reason.SUSPENDED, Reason.OOM_KILLED}))
def test_the_last_attempt_is_the_last_whatever_ends_it(reason: Reason) -> None:
    before = (Reason.SUSPENDED,) * (MAX_ATTEMPTS - 1)
    phase = AttemptPhase.EXITED if reason is Reason.OOM_KILLED else AttemptPhase.LOST
    view = AttemptView(phase, reason, exit_code=137)
    suspend = reason is Reason.SUSPENDED
    if suspend:
        view = AttemptView(AttemptPhase.RUNNING)

    def decided(ended: tuple[Reason, ...]) -> Any:
        live = LiveTrial(0, 0, ended_attempts=ended, view=view)
        observation = observed(live, trials=TRIALS, suspend=suspend)
        (action,) = plan(replace(observation, now_seconds=1.0)).actions
        return action

    assert isinstance(decided(before[1:]), EndAttempt)
    last = decided(before)
    assert isinstance(last, EndTrial)
    assert (last.state, last.reason) == (TrialState.FAILED, reason)
    assert (not counts(reason)) == (reason is not Reason.OOM_KILLED)


def test_pauses_between_attempts_stop_growing() -> None:
    rules = Rules(max_trials=1, backoff_seconds=5.0)

    def pause(interruptions: int) -> float:
        ended = (Reason.EVICTED,) * interruptions
        return launch_time(LiveTrial(0, 0, ended_attempts=ended, last_ended_seconds=0.0), rules)

    assert [pause(count) for count in (1, 2, 3)] == [5.0, 10.0, 20.0]
    assert pause(90) == 5.0 * 2**MAX_BACKOFF_DOUBLINGS


@pytest.mark.parametrize("changes", [{"suspend": True}, {}], ids=["suspended", "no policy"])
def test_no_trial_waits_while_nothing_may_start(changes: dict[str, Any]) -> None:
    """Its wait begins anew when something may."""
    live = LiveTrial(0, 0, TrialState.QUEUED, view=ABSENT, queued_seconds=-1e6)
    observation = observed(live, trials=TRIALS, **changes)
    assert observation.sizing is not None
    if not changes:
        start_check = replace(observation.sizing.start_check, reason="PolicyNotFound")
        observation = replace(
            observation, sizing=replace(observation.sizing, start_check=start_check)
        )

    assert plan(observation).actions == (SetState(0, 0, TrialState.RUNNING, None, ""),)


def lists_of(schema: Mapping[str, Any], path: str) -> Iterator[tuple[str, int | None]]:
    """Give each list and map below a schema, with its bound."""
    if schema.get("type") == "array":
        yield path, schema.get("maxItems")
        yield from lists_of(schema["items"], f"{path}[]")
    for name, below in schema.get("properties", {}).items():
        yield from lists_of(below, f"{path}.{name}")
    more = schema.get("additionalProperties")
    if isinstance(more, dict):
        yield path, schema.get("maxProperties")


def bounds_of_lists() -> dict[str, int | None]:
    lists: dict[str, int | None] = {}
    for kind in KINDS:
        schema = definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        lists |= dict(lists_of(schema["properties"]["status"], f"{kind.kind}.status"))
    return lists


def of_spec(*path: str) -> int:
    """Give the bound of a list of an experiment's spec."""
    (kind,) = (kind for kind in KINDS if kind.kind == "ScalingExperiment")
    node: Any = definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for step in ("spec", *path):
        node = node["properties"][step]
    return int(node.get("maxItems", node.get("maxProperties", node.get("maximum"))))


def most_points() -> int:
    warm = of_spec("search", "warmStart", "from") * of_spec("search", "warmStart", "topK")
    own = of_spec("search", "warmStart", "points")
    return warm + own + of_spec("scaling", "transfer", "topK")


REFINED = 10
"""Scales that `refine` adds at most."""
# What fills each list can give so many at most. The longest suffix of a path that stands here.
MOST: dict[str, Callable[[], int]] = {
    ".status.conditions": lambda: len(ConditionType),
    ".values": lambda: of_spec("objectives"),
    ".metrics": lambda: MAX_METRICS,
    ".testMetrics": lambda: MAX_METRICS,
    ".front": lambda: MAX_FRONT,
    ".scales": lambda: MAX_SCALES + REFINED,
    ".scales[].ranges": lambda: of_spec("search", "parameters"),
    ".scales[].points": most_points,
    ".fit.parameters": lambda: len(("E", "A", "B", "alpha", "beta", "gamma")),
    ".fit.intervals": lambda: len(("E", "A", "B", "alpha", "beta", "gamma")),
    ".fit.leftOut": lambda: (MAX_SCALES + REFINED) * 9,
    ".optima": lambda: MAX_SCALES + REFINED,
    ".fit.hyperparameters": lambda: of_spec("search", "parameters"),
    ".recommendations": lambda: of_spec("scaling", "targets"),
    ".recommendations[].intervals": lambda: 5,
    ".dataNotes": lambda: MAX_DATA_NOTES,
    ".attempts": lambda: MAX_ATTEMPTS,
    ".curve": lambda: len(thin((step, 0.0) for step in range(1, 10_001))),
    "ScalingTrial.status.points": lambda: MAX_EARLY_POINTS,
}


@pytest.mark.parametrize(("path", "bound"), bounds_of_lists().items())
def test_every_list_of_a_status_has_room_for_all_that_fills_it(
    path: str, bound: int | None
) -> None:
    assert bound is not None, "a list without a bound"
    cases = [suffix for suffix in MOST if path.endswith(suffix)]
    assert cases, f"{path} is new: say in MOST how much can get into it"
    most = MOST[max(cases, key=len)]()
    if path.startswith("ResourcePolicy"):
        most = len((ConditionType.READY, ConditionType.OFFERED))
    assert most <= bound
