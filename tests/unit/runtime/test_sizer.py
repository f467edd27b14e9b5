"""Machines of an experiment, rebuilt from its stored trials: as if it had never stopped."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.names import ConditionReason, Reason, TrialState
from scaling_operator.api.policy import PolicySpec
from scaling_operator.api.status import Attempt, TrialStatus
from scaling_operator.api.trial import ExperimentReference, ScalingTrial, TrialSpec
from scaling_operator.core.ladder import Scale
from scaling_operator.core.observed import (
    ABSENT,
    AttemptPhase,
    AttemptView,
    LiveTrial,
    Observed,
    Rules,
    ScaleView,
)
from scaling_operator.core.tally import Tally
from scaling_operator.runtime.sizer import Sizer, UnusablePolicy
from scaling_operator.sizing.allocation import Allocation, to_status
from scaling_operator.sizing.machines import NoMachine
from scaling_operator.sizing.observations import Observations

GPU = {"resource": "nvidia.com/gpu", "flops": 1e14, "maxPerPod": 1}
POLICY = PolicySpec.model_validate(
    {
        "shapes": [
            {**GPU, "name": "small", "memory": "40Gi", "pricePerHour": 1},
            {**GPU, "name": "large", "memory": "80Gi", "pricePerHour": 4},
        ]
    }
)
ESTIMATE = {
    "parameters": 1e9,
    "samples": 1e6,
    "batchSize": "8.0 * b",
    "activationBytes": 1e9,
    "hostMemory": "2Gi",
    "honours": ["microBatch"],
}


def spec(**changes: Any) -> ExperimentSpec:
    return ExperimentSpec.model_validate(
        {
            "objective": {"metric": "loss", "direction": "minimize"},
            "search": {"parameters": {"b": {"type": "int", "low": 1, "high": 4}}},
            "resources": {"estimate": ESTIMATE},
            "trainer": {"container": {"image": "mine"}},
            **changes,
        }
    )


def sizer(**changes: Any) -> Sizer:
    return Sizer(spec(**changes), POLICY, 10)


def trial(number: int, *attempts: Attempt, b: int = 1, **status: Any) -> ScalingTrial:
    return ScalingTrial(
        spec=TrialSpec(
            experiment=ExperimentReference(name="x", uid="u"),
            scale=0,
            number=number,
            parameters={"b": b},
            searched=("b",),
            seed=1,
        ),
        status=TrialStatus(attempts=attempts, **status),
    )


def allocated(sized: Sizer, of: ScalingTrial) -> Allocation:
    allocation = sized.allocation(of)
    assert isinstance(allocation, Allocation), allocation
    return allocation


def attempt(number: int, had: Allocation, reason: Reason | None = None) -> Attempt:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return Attempt(number=number, reason=reason, resources=to_status(had), completion_time=now)


def observed(*views: AttemptView) -> Observed:
    scale = ScaleView(Scale(0), Tally(), open=True)
    live = tuple(LiveTrial(0, number, view=view) for number, view in enumerate(views))
    return Observed(7200.0, spec(), Rules(max_trials=10), (scale,), live, started_seconds=0.0)


def test_the_same_allocation_follows_from_what_is_stored() -> None:
    first = allocated(sizer(), trial(0))
    second = allocated(sizer(), trial(0, attempt(0, first, Reason.ACCELERATOR_OOM)))

    assert (first.shape, first.execution.accumulation) == ("small", 1)
    assert (second.shape, second.execution.accumulation) == ("small", 2)


def test_a_shortage_of_a_live_trial_already_helps_its_siblings() -> None:
    sized = sizer()
    first = allocated(sized, trial(0))
    sized.note(trial(0, attempt(0, first, Reason.ACCELERATOR_OOM)))

    assert allocated(sized, trial(1)).execution.accumulation == 2


def test_what_was_measured_corrects_the_next_trials() -> None:
    sized = sizer()
    first = allocated(sized, trial(0))
    done = trial(
        0,
        attempt(0, first),
        state=TrialState.SUCCEEDED,
        peak_host_bytes=float(2**30),
        gpu_hours=0.5,
    )
    sized.note(done)
    sized.note(done)

    after = allocated(sized, trial(1))
    view = sized.complete(observed(), ()).sizing
    assert view is not None
    assert first.memory_bytes == 2.5 * 2**30
    assert after.memory_bytes is not None
    assert 2**30 < after.memory_bytes < 1.1 * 2**30
    assert view.used.gpu_hours == 0.5, "counted once, however often it is noted"
    assert view.scales[0].measured_host_bytes == 2**30


def test_fixed_accelerators_cost_what_the_dearest_shape_that_has_them_does() -> None:
    """Any node that has the resource may take the pod, so a budget counts with the dearest."""
    for fixed, an_hour in (({"gpus": 2}, 8.0), ({"gpus": 2, "resource": "amd.com/gpu"}, 0.0)):
        sized = sizer(resources={"fixed": fixed})
        had = to_status(allocated(sized, trial(0)))
        machine = sized.machine(AttemptView(AttemptPhase.RUNNING, resources=had))

        assert machine is not None
        assert (machine.rate.gpu_hours, machine.rate.cost) == (2.0, an_hour)


def test_what_a_fit_recommends_is_planned_by_the_policy_and_by_what_trials_taught() -> None:
    sized = sizer()
    before = sized.complete(observed(), ()).machines
    assert before is not None
    assert before.policy == POLICY
    assert before.observations == Observations()
    allocation = allocated(sized, trial(0))
    peak = 1.1 * allocation.device_bytes
    done = trial(0, Attempt(number=0, resources=to_status(allocation)))
    status = {"state": TrialState.SUCCEEDED, "values": (1.0,), "peak_device_bytes": peak}
    sized.note(done.model_copy(update={"status": done.status.model_copy(update=status)}))
    after = sized.complete(observed(), ()).machines
    assert after is not None
    assert after.observations != Observations()


def test_what_runs_is_in_the_ledger() -> None:
    sized = sizer()
    had = allocated(sized, trial(0))
    runs = AttemptView(AttemptPhase.RUNNING, started_seconds=3600.0, resources=to_status(had))
    live = trial(0, gpu_hours=0.25, cost=0.25)

    view = sized.complete(observed(runs), (live,)).sizing

    assert view is not None
    assert view.used.gpu_hours == pytest.approx(1.25)
    assert view.rate.gpu_hours == 1
    assert view.ledger is not None
    assert view.ledger.used_gpu_hours == 1.25


def test_parameters_that_fit_nowhere_are_infeasible_and_do_not_refuse_the_experiment() -> None:
    wide = {"parameters": {"b": {"type": "int", "low": 1, "high": 100_000}}}
    rigid = {**ESTIMATE, "honours": []}
    sized = sizer(search=wide, resources={"estimate": rigid})
    view = sized.complete(observed(), ()).sizing
    large = trial(0, b=100_000)

    assert view is not None
    assert view.start_check.may_start
    assert "some trials of the search fit nowhere and end as Infeasible" in view.start_check.message
    assert isinstance(sized.allocation(large), NoMachine)
    assert sized.reason_of_refusal(large) is Reason.INFEASIBLE
    assert allocated(sized, trial(1)).shape == "small"


def test_memory_that_ran_out_stays_the_reason_when_nothing_is_left() -> None:
    sized = sizer()
    had = replace(allocated(sized, trial(0)), shape="large")
    failed = trial(0, attempt(0, had, Reason.ACCELERATOR_OOM))

    assert sized.reason_of_refusal(failed) is Reason.ACCELERATOR_OOM


def test_what_begins_within_its_budget_is_not_refused_later() -> None:
    """A plan is judged before it starts; from then on the budget itself decides."""
    sized = sizer(budget={"gpuHours": 1e-6})
    before = sized.complete(observed(), ()).sizing
    started = sized.complete(observed(ABSENT), (trial(0),)).sizing

    assert before is not None
    assert started is not None
    assert before.start_check.reason is ConditionReason.OVER_BUDGET
    assert started.start_check.may_start


def test_a_spec_that_changes_is_followed() -> None:
    sized = sizer(budget={"gpuHours": 1e-6})
    sized.complete(observed(), ())

    sized.follow(spec(), 10)
    view = sized.complete(observed(), ()).sizing

    assert view is not None
    assert view.start_check.may_start


def test_fixed_resources_are_kept_through_every_interruption() -> None:
    sized = sizer(resources={"fixed": {"gpus": 1, "memory": "4Gi", "cpu": 2}})
    had = allocated(sized, trial(0))

    again = allocated(sized, trial(0, attempt(0, had, Reason.EVICTED)))
    short = sized.allocation(trial(0, attempt(0, had, Reason.OOM_KILLED)))

    assert again == had
    assert isinstance(short, NoMachine)
    assert (had.count, had.memory_bytes, had.cores) == (1, 4 * 2**30, 2)


def test_a_policy_that_cannot_be_used_starts_nothing() -> None:
    unusable = UnusablePolicy(ConditionReason.POLICY_NOT_FOUND, "there is no such policy")
    completed = unusable.complete(observed(), ())
    assert completed.machines is None, "and nothing prices what a fit recommends"
    view = completed.sizing

    assert view is not None
    assert not view.start_check.may_start
    assert view.start_check.message == "there is no such policy"
