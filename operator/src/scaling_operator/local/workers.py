"""Local processes that run attempts: warm workers, or one process for each command.

A warm worker is a Python process that has imported PyTorch once. It takes one trial after the other
from its standard input; what a trial prints goes to the attempt's log.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from scaling_operator.api.container import Container
from scaling_operator.local.orphan_guard import OrphanGuard
from scaling_trainer.contract import expand
from scaling_trainer.writing import EXHAUSTED, fresh_file

STOP_GRACE_SECONDS = 5.0
LINE_LIMIT_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class ProcessEnd:
    """How a process ended an attempt."""

    exit_code: int
    message: str = ""
    notes: tuple[str, ...] = ()
    """After a check of the data: what the user should know of how they were read."""


class ProcessRunner(Protocol):
    """Runs one attempt at a time."""

    async def run(self, environment: Mapping[str, str], log: Path) -> ProcessEnd:
        """Run an attempt to its end. Cancellation kills the process and its children."""
        ...

    async def start(self) -> None:
        """Get ready ahead of the first attempt."""
        ...

    async def close(self) -> None:
        """End the process."""
        ...


@dataclass(slots=True)
class WarmWorker:
    """One process of the built-in trainer, started before its first trial and after each death."""

    guard: OrphanGuard
    _process: asyncio.subprocess.Process | None = field(default=None)
    _ready: bool = False

    async def start(self) -> None:
        """Start the process, without waiting for its imports."""
        self._ready = False
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "scaling_trainer",
            "worker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=LINE_LIMIT_BYTES,
            env={**os.environ, **self.guard.mark},
            start_new_session=True,
        )
        self.guard.watch(self._process.pid)

    async def run(self, environment: Mapping[str, str], log: Path) -> ProcessEnd:
        """Hand the trial to the process and wait for its answer."""
        return await self._do({"environment": dict(environment), "log": str(log)})

    async def export(self, source: Path, target: Path, data_folder: Path, log: Path) -> ProcessEnd:
        """Let the process evaluate saved weights."""
        folders = {"checkpoint": str(source), "out": str(target), "dataDir": str(data_folder)}
        return await self._do({"export": folders, "log": str(log)})

    async def check(
        self, config: Mapping[str, object], data_folder: Path, varied: Sequence[str], log: Path
    ) -> ProcessEnd:
        """Let the process read the data of a configuration once.

        `varied` names the parameters that differ between trials.
        """
        request = {"config": config, "dataDir": str(data_folder), "varied": list(varied)}
        return await self._do({"check": request, "log": str(log)})

    async def _do(self, task: Mapping[str, object]) -> ProcessEnd:
        if self._process is None or self._process.returncode is not None:
            await self.start()
        process = self._process
        if process is None or process.stdin is None:
            message = "the worker has no standard input"
            raise RuntimeError(message)
        try:
            if not self._ready and await self._answer(process) is None:
                return await self._died(process)
            self._ready = True
            process.stdin.write(json.dumps(task).encode() + b"\n")
            await process.stdin.drain()
            answer = await self._answer(process)
        except asyncio.CancelledError:
            self._process = None
            await _end(process, self.guard)
            raise
        except (BrokenPipeError, ConnectionResetError):
            return await self._died(process)
        if answer is None:
            return await self._died(process)
        return ProcessEnd(
            answer["exitCode"], answer.get("error") or "", tuple(answer.get("notes") or ())
        )

    async def close(self) -> None:
        """Kill the process, which waits for a task: it would take a second to end by itself."""
        process, self._process = self._process, None
        if process is not None:
            _end_group(process.pid, self.guard)
            await process.wait()

    async def _answer(self, process: asyncio.subprocess.Process) -> dict[str, Any] | None:
        if process.stdout is None:
            return None
        line = await process.stdout.readline()
        return json.loads(line) if line.endswith(b"\n") else None

    async def _died(self, process: asyncio.subprocess.Process) -> ProcessEnd:
        errors = await process.stderr.read() if process.stderr is not None else b""
        code = await process.wait()
        self._process = None
        _end_group(process.pid, self.guard)
        last = errors.decode(errors="replace").strip().rsplit("\n", 1)[-1]
        return ProcessEnd(_shell_code(code), last or _described(code))


@dataclass(slots=True)
class CommandRunner:
    """Runs a container's command as a process, without its image and volumes."""

    container: Container
    folder: Path
    guard: OrphanGuard
    _process: asyncio.subprocess.Process | None = field(default=None)

    async def start(self) -> None:
        """Do nothing: a command has nothing to warm up."""

    async def run(self, environment: Mapping[str, str], log: Path) -> ProcessEnd:
        """Start the command with the attempt's variables; `$(NAME)` expands as in a pod."""
        # A variable with valueFrom has no value here: it keeps the one of this process, if any.
        values = {
            variable.name: variable.value
            for variable in self.container.env
            if variable.value_from is None
        }
        variables = dict(environment)
        for name, value in values.items():
            variables[name] = expand(value, variables)
        words = [
            expand(word, variables) for word in (*self.container.command, *self.container.args)
        ]
        with fresh_file(log, below=log.parent) as output:
            try:
                process = await asyncio.create_subprocess_exec(
                    *words,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=asyncio.subprocess.STDOUT,
                    cwd=self.container.working_dir or self.folder,
                    env={**os.environ, **variables, **self.guard.mark},
                    start_new_session=True,
                )
            except OSError as error:
                if error.errno in EXHAUSTED:
                    raise
                return ProcessEnd(127, f"{words[0]} cannot be started: {error.strerror}")
        self.guard.watch(process.pid)
        self._process = process
        try:
            code = await process.wait()
        except asyncio.CancelledError:
            await self.close()
            raise
        self._process = None
        _end_group(process.pid, self.guard)
        return ProcessEnd(_shell_code(code), "" if code == 0 else _described(code))

    async def close(self) -> None:
        """End the process and its children."""
        process, self._process = self._process, None
        if process is not None:
            await _end(process, self.guard)


async def _end(process: asyncio.subprocess.Process, guard: OrphanGuard) -> None:
    """Ask the whole process group to end; after STOP_GRACE_SECONDS kill it."""
    with contextlib.suppress(ProcessLookupError):  # the group has ended by itself
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(STOP_GRACE_SECONDS):
            await process.wait()
    _end_group(process.pid, guard)
    await process.wait()


def _end_group(leader: int, guard: OrphanGuard) -> None:
    """Kill what a process has left behind: its group lives on without its leader."""
    with contextlib.suppress(ProcessLookupError):  # no process of the group is left
        os.killpg(leader, signal.SIGKILL)
    guard.forget(leader)


def _shell_code(code: int) -> int:
    """Give the exit code as a shell does: 128 + signal for a process that was killed."""
    return 128 - code if code < 0 else code


def _described(code: int) -> str:
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"the command ended with exit code {code}"
