"""A few processes that work for all experiments: no namespace takes all of them, or all the time.

What a namespace asks for is done by one process, its home, where its studies stay open. In a
process namespaces take turns. Who waits there for another one's long work moves to an idle process.
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
    """Held by one at a time. Those of one owner wait in order, the owners by round robin."""

    holder: str | None = None
    """Whose turn it is; None: nobody's."""
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
                self.release()  # the turn had come all the same
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
            self._waiting[owner] = turns  # behind all others
        turn.set_result(None)

    def _withdraw(self, owner: str, turn: asyncio.Future[None]) -> None:
        turns = self._waiting.get(owner, deque())
        with contextlib.suppress(ValueError):
            turns.remove(turn)
        if not turns:
            self._waiting.pop(owner, None)


PATIENCE_SECONDS = 0.5
"""Moving costs that the studies are built anew: not for every short wait."""
IDLE_SECONDS = 300.0
"""A process that nobody has asked for so long ends, and its memory is free."""


@dataclass(slots=True)
class PooledProcess:
    """A process, the lock of those who want it, and when it ends if nobody does."""

    process: WorkerProcess = field(default_factory=WorkerProcess)
    lock: FairLock = field(default_factory=FairLock)
    idle: asyncio.TimerHandle | None = None


class WorkerPool:
    """Processes by number. All of it runs in one event loop."""

    def __init__(self, processes: int, idle_seconds: float = IDLE_SECONDS) -> None:
        self._processes = tuple(PooledProcess() for _ in range(processes))
        self._homes: dict[str, int] = {}
        self._idle_seconds = idle_seconds
        self._tasks: set[asyncio.Task[bytes]] = set()
        self._is_closed = False

    async def work(self, owner: str, task: Task, payload: bytes, bounds: WorkBounds) -> bytes:
        """Have a piece of a namespace's work done, in its turn. Raises what `WorkerProcess` does.

        Who is cancelled meanwhile does not wait: a check or a fit ends with its process, while work
        on a study goes on to its end or its bounds, for others have studies in that process.
        """
        seat = await self._turn(owner)
        if self._is_closed:
            seat.lock.release()
            message = "the operator ends"
            raise WorkFailed(message)
        doing = asyncio.create_task(self._work(seat, task, payload, bounds))
        self._tasks.add(doing)
        doing.add_done_callback(self._forget)
        try:
            return await asyncio.shield(doing)
        except asyncio.CancelledError:
            if task is not Task.STUDY:
                doing.cancel()
            raise

    async def close(self) -> None:
        """End all processes at once, and what they are at. Nothing more is done."""
        self._is_closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for seat in self._processes:
            if seat.idle is not None:
                seat.idle.cancel()
            await seat.process.end()

    async def _turn(self, owner: str) -> PooledProcess:
        while True:
            seat = self._processes[self._home(owner)]
            if await self._acquire(seat, owner):
                return seat

    async def _acquire(self, seat: PooledProcess, owner: str) -> bool:
        """Wait for a process; False where the owner has got another home meanwhile."""
        turn = asyncio.create_task(seat.lock.acquire(owner))
        has_come = False
        try:
            while not has_come:
                done, _ = await asyncio.wait({turn}, timeout=PATIENCE_SECONDS)
                has_come = bool(done)
                if not has_come and self._has_moved(owner):
                    return False
            return True
        finally:
            if not has_come and turn.done():
                seat.lock.release()  # it came in the very moment in which nobody waited any more
            elif not has_come:
                turn.cancel()

    def _home(self, owner: str) -> int:
        if owner not in self._homes:
            taken = Counter(self._homes.values())
            self._homes[owner] = min(range(len(self._processes)), key=lambda at: taken[at])
        return self._homes[owner]

    def _has_moved(self, owner: str) -> bool:
        """Give a namespace that waits for another one's work another home, where one is idle."""
        if self._processes[self._home(owner)].lock.holder == owner:
            return False  # a second process for it would be the one that others need
        for at, seat in enumerate(self._processes):
            if seat.lock.holder is None:
                self._homes[owner] = at
                return True
        return False

    async def _work(
        self, seat: PooledProcess, task: Task, payload: bytes, bounds: WorkBounds
    ) -> bytes:
        try:
            return await seat.process.work(task, payload, bounds)
        finally:
            seat.lock.release()
            self._schedule_end(seat)

    def _schedule_end(self, seat: PooledProcess) -> None:
        """End the process after a while, unless somebody wants it before."""
        if seat.idle is not None:
            seat.idle.cancel()
        loop = asyncio.get_running_loop()
        seat.idle = loop.call_later(self._idle_seconds, self._end, seat)

    def _end(self, seat: PooledProcess) -> None:
        if seat.lock.holder is None:
            seat.process.kill()

    def _forget(self, task: asyncio.Task[bytes]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # whoever was cancelled does not ask for it
