"""Actions under way: every action is an asyncio task, and each trial has one action at a time.

So a trial's steps follow each other without waiting for another trial's steps.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from scaling_operator.api.names import TrialKey
from scaling_operator.core.actions import Ask
from scaling_operator.core.reports import AttemptKey

Work = Coroutine[Any, Any, None]


def _nothing() -> None:
    """Do nothing."""


@dataclass(slots=True)
class InFlight:
    """Tasks that have begun, and the trials that they change. All run in one event loop."""

    changing: set[TrialKey] = field(default_factory=set[TrialKey])
    discarding: set[AttemptKey] = field(default_factory=set[AttemptKey])
    asks: deque[Ask] = field(default_factory=deque[Ask])
    """Trials to create, in order: the first is being created, the others wait."""
    _tasks: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _error: BaseException | None = None

    @property
    def asking(self) -> frozenset[TrialKey]:
        """Trials that are not stored yet."""
        return frozenset((ask.scale, ask.number) for ask in self.asks)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is under way."""
        return not self._tasks

    def change(self, trial_key: TrialKey, work: Work) -> None:
        """Begin an action about a live trial."""
        self.changing.add(trial_key)
        self.begin(work, lambda: self.changing.discard(trial_key))

    def discard(self, keys: tuple[AttemptKey, ...], work: Work) -> None:
        """Begin the deletion of workloads."""
        self.discarding.update(keys)
        self.begin(work, lambda: self.discarding.difference_update(keys))

    def begin(self, work: Work, ended: Callable[[], None] = _nothing) -> None:
        """Begin a task; `ended` is called once it has ended, has failed or was cancelled."""
        task = asyncio.create_task(work)
        self._tasks.add(task)

        def done(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            ended()
            error = None if task.cancelled() else task.exception()
            self._error = self._error or error
            self._news.set()

        task.add_done_callback(done)

    def wake(self) -> None:
        """Say that something has changed: end the wait of `next_change`."""
        self._news.set()

    async def next_change(self) -> None:
        """Wait until a task has ended or something has changed.

        After a fault wait for all tasks; then raise the fault.
        """
        if self._tasks:
            await self._news.wait()
        self._news.clear()
        if self._error is not None:
            await self.drain()

    async def drain(self) -> None:
        """Wait until nothing is under way; raise the first fault."""
        error = await self.end()
        if error is not None:
            raise error

    async def end(self) -> BaseException | None:
        """Wait until nothing is under way; return the first fault."""
        while self._tasks:
            await asyncio.wait(self._tasks)
        error, self._error = self._error, None
        return error

    async def cancel(self) -> None:
        """Cancel all tasks and wait for their end."""
        for task in self._tasks:
            task.cancel()
        await self.end()
