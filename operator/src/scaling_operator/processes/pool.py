"""A few processes that work for all experiments: no namespace takes all processes, or all the time.

One process does the work of a namespace, its home, where its studies stay open. Namespaces of a
process take turns. A namespace that waits for another namespace's long work moves to an idle
process.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, deque
from dataclasses import dataclass, field

from scaling_operator.processes.messages import Task
from scaling_operator.processes.process import WorkBounds, WorkerProcess, WorkFailed


@dataclass(slots=True)
class FairLock:
    """A lock that owners take in turn, by round robin; the waiters of one owner keep their order.

    So an owner that wants it often does not keep the others from it.
    """

    holder: str | None = None
    """The owner that has the lock; None: it is free."""
    _waiting: dict[str, deque[asyncio.Future[None]]] = field(
        default_factory=dict[str, deque[asyncio.Future[None]]]
    )

    async def acquire(self, owner: str) -> None:
        """Wait for the owner's turn."""
        if self.holder is None:
            self.holder = owner
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(owner, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release()  # the turn came at the same time as the cancellation
            else:
                self._withdraw(owner, turn)
            raise

    def release(self) -> None:
        """Give the turn to the next owner."""
        if not self._waiting:
            self.holder = None
            return
        owner, turns = next(iter(self._waiting.items()))
        del self._waiting[owner]
        self.holder, turn = owner, turns.popleft()
        if turns:
            self._waiting[owner] = turns  # behind all other owners
        turn.set_result(None)

    def _withdraw(self, owner: str, turn: asyncio.Future[None]) -> None:
        turns = self._waiting.get(owner, deque())
        with contextlib.suppress(ValueError):
            turns.remove(turn)
        if not turns:
            self._waiting.pop(owner, None)


PATIENCE_SECONDS = 0.5
"""After a move the studies are built anew: too costly for every short wait."""
IDLE_SECONDS = 300.0
"""A process without work for so long ends, and frees its memory."""


@dataclass(slots=True)
class PooledProcess:
    """A process, its lock, and the timer that ends it when it is idle."""

    process: WorkerProcess = field(default_factory=WorkerProcess)
    lock: FairLock = field(default_factory=FairLock)
    idle: asyncio.TimerHandle | None = None


class WorkerPool:
    """Worker processes. The pool is used in one event loop."""

    def __init__(self, processes: int, idle_seconds: float = IDLE_SECONDS) -> None:
        self._processes = tuple(PooledProcess() for _ in range(processes))
        self._homes: dict[str, int] = {}
        self._idle_seconds = idle_seconds
        self._tasks: set[asyncio.Task[bytes]] = set()
        self._is_closed = False

    async def work(self, owner: str, task: Task, payload: bytes, bounds: WorkBounds) -> bytes:
        """Do a piece of work of a namespace, in its turn. Raises the errors of `WorkerProcess`.

        A cancelled caller does not wait: a check or a fit ends with its process, while work on a
        study goes on to its end or its bounds, because the process has other open studies.
        """
        process = await self._turn(owner)
        if self._is_closed:
            process.lock.release()
            message = "the operator ends"
            raise WorkFailed(message)
        doing = asyncio.create_task(self._work(process, task, payload, bounds))
        self._tasks.add(doing)
        doing.add_done_callback(self._forget)
        try:
            return await asyncio.shield(doing)
        except asyncio.CancelledError:
            if task is not Task.STUDY:
                doing.cancel()
            raise

    async def close(self) -> None:
        """End all processes and their work at once. The pool accepts no more work."""
        self._is_closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for process in self._processes:
            if process.idle is not None:
                process.idle.cancel()
            await process.process.end()

    async def _turn(self, owner: str) -> PooledProcess:
        while True:
            process = self._processes[self._home(owner)]
            if await self._acquire(process, owner):
                return process

    async def _acquire(self, process: PooledProcess, owner: str) -> bool:
        """Wait for a process; False where the owner has moved to another home meanwhile."""
        turn = asyncio.create_task(process.lock.acquire(owner))
        is_acquired = False
        try:
            while not is_acquired:
                done, _ = await asyncio.wait({turn}, timeout=PATIENCE_SECONDS)
                is_acquired = bool(done)
                if not is_acquired and self._has_moved(owner):
                    return False
            return True
        finally:
            if not is_acquired and turn.done():
                process.lock.release()  # the turn came as the wait ended
            elif not is_acquired:
                turn.cancel()

    def _home(self, owner: str) -> int:
        if owner not in self._homes:
            taken = Counter(self._homes.values())
            self._homes[owner] = min(range(len(self._processes)), key=lambda index: taken[index])
        return self._homes[owner]

    def _has_moved(self, owner: str) -> bool:
        """Move a namespace that waits for another one's work to an idle process."""
        if self._processes[self._home(owner)].lock.holder == owner:
            return False  # it must not take a second process, which others need
        for index, process in enumerate(self._processes):
            if process.lock.holder is None:
                self._homes[owner] = index
                return True
        return False

    async def _work(
        self, process: PooledProcess, task: Task, payload: bytes, bounds: WorkBounds
    ) -> bytes:
        try:
            return await process.process.work(task, payload, bounds)
        finally:
            process.lock.release()
            self._schedule_end(process)

    def _schedule_end(self, process: PooledProcess) -> None:
        """End the process after a while without work."""
        if process.idle is not None:
            process.idle.cancel()
        loop = asyncio.get_running_loop()
        process.idle = loop.call_later(self._idle_seconds, self._end, process)

    def _end(self, process: PooledProcess) -> None:
        if process.lock.holder is None:
            process.process.kill()

    def _forget(self, task: asyncio.Task[bytes]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # a cancelled caller does not retrieve it
