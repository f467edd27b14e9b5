from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from scaling_operator.kube.client.kopf_tasks import ROUND_SECONDS, StartedTasks, tracked_tasks

FOREVER = 3600


async def sleeps() -> None:
    await asyncio.sleep(FOREVER)


async def breeds() -> None:
    """Begin another task, and a further one when cancelled: as careless code does."""
    child = asyncio.create_task(sleeps())
    try:
        await asyncio.shield(child)
    finally:
        asyncio.create_task(sleeps())  # noqa: RUF006 - left behind on purpose


async def cleans_up_for_ever() -> None:
    """Wait, when cancelled, for what only others could end: as kopf's scheduler may."""
    try:
        await sleeps()
    finally:
        await asyncio.shield(sleeps())


def in_a_loop(story: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        with tracked_tasks():
            await story()

    asyncio.run(run())


def other_tasks() -> set[asyncio.Task[object]]:
    current = asyncio.current_task()
    return {task for task in asyncio.all_tasks() if task is not current}


def test_what_a_task_has_begun_is_ended_down_to_the_last() -> None:
    async def story() -> None:
        async def foreign() -> None:
            descent = StartedTasks()
            for _ in range(3):
                asyncio.create_task(breeds())  # noqa: RUF006 - left behind on purpose
            await asyncio.sleep(0.01)
            assert len(other_tasks()) > 3
            await descent.end()

        await asyncio.create_task(foreign())
        assert other_tasks() == set()

    in_a_loop(story)


@pytest.mark.slow
def test_a_clean_up_that_waits_for_what_never_comes_is_ended_too() -> None:
    async def story() -> None:
        async def foreign() -> None:
            descent = StartedTasks()
            asyncio.create_task(cleans_up_for_ever())  # noqa: RUF006 - left behind on purpose
            await asyncio.sleep(0.01)
            async with asyncio.timeout(10 * ROUND_SECONDS):
                await descent.end()

        await asyncio.create_task(foreign())
        assert other_tasks() == set()

    in_a_loop(story)


def test_what_others_have_begun_goes_on() -> None:
    async def story() -> None:
        before = asyncio.create_task(sleeps())
        begun = asyncio.Event()

        async def foreign() -> None:
            descent = StartedTasks()
            asyncio.create_task(sleeps())  # noqa: RUF006 - left behind on purpose
            await begun.wait()
            await descent.end()

        task = asyncio.create_task(foreign())
        await asyncio.sleep(0)
        after = asyncio.create_task(sleeps())
        begun.set()
        await task
        assert other_tasks() == {before, after}
        assert not before.cancelling()
        assert not after.cancelling()
        for sleeper in (before, after):
            sleeper.cancel()
        await asyncio.gather(before, after, return_exceptions=True)

    in_a_loop(story)


def test_afterwards_the_loop_is_as_it_was() -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        with tracked_tasks():
            assert loop.get_task_factory() is not None
        assert loop.get_task_factory() is None

    asyncio.run(run())
