"""Attempts on this machine: a pool of processes, what is running in them, and how they ended."""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from scaling_operator.core.observed import AttemptPhase, AttemptView
from scaling_operator.core.reports import AttemptKey
from scaling_operator.local.orphan_guard import OrphanGuard
from scaling_operator.local.workers import ProcessEnd, ProcessRunner
from scaling_trainer.contract import EXIT_NO_SPACE, Assignment, environment_of
from scaling_trainer.reading import MissingFile, UnreadableFile, read_bytes
from scaling_trainer.results import MAX_RESULT_BYTES, ResultError, parse_result
from scaling_trainer.writing import fresh_file, write_file

Kind = TypeVar("Kind", bound=ProcessRunner)


@dataclass(slots=True)
class RunningAttempt:
    """An attempt that was launched: its task, and what the core sees of it."""

    task: asyncio.Task[None]
    view: AttemptView


@dataclass(slots=True)
class AttemptProcesses:
    """Runs attempts in a pool of processes. `wake` is called when one starts or ends."""

    make_runner: Callable[[], ProcessRunner]
    slots: asyncio.Semaphore
    clock: Callable[[], float]
    wake: Callable[[], None]
    guard: OrphanGuard
    running: dict[AttemptKey, RunningAttempt] = field(
        default_factory=dict[AttemptKey, RunningAttempt]
    )
    _idle: list[ProcessRunner] = field(default_factory=list[ProcessRunner])
    _tokens: dict[str, AttemptKey] = field(default_factory=dict[str, AttemptKey])

    def launch(self, assignment: Assignment, folder: Path) -> None:
        """Start an attempt in the background."""
        key = AttemptKey(assignment.scale, assignment.trial, assignment.attempt)
        token = secrets.token_urlsafe(24)
        self._tokens[token] = key
        if assignment.report_token_file is not None:
            write_file(assignment.report_token_file, token, below=folder)
        view = AttemptView(AttemptPhase.WAITING, since_seconds=self.clock())
        task = asyncio.create_task(self._run(key, assignment, folder))
        self.running[key] = RunningAttempt(task, view)

    def owner_of(self, token: str) -> AttemptKey | None:
        """Name the attempt that has this report token; None where it no longer runs."""
        key = self._tokens.get(token)
        return key if key in self.running else None

    def raise_failures(self) -> None:
        """Raise the first fault of our own code in an attempt's task; a failed trial is none."""
        for running in self.running.values():
            if running.task.done():
                running.task.result()

    async def discard(self, key: AttemptKey) -> None:
        """End an attempt's process, if it still runs, and forget the attempt."""
        running = self.running.pop(key, None)
        self._tokens = {token: owner for token, owner in self._tokens.items() if owner != key}
        if running is not None:
            await _cancel(running.task)

    async def warm_up(self, count: int) -> None:
        """Start processes ahead of their first attempts: imports take longer than a small trial."""
        runners = [self.make_runner() for _ in range(count)]
        await asyncio.gather(*(runner.start() for runner in runners))
        self._idle += runners

    def idle(self, kind: type[Kind]) -> Kind | None:
        """Find a process of this kind that waits for work."""
        return next((runner for runner in self._idle if isinstance(runner, kind)), None)

    async def close(self) -> None:
        """End every process."""
        for key in list(self.running):
            await self.discard(key)
        await asyncio.gather(*(runner.close() for runner in self._idle))
        self._idle.clear()

    async def _run(self, key: AttemptKey, assignment: Assignment, folder: Path) -> None:
        async with self.slots:
            self._show(key, AttemptView(AttemptPhase.RUNNING, since_seconds=self.clock()))
            runner = self._idle.pop() if self._idle else self.make_runner()
            log = folder / f"attempt-{key.attempt}.log"
            with fresh_file(log, below=folder):
                pass
            end = await runner.run(environment_of(assignment), log)
            self._idle.append(runner)
        raise_no_space(end)
        view = view_of(end, assignment.result_file, self.clock())
        if view.result is None and is_full(folder):
            raise OSError(errno.ENOSPC, f"no space left for trial {key.trial_id}", folder)
        self._show(key, view)

    def _show(self, key: AttemptKey, view: AttemptView) -> None:
        if key in self.running:
            self.running[key].view = view
        self.wake()


def view_of(end: ProcessEnd, result_file: Path, now_seconds: float) -> AttemptView:
    """Build what the core sees of an attempt whose process has ended."""
    result, problem = None, None
    try:
        # The trainer may have left anything there: a link, a pipe or a huge file is no result.
        text = read_bytes(result_file, MAX_RESULT_BYTES, below=result_file.parent)
        result = parse_result(text) if text.strip() else None
    except MissingFile:
        pass
    except (ResultError, UnreadableFile) as error:
        problem = str(error)
    return AttemptView(
        AttemptPhase.EXITED,
        message=end.message,
        exit_code=end.exit_code,
        result=result,
        result_problem=problem,
        since_seconds=now_seconds,
    )


def raise_no_space(end: ProcessEnd) -> None:
    """Raise OSError where a trainer ended because the disk is full: the trial is not at fault.

    The attempt stays open, as it does where the run is killed: the next run goes on from there.
    """
    if end.exit_code == EXIT_NO_SPACE:
        raise OSError(errno.ENOSPC, end.message or os.strerror(errno.ENOSPC))


def is_full(folder: Path) -> bool:
    """Whether too little space is left for a trainer's result."""
    filesystem = os.statvfs(folder)
    return filesystem.f_bavail * filesystem.f_frsize < MAX_RESULT_BYTES


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    # gather returns the cancellation as a value instead of raising it here.
    await asyncio.gather(task, return_exceptions=True)
