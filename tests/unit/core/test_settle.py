"""Every state of a trial against every state of an attempt, and what follows."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.names import MAX_ATTEMPTS, Reason, TrialState
from scaling_operator.core.actions import Action, EndAttempt, EndTrial, SetState
from scaling_operator.core.observed import AttemptPhase, AttemptView, LiveTrial, Rules
from scaling_operator.core.reasons import counts
from scaling_operator.core.settle import deadline, settle
from scaling_trainer.results import Result

SPEC = ExperimentSpec.model_validate(
    {
        "objective": {"metric": "loss", "direction": "minimize"},
        "trials": {"timeout": "60s", "pendingTimeout": "30s", "maxInterruptions": 2},
        "trainer": {"container": {"command": ["true"]}},
    }
)
RULES = Rules(max_trials=10, max_escalations=1, no_result_grace_seconds=5)
GOOD = Result(metrics={"loss": 0.5})
LIVE_STATES = (TrialState.RUNNING, TrialState.QUEUED)

INTERRUPTIONS = {
    *(Reason.EVICTED, Reason.PREEMPTED, Reason.NODE_LOST, Reason.POD_DELETED, Reason.STORAGE_FULL)
}


def outcome(trial: LiveTrial, now_seconds: float = 10) -> Action | None:
    return settle(trial, spec=SPEC, rules=RULES, now_seconds=now_seconds)


def trial(view: AttemptView, *ended: Reason, state: TrialState = TrialState.RUNNING) -> LiveTrial:
    return LiveTrial(0, 7, state, ended, view)


VIEWS = [
    AttemptView(phase, reason, "", exit_code, result, problem)
    for phase, reason, exit_code, result, problem in itertools.product(
        AttemptPhase,
        (None, *Reason),
        (None, 0, 1, 86, 87, 88, 89, 137),
        (None, GOOD),
        (None, "not JSON"),
    )
]


@pytest.mark.parametrize("state", LIVE_STATES)
@pytest.mark.parametrize("age_seconds", [0.0, 1e6])
def test_every_cell_of_the_table_is_decided(state: TrialState, age_seconds: float) -> None:
    for view in VIEWS:
        action = outcome(trial(view, state=state), now_seconds=age_seconds)
        decided = isinstance(action, EndTrial | EndAttempt)
        match view.phase:
            case AttemptPhase.ABSENT:
                assert action is None, "a missing workload is the plan's to launch, never judged"
            case AttemptPhase.EXITED | AttemptPhase.LOST if age_seconds:
                assert decided, f"an ended attempt never waits for ever: {view}"
            case AttemptPhase.RUNNING | AttemptPhase.WAITING if age_seconds:
                assert isinstance(action, EndTrial), f"time bounds what runs and waits: {view}"
            case _:
                pass
        if isinstance(action, SetState):
            assert action.state is not state, "a state is written only when it changes"


def test_a_trial_succeeds_only_by_exit_0_with_a_valid_result() -> None:
    for view in VIEWS:
        action = outcome(trial(view))
        if isinstance(action, EndTrial) and action.state is TrialState.SUCCEEDED:
            assert view.phase is AttemptPhase.EXITED
            assert (view.exit_code, view.result, view.result_problem) == (0, GOOD, None)
            assert action.values == (0.5,)


@pytest.mark.parametrize(
    ("view", "state", "reason"),
    [
        pytest.param(
            AttemptView(AttemptPhase.EXITED, exit_code=0, result=GOOD),
            TrialState.SUCCEEDED,
            None,
            id="exit 0 with a finite value succeeds",
        ),
        pytest.param(
            AttemptView(AttemptPhase.EXITED, exit_code=1, result=GOOD),
            TrialState.FAILED,
            Reason.TRAINER_FAILED,
            id="a result counts only with exit 0",
        ),
        pytest.param(
            AttemptView(AttemptPhase.EXITED, exit_code=0),
            TrialState.FAILED,
            Reason.NO_RESULT,
            id="exit 0 without a result fails after the grace",
        ),
        pytest.param(
            AttemptView(AttemptPhase.EXITED, exit_code=0, result_problem="not JSON"),
            TrialState.FAILED,
            Reason.INVALID_RESULT,
            id="an unreadable result fails at once",
        ),
        pytest.param(
            AttemptView(AttemptPhase.EXITED, exit_code=0, result=Result(metrics={"other": 1})),
            TrialState.FAILED,
            Reason.INVALID_RESULT,
            id="a result without the objective is invalid",
        ),
        pytest.param(
            AttemptView(AttemptPhase.EXITED, exit_code=0, result=Result(values=(1.0, 2.0))),
            TrialState.FAILED,
            Reason.INVALID_RESULT,
            id="two values for one objective are invalid",
        ),
        pytest.param(
            AttemptView(AttemptPhase.EXITED, exit_code=87),
            TrialState.FAILED,
            Reason.DIVERGED,
            id="exit 87 is divergence",
        ),
        pytest.param(
            AttemptView(AttemptPhase.EXITED, exit_code=88, message="dataset.path: none.csv"),
            TrialState.FAILED,
            Reason.DATA_ERROR,
            id="exit 88 says that the data cannot be used",
        ),
        pytest.param(
            AttemptView(AttemptPhase.EXITED, exit_code=137),
            TrialState.FAILED,
            Reason.TRAINER_FAILED,
            id="137 alone proves no lack of memory",
        ),
        pytest.param(
            AttemptView(AttemptPhase.WAITING, Reason.IMAGE_PULL_FAILED, "no such image"),
            TrialState.FAILED,
            Reason.IMAGE_PULL_FAILED,
            id="an image that cannot be pulled fails",
        ),
        pytest.param(
            AttemptView(AttemptPhase.RUNNING, since_seconds=-60),
            TrialState.FAILED,
            Reason.TIMED_OUT,
            id="running longer than the timeout fails",
        ),
        pytest.param(
            AttemptView(AttemptPhase.WAITING, Reason.UNSCHEDULABLE, since_seconds=-30),
            TrialState.FAILED,
            Reason.UNSCHEDULABLE,
            id="waiting longer than the pending timeout fails",
        ),
    ],
)
def test_an_attempt_that_cannot_go_on_ends_its_trial(
    view: AttemptView, state: TrialState, reason: Reason | None
) -> None:
    action = outcome(trial(view))
    assert isinstance(action, EndTrial)
    assert (action.state, action.reason) == (state, reason)


def test_a_trial_is_not_called_queued_before_a_scheduler_could_look_again() -> None:
    rules = replace(RULES, queueing_grace_seconds=5.0)
    view = AttemptView(AttemptPhase.WAITING, Reason.UNSCHEDULABLE, "no GPU", since_seconds=10)
    live = trial(view)
    assert settle(live, spec=SPEC, rules=rules, now_seconds=14.9) is None
    assert deadline(live, spec=SPEC, rules=rules) == 15.0
    action = settle(live, spec=SPEC, rules=rules, now_seconds=15.0)
    assert isinstance(action, SetState)
    assert action.state is TrialState.QUEUED


def test_a_queued_trial_is_written_once_and_runs_again_when_it_may() -> None:
    waiting = AttemptView(AttemptPhase.WAITING, Reason.UNSCHEDULABLE, "no GPU", since_seconds=10)
    running = AttemptView(AttemptPhase.RUNNING, since_seconds=10)
    assert isinstance(outcome(trial(waiting)), SetState)
    assert outcome(trial(waiting, state=TrialState.QUEUED)) is None
    again = outcome(trial(running, state=TrialState.QUEUED))
    assert isinstance(again, SetState)
    assert again.state is TrialState.RUNNING


@pytest.mark.parametrize("reason", sorted(INTERRUPTIONS))
def test_interruptions_repeat_the_attempt_and_never_count_as_failures(reason: Reason) -> None:
    view = AttemptView(AttemptPhase.LOST, reason)
    assert isinstance(outcome(trial(view, reason)), EndAttempt)
    ended = outcome(trial(view, reason, reason))
    assert isinstance(ended, EndTrial)
    assert not counts(ended.reason)


def test_a_disk_that_is_full_is_nobodys_failure_and_the_attempt_is_repeated() -> None:
    view = AttemptView(AttemptPhase.EXITED, exit_code=89, message="/artifacts: no space")
    action = outcome(trial(view))
    assert isinstance(action, EndAttempt)
    assert (action.reason, action.message) == (Reason.STORAGE_FULL, "/artifacts: no space")
    ended = outcome(trial(view, Reason.STORAGE_FULL, Reason.STORAGE_FULL))
    assert isinstance(ended, EndTrial)
    assert ended.reason is Reason.STORAGE_FULL


@pytest.mark.parametrize(
    ("exit_code", "reason"), [(86, Reason.ACCELERATOR_OOM), (89, Reason.STORAGE_FULL)]
)
def test_an_attempt_that_ends_without_a_word_is_told_by_its_exit_code(
    exit_code: int, reason: Reason
) -> None:
    view = AttemptView(AttemptPhase.EXITED, exit_code=exit_code)
    action = outcome(trial(view))
    assert isinstance(action, EndAttempt)
    assert action.reason is reason
    assert action.message == f"the trainer ended with exit code {exit_code}"


def test_only_interruptions_in_a_row_are_bounded() -> None:
    view = AttemptView(AttemptPhase.LOST, Reason.EVICTED)
    broken_row = (Reason.EVICTED, Reason.EVICTED, Reason.OOM_KILLED)
    assert isinstance(outcome(trial(view, *broken_row)), EndAttempt)


@pytest.mark.parametrize(
    "view",
    [
        pytest.param(
            AttemptView(AttemptPhase.EXITED, Reason.OOM_KILLED, exit_code=137), id="host memory"
        ),
        pytest.param(AttemptView(AttemptPhase.EXITED, exit_code=86), id="accelerator memory"),
        pytest.param(
            AttemptView(AttemptPhase.EXITED, exit_code=1, result=Result(reason="AcceleratorOOM")),
            id="accelerator memory by the trainer's own word",
        ),
    ],
)
def test_running_out_of_memory_escalates_until_nothing_is_left(view: AttemptView) -> None:
    assert isinstance(outcome(trial(view)), EndAttempt)
    ended = outcome(trial(view, Reason.OOM_KILLED))
    assert isinstance(ended, EndTrial)
    assert counts(ended.reason)


def test_attempts_are_bounded_whatever_their_reasons() -> None:
    view = AttemptView(AttemptPhase.LOST, Reason.EVICTED)
    before = tuple(
        Reason.EVICTED if index % 2 else Reason.OOM_KILLED for index in range(MAX_ATTEMPTS - 1)
    )
    assert isinstance(outcome(trial(view, *before)), EndTrial)


@pytest.mark.parametrize("phase", AttemptPhase)
def test_at_its_deadline_a_trial_is_decided(phase: AttemptPhase) -> None:
    live = trial(AttemptView(phase, exit_code=0, since_seconds=3))
    moment = deadline(live, spec=SPEC, rules=RULES)
    if moment is not None:
        assert isinstance(outcome(live, now_seconds=moment), EndTrial)
        if phase is not AttemptPhase.EXITED:
            assert outcome(live, now_seconds=moment - 0.1) is None
