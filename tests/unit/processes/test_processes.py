"""Work in processes of its own: the same answers, within bounds, and nobody waits for others'."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import pytest

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.names import TrialState
from scaling_operator.api.policy import PolicySpec
from scaling_operator.api.search import Search
from scaling_operator.core.fit_types import FitInput, TunedPoint
from scaling_operator.core.ladder import Scale
from scaling_operator.law.fit_experiment import fit
from scaling_operator.processes.messages import (
    DOCUMENT,
    FIT_INPUT,
    PROBLEMS,
    Task,
    decode_call,
    encode_call,
)
from scaling_operator.processes.pool import PATIENCE_SECONDS, FairLock, WorkerPool
from scaling_operator.processes.process import (
    CHECK,
    FIT,
    MIB,
    WorkBounds,
    WorkerProcess,
    WorkExceeded,
    WorkFailed,
)
from scaling_operator.processes.workers import ProcessFitRunner, ProcessStudyHost, check_in_process
from scaling_operator.search.optuna_trials import Record
from scaling_operator.search.study import Proposal, StudySettings
from scaling_operator.search.study_worker import (
    AskCall,
    Call,
    CloseCall,
    OpenCall,
    ReportCall,
    StudyHost,
    StudyWorker,
    TellCall,
    ThreadHost,
)
from scaling_operator.sizing.observations import Observations
from scaling_operator.sizing.run_plan import KnownMachines
from scaling_operator.validation.checks import check_document

pytestmark = pytest.mark.slow

T = TypeVar("T")
PARAMETERS: dict[str, Any] = {
    "rate": {"type": "float", "low": 1e-4, "high": 1.0, "log": True},
    "act": {"type": "categorical", "choices": ["relu", 1, 1.5, True]},
    "layers": {"type": "int", "low": 1, "high": 8, "when": {"act": ["relu", 1.5]}},
}
ALGORITHMS: dict[str, dict[str, Any]] = {
    "random": {"name": "random"},
    "tpe": {"name": "tpe", "startupTrials": 4},
    "genetic": {"name": "genetic", "populationSize": 4},
}


def in_pool(test: Callable[[WorkerPool], Awaitable[T]], processes: int = 1) -> T:
    async def run() -> T:
        pool = WorkerPool(processes)
        try:
            return await test(pool)
        finally:
            await pool.close()

    return asyncio.run(run())


def a_search(algorithm: str = "random") -> Search:
    pruner = {"name": "median"} if algorithm != "genetic" else {"name": "none"}
    return Search.model_validate(
        {"parameters": PARAMETERS, "algorithm": ALGORITHMS[algorithm], "pruner": pruner}
    )


def settings_of(search: Search) -> StudySettings:
    return StudySettings("s-0", search, ("minimize",), 7, 0)


async def play(
    host: StudyHost, search: Search, after: Callable[[int], Awaitable[None]], trials: int = 12
) -> list[Proposal]:
    """Ask, report and tell for some trials; `after` each of them something may happen."""
    records: dict[int, Record] = {}
    study_worker = StudyWorker(
        settings_of(search), lambda: [records[at] for at in sorted(records)], host
    )
    proposals: list[Proposal] = []
    for number in range(trials):
        proposal = await study_worker.ask(
            number, {"act": "relu", "layers": 3} if number == 2 else None
        )
        proposals.append(proposal)
        running = Record(
            number=number,
            parameters=proposal.parameters,
            attributes=proposal.attributes,
            state=TrialState.RUNNING,
            diverged=False,
            values=(),
            curve=(),
        )
        records[number] = running
        value = float(proposal.parameters["rate"]) + number % 3
        await study_worker.report(number, 1, value)
        ended = replace(running, state=TrialState.SUCCEEDED, values=(value,), curve=((1, value),))
        records[number] = ended
        await study_worker.tell(ended)
        await after(number)
    study_worker.close()
    host.end()
    return proposals


async def nothing(number: int) -> None:
    del number


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_study_in_a_process_proposes_what_one_in_a_thread_does(algorithm: str) -> None:
    search = a_search(algorithm)
    here = asyncio.run(play(ThreadHost(), search, nothing))
    there = in_pool(lambda pool: play(ProcessStudyHost(pool, "team", search), search, nothing))
    assert there == here


def test_a_process_that_ends_changes_no_proposal() -> None:
    search = a_search("tpe")
    here = asyncio.run(play(ThreadHost(), search, nothing))

    async def test(pool: WorkerPool) -> list[Proposal]:
        async def kill(number: int) -> None:
            if number % 4 == 3:
                for seat in pool._processes:  # pyright: ignore[reportPrivateUsage] -- as the kernel
                    seat.process.kill()

        return await play(ProcessStudyHost(pool, "team", search), search, kill)

    assert in_pool(test) == here


@pytest.mark.parametrize(
    "document",
    [
        pytest.param({}, id="empty"),
        pytest.param({"spec": {"objective": 1}, "kind": "ScalingExperiment"}, id="faulty"),
        pytest.param(
            {
                "apiVersion": "scaling-operator.dev/v1alpha1",
                "kind": "ScalingExperiment",
                "metadata": {"name": "a"},
                "spec": {
                    "objective": {"metric": "loss", "direction": "minimize"},
                    "search": {"parameters": PARAMETERS},
                    "trainer": {"container": {"image": "x"}},
                },
            },
            id="sound",
        ),
    ],
)
def test_a_check_in_a_process_finds_what_one_here_does(document: dict[str, Any]) -> None:
    stored = {"metadata": {}, **document, "status": {"phase": "Running"}}
    problems = in_pool(lambda pool: check_in_process(pool, "team", stored))
    assert problems == check_document({"metadata": {}, **document})


def a_fit_input(points: int = 12, bootstrap: int = 100) -> FitInput:
    spec = ExperimentSpec.model_validate(
        {
            "objective": {"metric": "loss", "direction": "minimize"},
            "trainer": {"container": {"command": ["true"]}},
            "scaling": {
                "parameter": "n",
                "sizes": [2**at for at in range(points)],
                "fit": {"bootstrap": bootstrap},
                "targets": [{"parameters": 1e5}],
            },
        }
    )
    tuned = tuple(
        TunedPoint(
            scale=Scale(at, {"n": 2**at}),
            trial=f"e-{at}-0",
            value=1.5 + 4.0 / 2 ** (0.4 * at) + at % 3 / 1000,
            parameters={"rate": 0.1},
            model_parameters=1000.0 * 2**at,
        )
        for at in range(points)
    )
    return FitInput(spec, tuned, untried=(Scale(points, {"n": 2**points}),), seed=3)


def test_a_fit_in_a_process_says_what_one_here_does() -> None:
    fit_input = a_fit_input()
    assert (
        in_pool(lambda pool: ProcessFitRunner(pool, "team").fit(fit_input)) == fit(fit_input).view
    )


def test_what_a_fit_is_asked_survives_the_way() -> None:
    policy = PolicySpec.model_validate(
        {"shapes": [{"name": "cpu", "flops": 6.4e10, "pricePerHour": 2}]}
    )
    observations = Observations(oom_factors={(1, "cpu"): 1.5}, failed_host_bytes={2: 1e9})
    machines = KnownMachines(policy, observations)
    fit_input = replace(a_fit_input(), machines=machines, bought={1.5: float("inf")})
    assert FIT_INPUT.decode(FIT_INPUT.encode(fit_input)) == fit_input


@pytest.mark.parametrize(
    "call",
    [
        OpenCall(settings_of(a_search("tpe")), ()),
        AskCall(3, {"a": 1.0, "b": 1, "c": True, "d": "x\ny"}),
        AskCall(0),
        ReportCall(1, 2, 0.1 + 0.2),
        TellCall(Record(1, {"a": 1}, {"k": [1, {}]}, TrialState.FAILED, True, (), ((1, 2.0),))),  # noqa: FBT003
        CloseCall(),
    ],
    ids=lambda call: type(call).__name__,
)
def test_what_a_study_is_asked_survives_the_way(call: Call) -> None:
    assert decode_call(encode_call("a study\u2028#1", call)) == ("a study\u2028#1", call)


HUGE = FIT_INPUT.encode(a_fit_input(points=40, bootstrap=100_000))


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        pytest.param(replace(FIT, cpu_seconds=0), "processor time", id="time"),
        pytest.param(replace(FIT, memory_bytes=64 * MIB), "64 MiB of memory", id="memory"),
    ],
)
def test_work_beyond_its_bounds_ends_and_the_next_is_done(bounds: WorkBounds, words: str) -> None:
    async def test(pool: WorkerPool) -> bytes:
        with pytest.raises(WorkExceeded, match=words):
            await pool.work("team", Task.FIT, HUGE, bounds)
        return await pool.work("team", Task.CHECK, DOCUMENT.encode({}), CHECK)

    assert PROBLEMS.decode(in_pool(test))


def test_a_fit_beyond_its_bounds_is_a_condition_that_says_what_helps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("scaling_operator.processes.workers.FIT", replace(FIT, cpu_seconds=0))
    fit_input = a_fit_input(points=40, bootstrap=100_000)
    view = in_pool(lambda pool: ProcessFitRunner(pool, "team").fit(fit_input))
    (condition,) = view.conditions
    assert (condition.reason, condition.is_true) == ("FitExceeded", False)
    assert "scaling.fit.bootstrap" in condition.message


def test_work_that_breaks_says_how_and_the_next_is_done() -> None:
    async def test(pool: WorkerPool) -> bytes:
        with pytest.raises(WorkFailed, match="ValidationError"):
            await pool.work("team", Task.FIT, b"{}", FIT)
        return await pool.work("team", Task.CHECK, DOCUMENT.encode({}), CHECK)

    assert PROBLEMS.decode(in_pool(test))


def test_a_fit_nobody_waits_for_ends_at_once_and_its_answer_reaches_nobody() -> None:
    async def test(pool: WorkerPool) -> bytes:
        fitting = asyncio.create_task(pool.work("team", Task.FIT, HUGE, FIT))
        while pool._processes[0].process._process is None:  # pyright: ignore[reportPrivateUsage]
            await asyncio.sleep(0.01)
        fitting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await fitting
        return await pool.work("other", Task.CHECK, DOCUMENT.encode({}), CHECK)

    assert PROBLEMS.decode(in_pool(test))


def test_a_namespace_with_long_work_does_not_keep_another_from_its_own() -> None:
    async def test(pool: WorkerPool) -> int:
        hostile = [asyncio.create_task(pool.work("bad", Task.FIT, HUGE, FIT)) for _ in range(20)]
        await asyncio.sleep(0)
        for name in ("good", "fine", "kind"):
            await pool.work(name, Task.CHECK, DOCUMENT.encode({}), CHECK)
        ended = sum(task.done() for task in hostile)
        for task in hostile:
            task.cancel()
        await asyncio.gather(*hostile, return_exceptions=True)
        return ended

    assert in_pool(test, processes=2) < 5, "most of its long work is still to be done"


def test_a_namespace_that_waits_for_its_own_work_does_not_take_a_second_process() -> None:
    async def test(pool: WorkerPool) -> list[bool]:
        hostile = [asyncio.create_task(pool.work("bad", Task.FIT, HUGE, FIT)) for _ in range(8)]
        await asyncio.sleep(3 * PATIENCE_SECONDS)
        running = [seat.process.is_running for seat in pool._processes]  # pyright: ignore[reportPrivateUsage]
        for task in hostile:
            task.cancel()
        await asyncio.gather(*hostile, return_exceptions=True)
        return running

    assert sorted(in_pool(test, processes=2)) == [False, True]


def test_a_process_nobody_asks_ends_and_the_next_work_starts_another() -> None:
    async def run() -> None:
        pool = WorkerPool(1, idle_seconds=0.05)
        await pool.work("team", Task.CHECK, DOCUMENT.encode({}), CHECK)
        process = pool._processes[0].process  # pyright: ignore[reportPrivateUsage] -- no other view
        while process.is_running:
            await asyncio.sleep(0.01)
        assert PROBLEMS.decode(await pool.work("team", Task.CHECK, DOCUMENT.encode({}), CHECK))
        await pool.close()

    asyncio.run(run())


def test_processes_end_with_this_one() -> None:
    """A killed operator leaves nobody: its processes read the end of their input."""

    async def run() -> None:
        worker = WorkerProcess()
        await worker.start()
        process = worker._process  # pyright: ignore[reportPrivateUsage] -- as if this one died
        assert process is not None
        assert process.stdin is not None
        process.stdin.close()
        assert await asyncio.wait_for(process.wait(), 60) == 0

    asyncio.run(run())


def test_a_process_that_dies_amid_its_work_is_told_from_one_that_takes_too_much() -> None:
    async def run() -> None:
        worker = WorkerProcess()
        await worker.start()
        process = worker._process  # pyright: ignore[reportPrivateUsage] -- as a fault would
        assert process is not None
        working = asyncio.create_task(worker.work(Task.FIT, HUGE, FIT))
        await asyncio.sleep(0.05)
        os.kill(process.pid, signal.SIGSEGV)
        with pytest.raises(WorkFailed, match="-11"):
            await working
        await worker.end()

    asyncio.run(run())


TURNS: Mapping[str, tuple[str, str]] = {
    "one owner's wait in order": ("a1 a2 a3", "a1 a2 a3"),
    "owners take turns": ("a1 a2 a3 b1 c1 b2", "a1 b1 c1 a2 b2 a3"),
}


@pytest.mark.parametrize(("asked", "taken"), TURNS.values(), ids=TURNS)
def test_a_fair_lock_gives_turns(asked: str, taken: str) -> None:
    async def run() -> list[str]:
        lock, order = FairLock(), list[str]()
        await lock.acquire("holder")

        async def take(name: str) -> None:
            await lock.acquire(name[0])
            order.append(name)
            lock.release()

        tasks = [asyncio.create_task(take(name)) for name in asked.split()]
        await asyncio.sleep(0)
        lock.release()
        await asyncio.gather(*tasks)
        assert lock.holder is None
        return order

    assert asyncio.run(run()) == taken.split()


@pytest.mark.parametrize("releases_first", [False, True], ids=["before", "as it comes"])
def test_who_is_cancelled_gives_the_turn_on(releases_first: bool) -> None:  # noqa: FBT001 - a column
    async def run() -> None:
        lock = FairLock()
        await lock.acquire("holder")
        first = asyncio.create_task(lock.acquire("a"))
        second = asyncio.create_task(lock.acquire("b"))
        await asyncio.sleep(0)
        if releases_first:
            lock.release()
        first.cancel()
        await asyncio.wait({first})
        if not releases_first:
            lock.release()
        await asyncio.wait_for(second, 10)
        lock.release()
        assert lock.holder is None

    asyncio.run(run())


def test_reading_a_study_of_many_trials_is_quick_enough_to_be_done_in_one_go() -> None:
    """The event loop packs the records: far less than what it may be kept for."""
    ended = Record(
        number=0,
        parameters={"rate": 0.1, "act": "relu", "layers": 3},
        attributes=dict[str, Any](),
        state=TrialState.SUCCEEDED,
        diverged=False,
        values=(0.5,),
        curve=(),
    )
    records = tuple(replace(ended, number=at) for at in range(10_000))
    started = time.process_time()
    encode_call("s", OpenCall(settings_of(a_search()), records))
    assert time.process_time() - started < 0.5
