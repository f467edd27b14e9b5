"""Data that no trial can use end the experiment, with what the first such trial said."""

from __future__ import annotations

from itertools import permutations
from typing import Any

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.names import Phase, Reason, StopReason, TrialState
from scaling_operator.api.status import TrialStatus
from scaling_operator.api.trial import ExperimentReference, ScalingTrial, TrialSpec
from scaling_operator.core.actions import Ask, EndTrial
from scaling_operator.core.ladder import Scale
from scaling_operator.core.observed import (
    AttemptPhase,
    AttemptView,
    LiveTrial,
    Observed,
    Rules,
    ScaleView,
)
from scaling_operator.core.plan import plan
from scaling_operator.core.tally import Tally, add

SPEC: dict[str, Any] = {
    "objective": {"metric": "val_loss", "direction": "minimize"},
    "search": {"parameters": {"lr": {"type": "float", "low": 0.001, "high": 0.1}}},
    "trials": {"max": 30, "parallel": 3, "maxFailed": 10},
    "trainer": {"container": {"image": "python:3.12", "command": ["train"]}},
}


def failed(number: int, reason: Reason, message: str) -> ScalingTrial:
    return ScalingTrial.model_validate(
        {
            "metadata": {"name": f"e-0-{number}"},
            "spec": TrialSpec(
                experiment=ExperimentReference(name="e", uid="u"),
                scale=0,
                number=number,
                parameters={"lr": 0.1},
                seed=1,
            ),
            "status": TrialStatus(state=TrialState.FAILED, reason=reason, message=message),
        }
    )


def tally_of(*trials: ScalingTrial) -> Tally:
    tally = Tally()
    for trial in trials:
        tally = add(tally, trial, ())
    return tally


def observed(tally: Tally, *live: LiveTrial) -> Observed:
    view = ScaleView(Scale(0), tally, open=True, created=tally.ended + len(live))
    spec = ExperimentSpec.model_validate(SPEC)
    return Observed(10.0, spec, Rules(max_trials=30), (view,), live, started_seconds=1.0)


def test_the_first_data_error_ends_the_experiment_and_says_why() -> None:
    said = "dataset.path: t.csv does not exist"
    tally = tally_of(failed(0, Reason.DATA_ERROR, said))
    running = AttemptView(AttemptPhase.RUNNING)
    live = LiveTrial(0, 1, view=running), LiveTrial(0, 2, view=running)
    stopping = plan(observed(tally, *live))
    assert stopping.actions == tuple(
        EndTrial(0, number, TrialState.STOPPED, StopReason.UNUSABLE_DATA) for number in (1, 2)
    )
    over = plan(observed(tally))
    assert over.actions == (), "no other trial starts"
    assert over.status.phase is Phase.FAILED
    assert over.status.completion_time is not None
    condition = next(
        condition for condition in over.status.conditions if condition.type == "Failed"
    )
    assert (condition.status, condition.reason, condition.message) == ("True", "DataError", said)


def test_another_failure_leaves_the_others_be() -> None:
    going_on = plan(observed(tally_of(failed(0, Reason.TRAINER_FAILED, "exit 3"))))
    assert going_on.status.phase is Phase.RUNNING
    assert sum(isinstance(action, Ask) for action in going_on.actions) == 3


def test_in_whatever_order_trials_end_the_same_one_is_quoted() -> None:
    trials = [failed(number, Reason.DATA_ERROR, f"by {number}") for number in range(3)]
    for order in permutations(trials):
        assert tally_of(*order).data_error == (0, "by 0")
