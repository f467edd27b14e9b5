"""Attempts on this machine: a pool of processes, what is running in them, and how they ended."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from scaling_operator.core.observed import AttemptPhase, AttemptView
from scaling_operator.core.reports import AttemptKey
from scaling_operator.local.workers import Ending, Runner
from scaling_trainer.contract import Assignment, environment_of
from scaling_trainer.results import ResultError, parse_result

Kind = TypeVar("Kind", bound=Runner)


@dataclass(slots=True)
class Running:
    """An attempt that was launched, and what is seen of it."""

    task: asyncio.Task[None]
    view: AttemptView


@dataclass(slots=True)
class Attempts:
    """Runs attempts in a pool of processes. `wake` is called when one starts or ends."""

    make_runner: Callable[[], Runner]
    slots: asyncio.Semaphore
    clock: Callable[[], float]
    wake: Callable[[], None]
    running: dict[AttemptKey, Running] = field(default_factory=dict[AttemptKey, Running])
    _idle: list[Runner] = field(default_factory=list[Runner])
    _tokens: dict[str, AttemptKey] = field(default_factory=dict[str, AttemptKey])

    def launch(self, assignment: Assignment, folder: Path) -> None:
        """Start an attempt in the background."""
        key = AttemptKey(assignment.scale, assignment.trial, assignment.attempt)
        token = secrets.token_urlsafe(24)
        self._tokens[token] = key
        if assignment.report_token_file is not None:
            assignment.report_token_file.write_text(token)
        view = AttemptView(AttemptPhase.WAITING, since_seconds=self.clock())
        task = asyncio.create_task(self._run(key, assignment, folder))
        self.running[key] = Running(task, view)

    def who(self, token: str) -> AttemptKey | None:
        """Whose report token this is; None where the attempt no longer runs."""
        key = self._tokens.get(token)
        return key if key in self.running else None

    def raise_failures(self) -> None:
        """Raise what went wrong in our own code while an attempt ran; a trial's failure is none."""
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
            self._see(key, AttemptView(AttemptPhase.RUNNING, since_seconds=self.clock()))
            runner = self._idle.pop() if self._idle else self.make_runner()
            log = folder / f"attempt-{key.attempt}.log"
            log.touch()
            ending = await runner.run(environment_of(assignment), log)
            self._idle.append(runner)
        self._see(key, view_of(ending, assignment.result_file, self.clock()))

    def _see(self, key: AttemptKey, view: AttemptView) -> None:
        if key in self.running:
            self.running[key].view = view
        self.wake()


def view_of(ending: Ending, result_file: Path, now_seconds: float) -> AttemptView:
    """Make what the core sees of an attempt whose process has ended."""
    text = result_file.read_bytes() if result_file.exists() else b""
    result, problem = None, None
    if text.strip():
        try:
            result = parse_result(text)
        except ResultError as error:
            problem = str(error)
    return AttemptView(
        AttemptPhase.EXITED,
        message=ending.message,
        exit_code=ending.exit_code,
        result=result,
        result_problem=problem,
        since_seconds=now_seconds,
    )


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    # gather hands the cancellation back as a value instead of raising it here.
    await asyncio.gather(task, return_exceptions=True)
