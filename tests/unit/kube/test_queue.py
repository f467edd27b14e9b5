"""The work queue: one at a time for each key, fair, with backoff."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from scaling_operator.kube.client.queue import FIRST_BACKOFF_SECONDS, WorkQueue


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def in_loop(test: Callable[[WorkQueue[str], Clock], Awaitable[None]]) -> None:
    async def run() -> None:
        clock = Clock()
        await test(WorkQueue(clock), clock)

    asyncio.run(run())


def test_a_key_that_is_added_often_is_worked_on_once() -> None:
    async def test(queue: WorkQueue[str], clock: Clock) -> None:
        del clock
        for _ in range(3):
            queue.add("a")
        assert await queue.get() == "a"
        assert len(queue) == 0

    in_loop(test)


def test_a_key_that_is_added_while_it_is_worked_on_comes_again_afterwards() -> None:
    async def test(queue: WorkQueue[str], clock: Clock) -> None:
        del clock
        queue.add("a")
        await queue.get()
        queue.add("a")
        assert len(queue) == 0, "nobody else may work on it meanwhile"
        queue.done("a")
        assert await queue.get() == "a"

    in_loop(test)


def of_namespace(key: str) -> str:
    return key[0]


def test_namespaces_take_turns_however_many_keys_one_of_them_adds() -> None:
    async def run() -> None:
        queue = WorkQueue(Clock(), of_namespace)
        for key in ("a1", "a2", "a3", "b1", "c1", "b2"):
            queue.add(key)
        taken = [await queue.get() for _ in range(6)]
        assert taken == ["a1", "b1", "c1", "a2", "b2", "a3"]

    asyncio.run(run())


def test_a_namespace_never_has_all_workers() -> None:
    async def run() -> None:
        queue = WorkQueue(Clock(), of_namespace, 2)
        for key in ("a1", "a2", "a3"):
            queue.add(key)
        assert [await queue.get(), await queue.get()] == ["a1", "a2"]
        third = asyncio.create_task(queue.get())
        await asyncio.sleep(0)
        assert not third.done(), "two of its keys are worked on"
        queue.add("b1")
        assert await third == "b1", "another namespace's key need not wait"
        fourth = asyncio.create_task(queue.get())
        await asyncio.sleep(0)
        assert not fourth.done()
        queue.done("a1")
        assert await fourth == "a3"

    asyncio.run(run())


def test_a_queue_stalls_only_while_keys_wait_and_none_is_taken() -> None:
    async def test(queue: WorkQueue[str], clock: Clock) -> None:
        assert queue.stalled_seconds == 0.0
        queue.add("a")
        queue.add("b")
        clock.now = 10.0
        assert queue.stalled_seconds == 10.0
        await queue.get()
        clock.now = 15.0
        assert (queue.oldest_seconds, queue.stalled_seconds) == (15.0, 5.0)

    in_loop(test)


def test_keys_come_in_the_order_in_which_they_were_added_first() -> None:
    async def test(queue: WorkQueue[str], clock: Clock) -> None:
        del clock
        for key in ("a", "b", "a", "c"):
            queue.add(key)
        assert [await queue.get() for _ in range(3)] == ["a", "b", "c"]

    in_loop(test)


def test_the_earliest_of_several_delays_counts() -> None:
    async def test(queue: WorkQueue[str], clock: Clock) -> None:
        del clock
        queue.add_after("a", 60)
        queue.add_after("a", 0.01)
        queue.add_after("a", 60)
        assert await asyncio.wait_for(queue.get(), 5) == "a"

    in_loop(test)


def test_each_failure_in_a_row_doubles_the_delay_and_success_begins_anew() -> None:
    async def test(queue: WorkQueue[str], clock: Clock) -> None:
        del clock
        delays = [queue.failed("a") for _ in range(4)]
        for times, delay in enumerate(delays):
            longest = FIRST_BACKOFF_SECONDS * 2**times
            assert longest / 2 <= delay <= longest
        queue.done("a")
        assert queue.failed("a") <= FIRST_BACKOFF_SECONDS

    in_loop(test)


def test_a_server_that_names_a_delay_is_obeyed() -> None:
    async def test(queue: WorkQueue[str], clock: Clock) -> None:
        del clock
        assert queue.failed("a", at_least_seconds=7.0) == 7.0

    in_loop(test)


def test_what_failed_does_not_come_at_once_though_it_was_added_meanwhile() -> None:
    async def test(queue: WorkQueue[str], clock: Clock) -> None:
        del clock
        queue.add("a")
        await queue.get()
        queue.add("a")
        queue.failed("a", at_least_seconds=60)
        assert len(queue) == 0

    in_loop(test)


def test_the_age_of_the_oldest_key_is_told() -> None:
    async def test(queue: WorkQueue[str], clock: Clock) -> None:
        assert queue.oldest_seconds == 0
        queue.add("a")
        clock.now = 5.0
        queue.add("b")
        clock.now = 7.0
        assert queue.oldest_seconds == pytest.approx(7.0)

    in_loop(test)


def test_what_is_cleared_does_not_come_later() -> None:
    async def test(queue: WorkQueue[str], clock: Clock) -> None:
        del clock
        queue.add("a")
        queue.add_after("b", 0.01)
        queue.clear()
        await asyncio.sleep(0.05)
        assert len(queue) == 0

    in_loop(test)
