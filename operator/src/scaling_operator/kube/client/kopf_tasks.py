"""Tells kopf's tasks apart from ours, and ends them.

kopf leaves tasks behind when it ends while it starts; they then retry on a closed connection for
ever. kopf itself can only end them by cancelling everything in the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from weakref import WeakSet

ROUND_SECONDS = 0.5

_started: ContextVar[WeakSet[asyncio.Task[Any]] | None] = ContextVar("_started", default=None)


@contextmanager
def tracked_tasks() -> Generator[None]:
    """Track which task starts which, in this event loop and for the length of a block."""
    loop = asyncio.get_running_loop()
    before = loop.get_task_factory()
    loop.set_task_factory(_start)
    try:
        yield
    finally:
        loop.set_task_factory(before)


class StartedTasks:
    """The tasks that the creating task has started since, and those that they have started."""

    def __init__(self) -> None:
        self._tasks = WeakSet[asyncio.Task[Any]]()
        # A task inherits the context of the task that starts it.
        _started.set(self._tasks)

    async def end(self) -> None:
        """Cancel these tasks until none is left.

        In rounds: kopf's clean-up starts further tasks, and waits for some that are cancelled now.
        """
        while running := [task for task in self._tasks if not task.done()]:
            for task in running:
                task.cancel()
            done, _ = await asyncio.wait(running, timeout=ROUND_SECONDS)
            for task in done:
                if not task.cancelled():
                    task.exception()  # else asyncio complains of a lost exception


def _start(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
    task = asyncio.Task(coroutine, loop=loop, **options)
    started = _started.get()
    if started is not None:
        started.add(task)
    return task
