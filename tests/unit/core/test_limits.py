"""Where an experiment stands against its limits: one table, a sentence for each row."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from planned_machines import spec

from scaling_operator.api.names import ConditionReason, StopReason
from scaling_operator.api.status import Counts
from scaling_operator.core.ladder import Scale
from scaling_operator.core.limits import limits_of
from scaling_operator.core.observed import LiveTrial, Observed, Rules, ScaleView
from scaling_operator.core.tally import Tally
from scaling_operator.sizing.resource_plan import StartCheck
from scaling_operator.sizing.usage import SizingView, Usage

MOST_TRIALS = 10
ALL_SUCCEEDED = Tally(counts=Counts(succeeded=MOST_TRIALS))
MINUTE: dict[str, Any] = {"budget": {"duration": "60s"}}


def scale(tally: Tally, created: int = 0, index: int = 0, **changes: Any) -> ScaleView:
    return ScaleView(Scale(index), tally, open=True, created=created, **changes)


def observed(*scales: ScaleView, live: tuple[LiveTrial, ...] = (), **changes: Any) -> Observed:
    sizing = changes.pop("sizing", None)
    return Observed(
        now_seconds=100.0,
        spec=spec(**changes),
        rules=Rules(max_trials=MOST_TRIALS),
        scales=scales,
        live=live,
        started_seconds=40.0,
        sizing=sizing,
    )


@dataclass(frozen=True)
class Expected:
    """The limits that a row expects; what it leaves out is not reached."""

    failed: ConditionReason | None = None
    suspended: ConditionReason | None = None
    complete: ConditionReason | None = None
    stops: StopReason | None = None
    has_ended: bool = False
    may_start: bool = False


MAX_FAILED_2: dict[str, Any] = {"trials": {"parallel": 4, "maxFailed": 2}}
LIVE = (LiveTrial(0, 9),)
NOTHING_FITS = SizingView(StartCheck(ConditionReason.NOTHING_FITS))


@pytest.mark.parametrize(
    ("observation", "expected"),
    [
        pytest.param(
            observed(scale(Tally())), Expected(may_start=True), id="a new experiment may start"
        ),
        pytest.param(
            observed(scale(Tally(counted_failures=2)), **MAX_FAILED_2),
            Expected(may_start=True),
            id="as many failures as maxFailed allows stop nothing",
        ),
        pytest.param(
            observed(scale(Tally(counted_failures=2)), scale(Tally(counted_failures=1), index=1),
                     **MAX_FAILED_2),
            Expected(failed=ConditionReason.TOO_MANY_FAILURES, stops=StopReason.TOO_MANY_FAILURES),
            id="one failure more stops all, counted over all scales",
        ),
        pytest.param(
            observed(scale(Tally(data_error=(0, "no column")))),
            Expected(failed=ConditionReason.DATA_ERROR, stops=StopReason.UNUSABLE_DATA),
            id="data that one trial could not use stop all",
        ),
        pytest.param(
            observed(scale(ALL_SUCCEEDED, created=MOST_TRIALS)),
            Expected(complete=ConditionReason.ALL_TRIALS_DONE, has_ended=True),
            id="all trials have ended",
        ),
        pytest.param(
            observed(scale(ALL_SUCCEEDED, created=MOST_TRIALS), live=LIVE),
            Expected(may_start=True),
            id="a live trial keeps the experiment from its end",
        ),
        pytest.param(
            observed(scale(Tally(counts=Counts(failed=10)), created=MOST_TRIALS)),
            Expected(failed=ConditionReason.NO_TRIAL_SUCCEEDED, has_ended=True),
            id="all trials have ended and none has a value",
        ),
        pytest.param(
            observed(scale(Tally(counts=Counts(succeeded=1), goal_reached=True), created=1)),
            Expected(complete=ConditionReason.GOAL_REACHED, has_ended=True),
            id="the goal of the only scale ends the experiment",
        ),
        pytest.param(
            observed(
                scale(Tally(counts=Counts(succeeded=1), goal_reached=True), created=1),
                scale(ALL_SUCCEEDED, created=MOST_TRIALS, index=1),
            ),
            Expected(complete=ConditionReason.ALL_TRIALS_DONE, has_ended=True),
            id="the goal of one of two scales is no reason of the whole",
        ),
        pytest.param(
            observed(scale(Tally(counts=Counts(succeeded=5)), created=5, space_points=5)),
            Expected(complete=ConditionReason.SPACE_EXHAUSTED, has_ended=True),
            id="every point of the space was tried",
        ),
        pytest.param(
            observed(scale(Tally()), suspend=True),
            Expected(suspended=ConditionReason.SUSPENDED),
            id="a suspended experiment starts nothing and stops nothing",
        ),
        pytest.param(
            observed(scale(Tally()), budget={"duration": "61s"}),
            Expected(may_start=True),
            id="a budget counts from the start of the experiment",
        ),
        pytest.param(
            observed(scale(Tally(counts=Counts(succeeded=3)), created=4), live=LIVE, **MINUTE),
            Expected(stops=StopReason.BUDGET_EXHAUSTED),
            id="a spent budget stops the live trials",
        ),
        pytest.param(
            observed(scale(Tally(counts=Counts(succeeded=3)), created=3), **MINUTE),
            Expected(
                complete=ConditionReason.BUDGET_EXHAUSTED,
                stops=StopReason.BUDGET_EXHAUSTED,
                has_ended=True,
            ),
            id="a spent budget ends the experiment once no trial is live",
        ),
        pytest.param(
            observed(scale(Tally()), budget={"duration": "60s", "onExceeded": "suspend"}),
            Expected(suspended=ConditionReason.BUDGET_EXHAUSTED),
            id="a spent budget suspends the experiment where it should",
        ),
        pytest.param(
            observed(scale(Tally()), sizing=NOTHING_FITS),
            Expected(),
            id="nothing starts where no machine fits",
        ),
    ],
)  # fmt: skip
def test_limits(observation: Observed, expected: Expected) -> None:
    limits = limits_of(observation)
    assert limits.failed is expected.failed
    assert limits.suspended is expected.suspended
    assert limits.complete is expected.complete
    assert limits.stops is expected.stops
    assert limits.has_ended is expected.has_ended
    assert limits.may_start is expected.may_start


def test_the_data_error_of_the_first_trial_of_the_first_scale_is_told() -> None:
    second, first = Tally(data_error=(0, "second")), Tally(data_error=(7, "first"))
    limits = limits_of(observed(scale(second, index=1), scale(first, index=0)))
    assert limits.data_error == "first"


@dataclass(frozen=True)
class Spending:
    """A budget, what is used and at which rate, and when the budget ends."""

    budget: dict[str, Any]
    end_seconds: float | None
    used: dict[str, float] = field(default_factory=dict[str, float])
    rate: dict[str, float] = field(default_factory=dict[str, float])


@pytest.mark.parametrize(
    "spending",
    [
        pytest.param(Spending({}, None), id="without a budget there is no end"),
        pytest.param(Spending({"duration": "1h"}, 3640.0), id="a duration counts from the start"),
        pytest.param(
            Spending({"gpuHours": 3}, 3700.0, used={"gpu_hours": 1.0}, rate={"gpu_hours": 2.0}),
            id="GPU hours are spent at the rate of what runs now",
        ),
        pytest.param(
            Spending({"gpuHours": 3}, None, used={"gpu_hours": 1.0}),
            id="GPU hours are not spent while nothing runs",
        ),
        pytest.param(
            Spending({"cost": 10, "duration": "10m"}, 640.0, rate={"cost": 10.0}),
            id="the earliest of several ends counts",
        ),
    ],
)
def test_the_end_of_a_budget(spending: Spending) -> None:
    sizing = SizingView(
        StartCheck(ConditionReason.PLANNED),
        used=Usage(**spending.used),
        rate=Usage(**spending.rate),
    )
    observation = observed(scale(Tally()), sizing=sizing, budget=spending.budget)
    assert limits_of(observation).budget_end_seconds == spending.end_seconds
