"""The engine over a store in memory: order of writes, faults between them, reports."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.names import Reason, TrialKey, TrialState
from scaling_operator.api.status import ExperimentStatus, TrialStatus
from scaling_operator.api.trial import ScalingTrial
from scaling_operator.core.observed import ABSENT, AttemptPhase, AttemptView, Rules, StaleWorkload
from scaling_operator.core.reports import Answer, AttemptKey, Report, is_comparable
from scaling_operator.runtime.backend import TrialGone
from scaling_operator.runtime.engine import Engine
from scaling_operator.runtime.hooks import Hooks
from scaling_operator.runtime.reports import Reports
from scaling_operator.runtime.state import ExperimentState, read_state
from scaling_trainer.results import Result


class Unavailable(Exception):
    """The store does not answer."""


@dataclass
class Store:
    """Trials and workloads in memory. `fault` is asked before every write, `pause` waits there."""

    trials: dict[TrialKey, ScalingTrial] = field(default_factory=dict[TrialKey, ScalingTrial])
    workloads: dict[AttemptKey, AttemptView] = field(default_factory=dict[AttemptKey, AttemptView])
    writes: list[str] = field(default_factory=list[str])
    fault: Callable[[str], None] = lambda _: None
    pause: Callable[[str], Coroutine[Any, Any, None]] = lambda _: asyncio.sleep(0)
    most_live: int = 0
    status: ExperimentStatus = field(default_factory=ExperimentStatus)

    def view(self, trial: ScalingTrial, key: AttemptKey) -> AttemptView:
        del trial
        return self.workloads.get(key, ABSENT)

    def stale_workloads(self, state: ExperimentState) -> Iterator[StaleWorkload]:
        for key, view in list(self.workloads.items()):
            if not state.is_current(key):
                yield StaleWorkload(key.scale, key.number, key.attempt, view)

    async def create(self, trial: ScalingTrial) -> ScalingTrial:
        await self._write(f"create {trial.spec.number}")
        stored = self.trials.setdefault(trial.spec.key, trial)
        live = sum(not trial.status.state.ended for trial in self.trials.values())
        self.most_live = max(self.most_live, live)
        return stored

    async def save(self, trial: ScalingTrial) -> ScalingTrial:
        await self._write(f"save {trial.spec.number} {trial.status.state}")
        stored = self.trials.get(trial.spec.key)
        if stored is None:
            raise TrialGone
        if not stored.status.state.ended:
            self.trials[trial.spec.key] = trial
        return self.trials[trial.spec.key]

    async def launch(self, trial: ScalingTrial, attempt: int) -> None:
        await self._write(f"launch {trial.spec.number}-{attempt}")
        key = AttemptKey(*trial.spec.key, attempt)
        self.workloads.setdefault(key, AttemptView(AttemptPhase.RUNNING, since_seconds=0.0))

    async def discard(self, keys: tuple[AttemptKey, ...]) -> None:
        await self._write("discard " + " ".join(str(key.number) for key in keys))
        for key in keys:
            self.workloads.pop(key, None)

    async def publish(self, status: ExperimentStatus) -> None:
        await self._write("publish")
        self.status = status

    async def _write(self, write: str) -> None:
        await self.pause(write)
        self.fault(write)
        self.writes.append(write)

    def ends(self, number: int, value: float | None) -> None:
        """Let a trial's current attempt end, with a value or with exit code 1."""
        trial = self.trials[(0, number)]
        result = None if value is None else Result(metrics={"loss": value})
        self.workloads[AttemptKey(0, number, len(trial.status.attempts))] = AttemptView(
            AttemptPhase.EXITED, exit_code=0 if result else 1, result=result
        )


def spec_of(parallel: int = 2, most: int = 6, **search: Any) -> ExperimentSpec:
    return ExperimentSpec.model_validate(
        {
            "objective": {"metric": "loss", "direction": "minimize"},
            "search": {
                "parameters": {"x": {"type": "float", "low": 0.0, "high": 1.0}},
                "algorithm": {"name": "tpe", "seed": 7, "startupTrials": 2},
                **search,
            },
            "trials": {"max": most, "parallel": parallel},
            "trainer": {"container": {"image": "x", "command": ["true"]}},
        }
    )


def engine_of(spec: ExperimentSpec, store: Store) -> Engine:
    """Open an engine on what is stored, as after a restart."""
    trials = sorted(store.trials.values(), key=lambda trial: trial.spec.key)
    state = read_state(spec, Rules(max_trials=spec.trials.max or 1), store.status, trials)
    return Engine("study", "uid-1", state, store, Hooks(), clock=lambda: 100.0)


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 60))


