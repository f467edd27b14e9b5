"""In whatever order trials end, what is known, shown and kept is the same.

A process that saw them end and one that reads them by their numbers must agree: a restart changes
nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_operator.api.experiment import ExperimentSpec, Objective
from scaling_operator.api.names import Reason, TrialState
from scaling_operator.api.policy import PolicySpec
from scaling_operator.api.status import (
    MAX_FRONT,
    Attempt,
    EarlyPoint,
    ExperimentStatus,
    TrialStatus,
)
from scaling_operator.api.status_sizing import AttemptResources
from scaling_operator.api.trial import ExperimentReference, ScalingTrial, TrialSpec
from scaling_operator.core.observed import ABSENT, AttemptView, Observed, Rules
from scaling_operator.core.plan import plan
from scaling_operator.core.reports import AttemptKey
from scaling_operator.core.tally import KEPT_EARLY, KEPT_FRONT, Tally, add, losses_of, spread
from scaling_operator.local.runner import Weights
from scaling_operator.local.store import Store
from scaling_operator.runtime.sizer import Sizer
from scaling_operator.runtime.state import ExperimentState, read_state

NOW = datetime(2026, 11, 1, tzinfo=UTC)
TWO = (Objective(metric="a", direction="minimize"), Objective(metric="b", direction="maximize"))
SCALES = 2


def spec_of(objectives: int) -> ExperimentSpec:
    named = [{"metric": f"m{at}", "direction": "minimize"} for at in range(objectives)]
    document: dict[str, Any] = {
        "search": {"parameters": {"x": {"type": "int", "low": 0, "high": 9}}},
        "trials": {"max": 100, "maxFailed": 100, "parallel": 4},
        "resources": {"estimate": {"parameters": 1e6, "samples": 1e4, "hostMemory": 1e9}},
        "trainer": {"container": {"command": ["true"]}},
    }
    if objectives > 1:
        return ExperimentSpec.model_validate({**document, "objectives": named})
    ladder = {"parameter": "width", "sizes": [8, 16]}
    return ExperimentSpec.model_validate({**document, "objective": named[0], "scaling": ladder})


POLICY = PolicySpec.model_validate(
    {"shapes": [{"name": "cpu", "memory": "8Gi", "pricePerHour": 0.1}]}
)


def succeeded(scale: int, number: int, values: tuple[float, ...], **rest: Any) -> ScalingTrial:
    status = TrialStatus(state=TrialState.SUCCEEDED, values=values, **rest)
    return trial_of(scale, number, status)


def trial_of(scale: int, number: int, status: TrialStatus) -> ScalingTrial:
    spec = TrialSpec(
        experiment=ExperimentReference(name="digits", uid="u"),
        scale=scale,
        number=number,
        parameters={"x": number % 10},
        searched=("x",),
        seed=number,
    )
    return ScalingTrial(spec=spec, status=status)


@st.composite
def endings(draw: st.DrawFn, objectives: int, scales: int) -> list[ScalingTrial]:
    """Trials with few distinct values, so that many are equal or dominate each other."""
    few = st.sampled_from([0.1, 0.2, 0.3, 1.0, 1.7, 2.0])
    trials: list[ScalingTrial] = []
    for scale in range(scales):
        for number in range(draw(st.integers(1, 25))):
            ending = draw(st.sampled_from(["succeeded", "succeeded", "failed", "pruned"]))
            usage: dict[str, Any] = {
                "gpu_hours": draw(few),
                "cost": draw(few),
                "seconds": draw(few) * 60,
            }
            if ending == "succeeded":
                values = draw(st.tuples(*[few] * objectives))
                amounts = draw(
                    st.lists(st.sampled_from([10 * 2**at for at in range(14)]), max_size=8)
                )
                points = tuple(EarlyPoint(samples=amount, value=draw(few)) for amount in amounts)
                machine = AttemptResources(shape="cpu", count=0, memory="2Gi", cpu="2")
                attempt = Attempt(number=0, resources=machine)
                rest = {"points": points, "attempts": (attempt,), "peak_host_bytes": 1e9, **usage}
                trials.append(succeeded(scale, number, values, **rest))
                continue
            state = TrialState.FAILED if ending == "failed" else TrialState.PRUNED
            reason = Reason.TRAINER_FAILED if ending == "failed" else None
            trials.append(trial_of(scale, number, TrialStatus(state=state, reason=reason, **usage)))
    return trials


def state_of(spec: ExperimentSpec, trials: Sequence[ScalingTrial]) -> ExperimentState:
    """Note trials in the order given, as a process does that sees them end."""
    rules = Rules(max_trials=100)
    state = read_state(spec, rules, ExperimentStatus(start_time=NOW), ())
    state.machines = Sizer(spec, POLICY, 100)
    for trial in trials:
        state.note(trial, NOW.timestamp())
    return state


def status_of(state: ExperimentState) -> ExperimentStatus:
    return plan(observed_of(state)).status


def observed_of(state: ExperimentState) -> Observed:
    def absent(trial: ScalingTrial, key: AttemptKey) -> AttemptView:
        del trial, key
        return ABSENT

    return state.observe(absent, (), NOW.timestamp())


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(st.data())
def test_the_status_of_a_ladder_is_the_same(data: st.DataObject) -> None:
    spec, trials = spec_of(1), data.draw(endings(1, SCALES))
    shuffled = data.draw(st.permutations(trials))

    assert status_of(state_of(spec, shuffled)) == status_of(state_of(spec, trials))


@settings(max_examples=25, deadline=None)
@given(st.data(), st.integers(2, 4))
def test_the_status_of_several_objectives_is_the_same(data: st.DataObject, count: int) -> None:
    spec, trials = spec_of(count), data.draw(endings(count, 1))
    shuffled = data.draw(st.permutations(trials))

    assert status_of(state_of(spec, shuffled)) == status_of(state_of(spec, trials))


@settings(max_examples=20, deadline=None)
@given(st.data(), st.integers(1, 2))
def test_everything_that_is_known_is_the_same(data: st.DataObject, count: int) -> None:
    """Also what no status shows yet, and a later trial will: runners-up, early points, machines."""
    spec = spec_of(count)
    trials = data.draw(endings(count, SCALES if count == 1 else 1))
    shuffled = state_of(spec, data.draw(st.permutations(trials)))
    in_order = state_of(spec, trials)

    assert shuffled.scales == in_order.scales
    observed = [observed_of(trials) for trials in (shuffled, in_order)]
    assert observed[0].machines == observed[1].machines
    assert observed[0].sizing == observed[1].sizing


def test_machines_are_known_from_the_same_of_many_equal_trials() -> None:
    """Equal peaks are the rule: all trials of a size run the same model."""
    attempt = Attempt(number=0, resources=AttemptResources(shape="cpu", count=0, memory="2Gi"))
    rest = {"attempts": (attempt,), "peak_host_bytes": 1e9}
    trials = [succeeded(0, at, (1.0,), seconds=60.0 + at, **rest) for at in range(20)]
    sizers = [Sizer(spec_of(1), POLICY, 100) for _ in range(2)]

    for sizer, order in zip(sizers, (trials, trials[::-1]), strict=True):
        for trial in order:
            sizer.note(trial)

    assert sizers[0].observations.measurements
    assert sizers[0].observations == sizers[1].observations


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_a_front_larger_than_a_status_shows_is_the_same(data: st.DataObject) -> None:
    """A line of trials of which none dominates another, then some that dominate parts of it."""
    size = data.draw(st.integers(MAX_FRONT + 1, 150))
    line = [(float(at), float(at)) for at in range(size)]
    late = data.draw(st.lists(st.tuples(st.integers(0, size), st.integers(0, size)), max_size=6))
    values = line + [(float(a), float(b)) for a, b in late]
    trials = [succeeded(0, number, pair) for number, pair in enumerate(values)]

    fronts = [folded(order).front for order in (trials, data.draw(st.permutations(trials)))]

    assert fronts[0] == fronts[1]
    assert {trial.number for trial in fronts[0]} == undominated(values)
    shown = spread(fronts[0], MAX_FRONT)
    assert len(shown) == min(MAX_FRONT, len(fronts[0]))
    assert len({trial.number for trial in shown}) == len(shown)
    assert (shown[0], shown[-1]) == (fronts[0][0], fronts[0][-1])


def folded(trials: Sequence[ScalingTrial]) -> Tally:
    tally = Tally()
    for trial in trials:
        tally = add(tally, trial, TWO)
    return tally


def undominated(values: Sequence[tuple[float, float]]) -> set[int]:
    """Numbers of the pairs (small is good, large is good) that no other one dominates."""
    return {
        number
        for number, (a, b) in enumerate(values)
        if not any(c <= a and d >= b and (c, d) != (a, b) for c, d in values)
    }


def test_a_front_costs_a_bounded_memory() -> None:
    trials = [succeeded(0, at, (float(at), float(at))) for at in range(KEPT_FRONT + 20)]

    front = folded(trials).front

    assert len(front) == KEPT_FRONT
    assert front == folded(trials[::-1]).front
    assert [losses_of(trial, TWO)[0] for trial in front] == [float(at) for at in range(KEPT_FRONT)]


def test_of_many_early_points_the_last_ones_are_kept() -> None:
    points = tuple(EarlyPoint(samples=2.0**at, value=1.0) for at in range(8))
    later = tuple(EarlyPoint(samples=2.0**at, value=1.0) for at in range(6, 14))
    objectives = (Objective(metric="a", direction="minimize"),)
    trials = (succeeded(0, 0, (1.0,), points=points), succeeded(0, 1, (1.0,), points=later))

    for order in (trials, trials[::-1]):
        tally = Tally()
        for trial in order:
            tally = add(tally, trial, objectives)
        assert len(tally.early) == KEPT_EARLY
        assert [trial.samples for trial in tally.early] == [2.0**at for at in range(6, 14)]
        assert {trial.number for trial in tally.early[:2]} == {0}


class Folder:
    """Stands for a result folder: only which weights are in it."""

    def __init__(self, trials: Sequence[ScalingTrial]) -> None:
        self.weights = {trial.spec.key for trial in trials}

    def forget_checkpoint(self, scale: int, number: int) -> None:
        self.weights.discard((scale, number))


@settings(max_examples=20, deadline=None)
@given(st.data(), st.integers(1, 2))
def test_the_same_weights_are_kept(data: st.DataObject, count: int) -> None:
    """Those of the best and of the whole front, also of members that a status does not show."""
    spec = spec_of(count)
    trials = data.draw(endings(count, 1))
    shuffled = data.draw(st.permutations(trials))
    interrupted = data.draw(st.integers(0, len(trials)))

    folder = Folder(trials)
    state = state_of(spec, shuffled[:interrupted])
    # A crash behind the last stored end: nobody has deleted what it made needless.
    Weights(cast("Store", folder), state).forget_others()
    weights = Weights(cast("Store", folder), state)
    weights.forget_others()
    for trial in shuffled[interrupted:]:
        state.note(trial, NOW.timestamp())
        weights.ended(trial)

    tally = state.scales[0].tally
    assert folder.weights == {(0, trial.number) for trial in (*tally.best[:1], *tally.front)}


def test_weights_that_an_earlier_run_has_left_are_deleted(tmp_path: Path) -> None:
    store = Store(tmp_path)
    trials = [succeeded(0, number, (value,)) for number, value in enumerate((0.3, 0.1, 0.2))]
    for trial in trials:
        store.write_trial(trial)
        (store.trial_folder(0, trial.spec.number) / "checkpoint").mkdir()

    Weights(store, state_of(spec_of(1), trials)).forget_others()

    assert [path.parent.name for path in tmp_path.glob("trials/*/checkpoint")] == ["0-1"]
