"""A worker process, as the operator sees it: started at its first work, ended after its last.

Each piece of work has bounds of time and memory.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from dataclasses import dataclass, field

from scaling_operator.processes.messages import (
    WORK_ANSWER,
    WORK_REQUEST,
    Task,
    WorkAnswer,
    WorkOutcome,
    WorkRequest,
    frame,
    read_frame,
)
from scaling_operator.search.study import AskFailed
from scaling_operator.search.study_worker import StudyClosed

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class WorkBounds:
    """Bounds of one piece of work; `memory_bytes` counts what it adds to its process."""

    cpu_seconds: int
    memory_bytes: int

    @property
    def wall_seconds(self) -> float:
        """After how long the process is ended, however little processor time it got."""
        return 10.0 * self.cpu_seconds + 30.0


CHECK = WorkBounds(cpu_seconds=10, memory_bytes=192 * MIB)
"""Checking one experiment: the largest that the API accepts needs less than half a second."""
STUDY = WorkBounds(cpu_seconds=30, memory_bytes=192 * MIB)
"""One ask, tell or report, or building a study anew: with 10,000 trials that takes seconds."""
GP_STUDY = WorkBounds(cpu_seconds=120, memory_bytes=1024 * MIB)
"""The same with a Gaussian process: it loads PyTorch, and its ask is cubic in the trials."""
FIT = WorkBounds(cpu_seconds=60, memory_bytes=192 * MIB)
"""One fit with its resamples: 240 points and 1,000 resamples need a quarter of a second."""


class WorkExceeded(RuntimeError):
    """A piece of work exceeded its bounds; it would do so again."""


class WorkFailed(RuntimeError):
    """A piece of work raised an error, or its process ended by itself."""


MODULE = "scaling_operator.processes.child"
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
STREAM_BYTES = 1024 * 1024


@dataclass(slots=True)
class WorkerProcess:
    """A process and its pipes. Callers give it one piece of work at a time."""

    _process: asyncio.subprocess.Process | None = None
    _ending: set[asyncio.Task[int]] = field(default_factory=set[asyncio.Task[int]])

    @property
    def is_running(self) -> bool:
        """Whether the process runs now."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> asyncio.subprocess.Process:
        """Start the process now, so that its first work waits less."""
        if self._process is not None and self._process.returncode is None:
            return self._process
        starting = asyncio.create_task(_started())
        try:
            self._process = process = await asyncio.shield(starting)
        except asyncio.CancelledError:
            self._process = await starting  # else nothing would end it
            self.kill()
            raise
        return process

    async def work(self, task: Task, payload: bytes, bounds: WorkBounds) -> bytes:
        """Do a piece of work.

        Raises WorkExceeded where it exceeds its bounds, WorkFailed where it raises an error, and
        the errors of a study: StudyClosed, AskFailed.
        """
        process = await self.start()
        request = WorkRequest(task, bounds.cpu_seconds, bounds.memory_bytes)
        message = frame(WORK_REQUEST.encode(request)) + frame(payload)
        try:
            async with asyncio.timeout(bounds.wall_seconds):
                outcome, answer = await _exchange(process, message)
        except TimeoutError as error:
            await self.end()
            message = f"it was not done after {bounds.wall_seconds:.0f} s"
            raise WorkExceeded(message) from error
        except asyncio.CancelledError:
            self.kill()  # its answer would be taken for the answer to the next work
            raise
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            code = await process.wait()
            raise _exit_error(code, bounds) from error
        if outcome.outcome is WorkOutcome.OUT_OF_MEMORY:
            await process.wait()
        return _result(outcome, answer, bounds)

    async def end(self) -> None:
        """End the process at once, and wait until it has ended."""
        self.kill()
        await asyncio.gather(*self._ending)

    def kill(self) -> None:
        """End the process at once; the next work starts another."""
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.kill()
            ending = asyncio.get_running_loop().create_task(process.wait())
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)


async def _started() -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", MODULE),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | ONE_THREAD,
        limit=STREAM_BYTES,
        start_new_session=True,  # so Ctrl-C reaches the operator alone
    )


async def _exchange(
    process: asyncio.subprocess.Process, message: bytes
) -> tuple[WorkAnswer, bytes]:
    to, back = process.stdin, process.stdout
    if to is None or back is None:
        problem = "a worker process has no pipes"
        raise WorkFailed(problem)
    to.write(message)
    await to.drain()
    return WORK_ANSWER.decode(await read_frame(back)), await read_frame(back)


def _result(outcome: WorkAnswer, answer: bytes, bounds: WorkBounds) -> bytes:
    match outcome.outcome:
        case WorkOutcome.DONE:
            return answer
        case WorkOutcome.OUT_OF_MEMORY:
            raise _needs_memory(bounds)
        case WorkOutcome.STUDY_CLOSED:
            raise StudyClosed(outcome.message)
        case WorkOutcome.ASK_FAILED:
            raise AskFailed(outcome.message)
        case WorkOutcome.BROKEN:
            raise WorkFailed(outcome.message)


def _exit_error(code: int, bounds: WorkBounds) -> Exception:
    """Give the error of a process that ended during its work, by its exit code."""
    if code == -signal.SIGXCPU:
        return WorkExceeded(f"it needs more than {bounds.cpu_seconds} s of processor time")
    if code == -signal.SIGKILL:
        return _needs_memory(bounds)  # the kernel kills for lack of memory
    return WorkFailed(f"its process ended by itself with code {code}")


def _needs_memory(bounds: WorkBounds) -> WorkExceeded:
    return WorkExceeded(f"it needs more than {bounds.memory_bytes // 2**20} MiB of memory")