async def to_the_end_despite_faults(spec: ExperimentSpec, store: Store, at_once: int) -> None:
    engine = engine_of(spec, store)
    ended = False
    while not ended:
        try:
            ended = (await engine.settle()).status.completion_time is not None
        except Unavailable:
            continue
        for number in sorted(trial_key[1] for trial_key in engine.state.live)[:at_once]:
            value = (float(store.trials[(0, number)].spec.parameters["x"]) - 0.3) ** 2
            store.ends(number, value)


async def to_the_end(spec: ExperimentSpec, store: Store) -> Engine:
    engine = engine_of(spec, store)
    while not (await engine.settle()).status.completion_time:
        for number in [trial_key[1] for trial_key in engine.state.live]:
            parameter = store.trials[(0, number)].spec.parameters["x"]
            store.ends(number, (float(parameter) - 0.3) ** 2)
    return engine


def proposals(store: Store) -> dict[int, Any]:
    return {slot[1]: trial.spec.parameters["x"] for slot, trial in sorted(store.trials.items())}


def test_a_trial_is_stored_before_it_is_launched_and_its_end_before_its_workload_goes() -> None:
    store = Store()
    run(_ignore(to_the_end(spec_of(parallel=1, most=1), store)))
    assert store.writes == [
        "publish",
        "create 0",
        "launch 0-0",
        "save 0 Succeeded",
        "discard 0",
    ]


def test_trials_are_created_in_the_order_of_their_numbers() -> None:
    store = Store()
    run(_ignore(to_the_end(spec_of(parallel=4, most=12), store)))
    created = [write for write in store.writes if write.startswith("create")]
    assert created == [f"create {number}" for number in range(12)]


def test_a_write_that_takes_long_keeps_no_other_trial_waiting() -> None:
    async def test() -> None:
        store, answered = Store(), asyncio.Event()

        async def pause(write: str) -> None:
            if write == "save 0 Succeeded":
                await answered.wait()
            await asyncio.sleep(0)

        engine = engine_of(spec_of(parallel=2, most=4), store)
        await engine.settle()
        store.pause = pause
        store.ends(0, 0.5)
        store.ends(1, 0.4)
        settling = asyncio.create_task(engine.settle())
        while "launch 2-0" not in store.writes:
            await asyncio.sleep(0)
        assert not settling.done()
        assert store.most_live == 2
        assert (0, 3) not in store.trials, "the slot of 0 is free once its end is stored"
        answered.set()
        await settling
        assert (0, 3) in store.trials

    run(test())


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(
    pauses=st.lists(st.integers(0, 12), min_size=1, max_size=40),
    parallel=st.integers(1, 5),
    failing=st.none() | st.integers(0, 40),
)
def test_in_whatever_order_writes_are_answered_nothing_is_lost_or_twice(
    pauses: list[int], parallel: int, failing: int | None
) -> None:
    store, turns = Store(), itertools.cycle(pauses)
    spec = spec_of(parallel=parallel, most=9, algorithm={"name": "random", "seed": 7})
    fails_at = iter([failing])

    async def pause(write: str) -> None:
        del write
        for _ in range(next(turns)):
            await asyncio.sleep(0)

    def fault(write: str) -> None:
        if len(store.writes) == failing and next(fails_at, None) is not None:
            raise Unavailable(write)

    store.pause, store.fault = pause, fault
    run(to_the_end_despite_faults(spec, store, parallel))

    created = [write for write in store.writes if write.startswith("create")]
    assert created == [f"create {number}" for number in range(9)]
    assert sum(write.startswith("launch") for write in store.writes) == 9
    assert {trial.status.state for trial in store.trials.values()} == {TrialState.SUCCEEDED}
    assert store.most_live <= parallel
    assert not store.workloads


@pytest.mark.parametrize("turns", range(12))
def test_nothing_is_under_way_once_it_was_interrupted(turns: int) -> None:
    async def test() -> None:
        store = Store()
        engine = engine_of(spec_of(parallel=2, most=4), store)
        settling = asyncio.create_task(engine.settle())
        for _ in range(turns):
            await asyncio.sleep(0)
        settling.cancel()
        await asyncio.gather(settling, return_exceptions=True)
        assert engine.in_flight.is_empty
        assert not engine.observe().changing
        assert not engine.observe().asking, "a status that is written now counts what is stored"

    run(test())


