"""The experiment's status, derived from what is observed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from planned_machines import RUNS, observed

from scaling_operator.api.names import ConditionReason, Phase, TrialState
from scaling_operator.api.status import (
    BestTrial,
    Condition,
    Counts,
    ExperimentStatus,
    Export,
    ScaleStatus,
)
from scaling_operator.core.ladder import Scale
from scaling_operator.core.limits import limits_of
from scaling_operator.core.observed import LiveTrial, Observed, ScaleView
from scaling_operator.core.status import (
    best_of,
    failing,
    front,
    is_failing,
    live_counts,
    scale_status,
    spec_refused,
    summarise,
    total,
)
from scaling_operator.core.tally import Tally

START = datetime(1970, 1, 1, tzinfo=UTC)
NOW = datetime(1970, 1, 1, 0, 1, 40, tzinfo=UTC)


def best(scale: int, value: float, **changes: Any) -> BestTrial:
    return BestTrial(trial=f"{scale}-0", scale=scale, number=0, values=(value,), **changes)


def with_best(*bests: BestTrial, **changes: Any) -> Observed:
    scales = tuple(
        ScaleView(Scale(trial.scale), Tally(best=(trial,)), open=True, created=1) for trial in bests
    )
    return replace(observed(**changes), scales=scales)


def status_of(observation: Observed) -> ExperimentStatus:
    return summarise(observation, limits_of(observation))


def condition(status: ExperimentStatus, kind: str) -> Condition:
    return next(condition for condition in status.conditions if condition.type == kind)


MAXIMIZE = {"objective": {"metric": "acc", "direction": "maximize"}}


@pytest.mark.parametrize(
    ("observation", "trial"),
    [
        pytest.param(with_best(best(0, 2.0), best(1, 1.0)), "1-0", id="the least loss"),
        pytest.param(
            with_best(best(0, 2.0), best(1, 1.0), **MAXIMIZE), "0-0", id="the largest gain"
        ),
        pytest.param(
            with_best(best(1, 1.0), best(0, 1.0)), "0-0", id="of equal ones the smaller scale's"
        ),
        pytest.param(observed(), None, id="none"),
    ],
)
def test_the_best_trial_of_all_scales(observation: Observed, trial: str | None) -> None:
    chosen = status_of(observation).best
    assert (None if chosen is None else chosen.trial) == trial


def test_the_test_metrics_of_a_best_trial_stay_while_it_is_the_best() -> None:
    scored = best(0, 2.0, test_metrics={"acc": 0.9})
    before = ExperimentStatus(best=scored)
    same = replace(with_best(best(0, 2.0)), status=before)
    another = replace(with_best(best(0, 2.0), best(1, 1.0)), status=before)
    for observation, metrics in ((same, {"acc": 0.9}), (another, None)):
        trial = status_of(observation).best
        assert trial is not None
        assert trial.test_metrics == metrics


def test_several_objectives_have_a_front_and_no_best() -> None:
    objectives = [{"metric": name, "direction": "minimize"} for name in ("a", "b")]
    observation = observed(objective=None, objectives=objectives)
    pareto = tuple(best(0, float(value)) for value in range(60))
    view = replace(observation.scales[0], tally=Tally(front=pareto))
    observation = replace(observation, scales=(view,))
    shown = front(observation)
    assert len(shown) == 50
    assert (shown[0], shown[-1]) == (pareto[0], pareto[-1])
    assert best_of(observation, (ScaleStatus(index=0, best=pareto[0]),)) is None


def test_live_trials_are_counted_by_scale_and_state() -> None:
    trials = (
        LiveTrial(0, 0),
        LiveTrial(0, 1, state=TrialState.QUEUED),
        LiveTrial(0, 2, state=TrialState.QUEUED),
        LiveTrial(2, 0),
    )
    live = live_counts(observed(*trials))
    assert {scale: (count.running, count.queued) for scale, count in live.items()} == {
        0: (1, 2),
        2: (1, 0),
    }


def test_a_scale_has_the_counts_of_its_tally_and_of_its_live_trials() -> None:
    observation = observed(LiveTrial(0, 3, view=RUNS))
    view = replace(observation.scales[0], tally=Tally(counts=Counts(succeeded=2, failed=1)))
    status = scale_status(observation, view, live_counts(observation)[0])
    assert status.counts == Counts(running=1, succeeded=2, failed=1, max=10)


def test_the_counts_of_all_scales_are_summed() -> None:
    scales = (
        ScaleStatus(index=0, counts=Counts(running=1, queued=2, succeeded=3, max=10)),
        ScaleStatus(index=1, counts=Counts(pruned=4, failed=5, stopped=6, max=20)),
    )
    assert total(scales) == Counts(
        running=1, queued=2, succeeded=3, pruned=4, failed=5, stopped=6, max=30
    )


def ended(tally: Tally) -> Observed:
    observation = observed()
    view = replace(observation.scales[0], tally=tally, created=10)
    return replace(observation, scales=(view,))


@pytest.mark.parametrize(
    ("observation", "phase", "is_over"),
    [
        pytest.param(
            replace(observed(), started_seconds=None), Phase.PENDING, False, id="not started"
        ),
        pytest.param(observed(LiveTrial(0, 0)), Phase.RUNNING, False, id="a trial runs"),
        pytest.param(observed(suspend=True), Phase.SUSPENDED, False, id="suspended"),
        pytest.param(
            ended(Tally(counts=Counts(succeeded=10))), Phase.SUCCEEDED, True, id="all done"
        ),
        pytest.param(ended(Tally(counts=Counts(failed=10))), Phase.FAILED, True, id="no value"),
    ],
)
def test_the_phase_and_the_time_of_the_end(
    observation: Observed, phase: Phase, *, is_over: bool
) -> None:
    status = status_of(observation)
    assert status.phase is phase
    assert status.completion_time == (NOW if is_over else None)


def test_the_time_of_the_end_stays() -> None:
    observation = replace(
        ended(Tally(counts=Counts(succeeded=10))), status=ExperimentStatus(completion_time=START)
    )
    assert status_of(observation).completion_time == START


@pytest.mark.parametrize(
    ("observation", "kind", "reason", "message"),
    [
        pytest.param(
            observed(), "Failed", "WithinLimits", "", id="nothing has failed"
        ),
        pytest.param(
            ended(Tally(counts=Counts(failed=10))),
            "Failed", "NoTrialSucceeded", "no trial has a value; their reasons say why",
            id="no trial has a value",
        ),
        pytest.param(
            ended(Tally(data_error=(0, "no column y"))),
            "Failed", "DataError", "no column y",
            id="the data cannot be used",
        ),
        pytest.param(
            replace(observed(trials={"maxFailed": 0}), scales=(
                ScaleView(Scale(0), Tally(counted_failures=1)),)),
            "Failed", "TooManyFailures", "failed trials: 1; trials.maxFailed allows 0",
            id="too many failures",
        ),
        pytest.param(
            replace(observed(trials={"maxFailed": 3}), scales=(
                ScaleView(Scale(0), Tally(counted_failures=1)),)),
            "Failed", "WithinLimits", "failed trials: 1; trials.maxFailed allows 3",
            id="failures within the limit are told",
        ),
        pytest.param(
            replace(observed(), scales=(
                ScaleView(Scale(0), Tally(counts=Counts(succeeded=4)), created=4, space_points=4),
            )),
            "Complete", "SpaceExhausted",
            "all points of the space were tried: 4 of scale 0; "
            "search.repeats: train tries points again",
            id="the space is exhausted",
        ),
    ],
)  # fmt: skip
def test_what_a_condition_says(observation: Observed, kind: str, reason: str, message: str) -> None:
    shown = condition(status_of(observation), kind)
    assert (shown.reason, shown.message) == (reason, message)


def test_a_condition_keeps_its_time_while_its_status_stays() -> None:
    first = status_of(replace(observed(), now_seconds=0.0))
    later = status_of(replace(observed(suspend=True), status=first))
    assert condition(later, "Accepted").last_transition_time == START
    assert condition(later, "Suspended").last_transition_time == NOW


@pytest.mark.parametrize("saved", [True, False])
def test_an_export_is_told(*, saved: bool) -> None:
    export = Export(trial="0-3", saved=saved, message="why")
    status = status_of(replace(observed(), status=ExperimentStatus(export=export)))
    exported = condition(status, "Exported")
    assert exported.status == str(saved)
    assert exported.reason == ("ModelSaved" if saved else "ExportFailed")
    assert exported.message == "trial 0-3: why"
    assert status.export == export


def others_of(status: ExperimentStatus) -> list[Condition]:
    return [condition for condition in status.conditions if condition.type != "Accepted"]


def test_a_refused_spec_changes_its_condition_and_generation_alone() -> None:
    before = status_of(with_best(best(0, 1.0)))
    after = spec_refused(before, ConditionReason.INVALID_SPEC, "spec.x: why", 7, 200.0)
    accepted = condition(after, "Accepted")
    assert (accepted.status, accepted.reason) == ("False", "InvalidSpec")
    assert (accepted.message, accepted.observed_generation) == ("spec.x: why", 7)
    assert after.observed_generation == 7
    assert after.best == before.best
    assert others_of(after) == others_of(before)


def test_a_fault_of_the_operator_is_told_until_the_next_status() -> None:
    before = status_of(observed())
    broken = failing(before, "KeyError", 1, 100.0)
    assert (is_failing(before), is_failing(broken)) == (False, True)
    assert condition(broken, "InternalError").message == "KeyError"
    assert not is_failing(status_of(replace(observed(), status=broken)))
