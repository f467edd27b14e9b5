"""Whose task a task is: those that another's code begins are told apart from ours, and ended.

kopf leaves tasks behind when it ends in its beginnings, which then ask for a closed connection for
ever; and it has no other way to end them than to cancel everything in the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from weakref import WeakSet

ROUND_SECONDS = 0.5

_started: ContextVar[WeakSet[asyncio.Task[Any]] | None] = ContextVar("_begun", default=None)


@contextmanager
def tracked_tasks() -> Generator[None]:
    """Follow who begins which task in this event loop, for as long as the block lasts."""
    loop = asyncio.get_running_loop()
    before = loop.get_task_factory()
    loop.set_task_factory(_start)
    try:
        yield
    finally:
        loop.set_task_factory(before)


class StartedTasks:
    """The tasks that the one which made this has begun since, theirs included."""

    def __init__(self) -> None:
        self._tasks = WeakSet[asyncio.Task[Any]]()
        # A task inherits the context of the one that begins it.
        _started.set(self._tasks)

    async def end(self) -> None:
        """Cancel them until none is left.

        In rounds: kopf's clean-up begins further tasks, and waits for some that are cancelled now.
        """
        while going := [task for task in self._tasks if not task.done()]:
            for task in going:
                task.cancel()
            done, _ = await asyncio.wait(going, timeout=ROUND_SECONDS)
            for task in done:
                if not task.cancelled():
                    task.exception()  # else asyncio complains that nobody has looked at it


def _start(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
    task = asyncio.Task(coroutine, loop=loop, **options)
    begun = _started.get()
    if begun is not None:
        begun.add(task)
    return task