def test_where_there_is_always_something_to_do_the_plan_is_returned_in_time() -> None:
    async def test() -> None:
        store, spec = Store(), spec_of(parallel=2, most=100)
        engine = engine_of(spec, store)
        clock = itertools.count(100.0)
        engine.clock = lambda: next(clock)

        async def pause(write: str) -> None:
            await asyncio.sleep(0)
            if write.startswith("launch"):  # it ends as soon as it has begun
                number = int(write.removeprefix("launch ").removesuffix("-0"))
                asyncio.get_running_loop().call_later(0, lambda: store.ends(number, 0.5))

        store.pause = pause
        returned = await engine.settle(until_seconds=160.0)
        assert returned.status.counts.succeeded >= 1
        assert len(store.trials) < 100
        assert engine.in_flight.is_empty

    run(test())


async def _ignore(work: Coroutine[Any, Any, Any]) -> None:
    await work


@pytest.mark.slow
@pytest.mark.parametrize("parallel", [1, 3])
def test_a_fault_at_any_write_changes_no_proposal_and_no_end(parallel: int) -> None:
    spec = spec_of(parallel=parallel)
    undisturbed = Store()
    # What the sampler knows depends on which ends are stored before it is asked: one at a time.
    run(to_the_end_despite_faults(spec, undisturbed, at_once=1))
    for failing in range(len(undisturbed.writes)):
        store = Store()
        left = iter(range(failing + 1))

        def fault(write: str, left: Iterator[int] = left, store: Store = store) -> None:
            if next(left, None) is None:
                store.fault = lambda _: None
                raise Unavailable(write)

        store.fault = fault
        run(to_the_end_despite_faults(spec, store, at_once=1))
        assert proposals(store) == proposals(undisturbed), f"after a fault at write {failing}"
        assert not store.workloads
        states = {trial.status.state for trial in store.trials.values()}
        assert states == {TrialState.SUCCEEDED}


