"""What becomes of the best trial's model: a pure table."""

from __future__ import annotations

from datetime import timedelta

import pytest

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.names import Phase, Reason
from scaling_operator.api.status import BestTrial, ExperimentStatus, Export
from scaling_operator.core.finisher import Finished, FinishingStep, finishing, to_finish
from scaling_operator.core.observed import ABSENT, AttemptPhase, AttemptView
from scaling_trainer.results import Result

SPEC = ExperimentSpec.model_validate(
    {
        "objective": {"metric": "loss", "direction": "minimize"},
        "trials": {"timeout": "10m", "pendingTimeout": "5m"},
        "trainer": {"container": {"image": "x", "command": ["true"]}},
    }
)
BEST = BestTrial(trial="0-3", scale=0, number=3, values=(0.5,))
SUCCEEDED = ExperimentStatus(phase=Phase.SUCCEEDED, best=BEST)
SAVED = Export(trial="0-3", saved=True)
NOW = 10_000.0


@pytest.mark.parametrize(
    ("status", "has_claim", "expected"),
    [
        pytest.param(SUCCEEDED, True, BEST, id="an experiment that has succeeded is finished"),
        pytest.param(SUCCEEDED, False, None, id="without a claim there is nowhere to save it"),
        pytest.param(
            SUCCEEDED.model_copy(update={"phase": Phase.RUNNING}),
            True,
            None,
            id="while trials run the best may still change",
        ),
        pytest.param(
            SUCCEEDED.model_copy(update={"best": None}), True, None, id="a front has no one best"
        ),
        pytest.param(
            SUCCEEDED.model_copy(update={"export": SAVED}), True, None, id="it is done once"
        ),
        pytest.param(
            SUCCEEDED.model_copy(update={"export": SAVED.model_copy(update={"trial": "0-1"})}),
            True,
            BEST,
            id="a better trial that came later is saved too",
        ),
    ],
)
def test_a_model_is_saved_once_for_each_best_trial(
    *, status: ExperimentStatus, has_claim: bool, expected: BestTrial | None
) -> None:
    assert to_finish(status, has_claim=has_claim) == expected


def exited(code: int, result: Result | None = None, message: str = "") -> AttemptView:
    return AttemptView(AttemptPhase.EXITED, exit_code=code, result=result, message=message)


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        pytest.param(ABSENT, FinishingStep.CREATE, id="no pod: one is made"),
        pytest.param(
            AttemptView(AttemptPhase.RUNNING, since_seconds=NOW - 1),
            FinishingStep.WAIT,
            id="it runs: wait",
        ),
        pytest.param(
            AttemptView(AttemptPhase.LOST, Reason.NODE_LOST),
            FinishingStep.DISCARD,
            id="its node is lost: it is made again",
        ),
        pytest.param(
            exited(0, Result(metrics={"test_loss": 0.4})),
            Finished(
                Export(trial="0-3", saved=True, message="saved on the claim, with the report"),
                {"test_loss": 0.4},
            ),
            id="it brings the one test score",
        ),
        pytest.param(
            exited(1, message="no space left"),
            Finished(Export(trial="0-3", saved=False, message="no space left")),
            id="a failure is said, and not repeated",
        ),
        pytest.param(
            AttemptView(AttemptPhase.RUNNING, since_seconds=NOW - 601),
            Finished(
                Export(
                    trial="0-3",
                    saved=False,
                    message=f"it ran longer than {timedelta(minutes=10)}",
                )
            ),
            id="it is bounded like an attempt",
        ),
        pytest.param(
            AttemptView(
                AttemptPhase.WAITING, Reason.UNSCHEDULABLE, "no node", since_seconds=NOW - 301
            ),
            Finished(Export(trial="0-3", saved=False, message="Unschedulable: no node")),
            id="it does not wait for ever",
        ),
    ],
)
def test_a_finisher_ends_in_a_named_way(
    view: AttemptView, expected: FinishingStep | Finished
) -> None:
    assert finishing(BEST, view, SPEC, NOW, ended_seconds=NOW - 700) == expected


def test_a_finisher_is_made_again_for_as_long_as_it_may_wait_and_run() -> None:
    evicted = AttemptView(AttemptPhase.LOST, Reason.EVICTED, "the node had no disk left")
    another = AttemptView(AttemptPhase.LOST)
    last, over = (finishing(BEST, evicted, SPEC, NOW, NOW - past) for past in (899.0, 900.0))
    assert last is FinishingStep.DISCARD
    said = (
        "Evicted: the node had no disk left; more than 0:15:00 after the end it is not tried again"
    )
    assert over == Finished(Export(trial="0-3", saved=False, message=said))
    assert finishing(BEST, another, SPEC, NOW, NOW - 10**6) is FinishingStep.DISCARD
    assert finishing(BEST, evicted, SPEC, NOW, None) is FinishingStep.DISCARD