def test_a_sampler_that_raises_once_is_told_of_and_leaves_no_slot_empty(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sample = optuna.samplers.RandomSampler.sample_independent
    fails, failed, asked = iter([True]), list[str](), list[float]()

    def once(self: optuna.samplers.RandomSampler, *rest: Any) -> Any:
        if next(fails, False):
            message = "no entropy left"
            raise ArithmeticError(message)
        return sample(self, *rest)

    async def test() -> None:
        store = Store()
        engine = engine_of(spec_of(algorithm={"name": "random", "seed": 7}), store)
        engine.hooks = Hooks(ask_failed=lambda: failed.append("ask"), asked=asked.append)
        await engine.settle()
        assert sorted(store.trials) == [(0, 0), (0, 1)]

    monkeypatch.setattr(optuna.samplers.RandomSampler, "sample_independent", once)
    run(test())
    assert failed == ["ask"]
    assert len(asked) == 2


def test_a_proposal_that_another_leader_stored_first_is_adopted() -> None:
    async def test() -> None:
        spec, theirs = spec_of(parallel=1, most=2), Store()
        await engine_of(spec, theirs).settle()
        (first,) = theirs.trials.values()
        changed = first.spec.model_copy(update={"parameters": {"x": 0.123}})
        ours = Store()
        engine = engine_of(spec, ours)
        ours.trials[(0, 0)] = first.model_copy(update={"spec": changed})
        await engine.settle()
        assert engine.state.live[(0, 0)].spec.parameters == {"x": 0.123}
        ours.ends(0, 0.5)
        await engine.settle()
        assert engine.state.records[0][0].parameters == {"x": 0.123}

    run(test())


def test_a_trial_that_somebody_deleted_counts_no_more_and_blocks_nothing() -> None:
    async def test() -> None:
        spec, store = spec_of(parallel=1, most=2), Store()
        engine = engine_of(spec, store)
        await engine.settle()
        del store.trials[(0, 0)]
        store.workloads[AttemptKey(0, 0, 0)] = AttemptView(AttemptPhase.EXITED, exit_code=1)
        await engine.settle()
        assert set(engine.state.live) == {(0, 1)}
        store.ends(1, 0.5)
        status = (await engine.settle()).status
        assert status.counts.succeeded == 1
        assert status.completion_time is not None

    run(test())


def test_the_first_end_that_is_stored_stays() -> None:
    async def test() -> None:
        spec, store = spec_of(parallel=1, most=1), Store()
        engine = engine_of(spec, store)
        await engine.settle()
        trial = store.trials[(0, 0)]
        first = TrialStatus(state=TrialState.FAILED, reason=Reason.TIMED_OUT)
        store.trials[(0, 0)] = trial.model_copy(update={"status": first})
        store.ends(0, 0.5)
        status = (await engine.settle()).status
        assert status.counts.failed == 1
        assert status.counts.succeeded == 0

    run(test())


PRUNED = {"pruner": {"name": "median", "startupTrials": 1, "warmupSteps": 0}}


async def reported(reports: Reports, number: int, values: list[float]) -> list[Any]:
    key = AttemptKey(0, number, 0)
    return [
        await reports.take(key, Report(step, step, {"loss": value}))
        for step, value in enumerate(values, start=1)
    ]


def test_pruning_is_stored_before_it_is_answered() -> None:
    async def test() -> None:
        spec, store = spec_of(parallel=1, most=2, **PRUNED), Store()
        engine = engine_of(spec, store)
        reports = Reports(engine, wake=lambda: None)
        await engine.settle()
        await reported(reports, 0, [0.5, 0.4, 0.3])
        store.ends(0, 0.3)
        await engine.settle()
        answers = await reported(reports, 1, [0.9])
        assert answers[-1].answer is Answer.PRUNE
        assert store.trials[(0, 1)].status.state is TrialState.PRUNED
        late = await reported(reports, 1, [0.1])
        assert late[-1].answer is Answer.STOP, "what comes after the end is ignored"

    run(test())


def test_only_equal_phases_of_a_schedule_are_compared() -> None:
    """Without the phases the second trial, no worse, would be pruned for not having decayed yet."""

    async def scene(phases: tuple[str | None, str | None]) -> Answer:
        spec, store = spec_of(parallel=1, most=2, **PRUNED), Store()
        engine = engine_of(spec, store)
        reports = Reports(engine, wake=lambda: None)
        await engine.settle()
        key = AttemptKey(0, 0, 0)
        await reports.take(key, Report(1, 1, {"loss": 0.5}, phase=phases[0]))
        store.ends(0, 0.5)
        await engine.settle()
        reply = await reports.take(
            AttemptKey(0, 1, 0), Report(1, 1, {"loss": 0.6}, phase=phases[1])
        )
        first = store.trials[(0, 0)].status.curve
        assert [point.phase for point in first] == [phases[0]], "the curve itself is whole"
        curve = engine.state.records_of(0)[0].curve
        assert bool(curve) == is_comparable(phases[0]), "a study that is rebuilt decides alike"
        return reply.answer

    async def test() -> None:
        assert await scene((None, None)) is Answer.PRUNE
        assert await scene(("stable", "stable")) is Answer.PRUNE
        assert await scene(("decay", "stable")) is Answer.CONTINUE
        assert await scene(("stable", "decay")) is Answer.CONTINUE
        assert await scene(("warmup", "warmup")) is Answer.CONTINUE

    run(test())


def test_points_that_wait_to_be_stored_are_said_not_to_be_durable() -> None:
    async def test() -> None:
        spec, store = spec_of(parallel=1, most=2, **PRUNED), Store()
        engine = engine_of(spec, store)
        reports = Reports(engine, wake=lambda: None, save_after_seconds=10.0)
        await engine.settle()
        writes = len(store.writes)
        answers = await reported(reports, 0, [0.5, 0.4, 0.3])
        assert [reply.durable for reply in answers] == [0, 0, 0]
        assert len(store.writes) == writes, "no write for each point"
        await reports.save_due(now_seconds=109.0)
        assert len(store.writes) == writes, "not yet"
        await reports.save_due(now_seconds=110.0)
        assert [point.step for point in store.trials[(0, 0)].status.curve] == [1, 2, 3]
        again = await reported(reports, 0, [0.5])
        assert again[0].durable == 1, "what is repeated after that is stored already"

    run(test())


def test_without_a_pruner_a_curve_waits_for_the_end_and_costs_no_write() -> None:
    async def test() -> None:
        spec, store = spec_of(parallel=1, most=1), Store()
        engine = engine_of(spec, store)
        reports = Reports(engine, wake=lambda: None, save_after_seconds=10.0)
        await engine.settle()
        writes = len(store.writes)
        await reported(reports, 0, [0.5, 0.4])
        assert len(store.writes) == writes
        assert reports.wake_at_seconds is None
        store.ends(0, 0.4)
        await engine.settle()
        assert [point.value for point in store.trials[(0, 0)].status.curve] == [0.5, 0.4]

    run(test())


def test_reports_that_come_twice_or_out_of_order_leave_one_curve() -> None:
    async def test() -> None:
        spec, store = spec_of(parallel=1, most=1, **PRUNED), Store()
        engine = engine_of(spec, store)
        reports = Reports(engine, wake=lambda: None)
        await engine.settle()
        key = AttemptKey(0, 0, 0)
        for seq, step, value in ((1, 1, 0.9), (2, 2, 0.8), (2, 2, 0.1), (1, 1, 0.2), (3, 3, 0.7)):
            await reports.take(key, Report(seq, step, {"loss": value}))
        curve = store.trials[(0, 0)].status.curve
        assert [(point.step, point.value) for point in curve] == [(1, 0.9), (2, 0.8), (3, 0.7)]

    run(test())
