"""A process beside a run that ends the run's processes where the run itself is killed.

The run names its process groups to the guard over a pipe; when the run is gone, the guard kills the
groups that are left. The run may not have named a process that it started a moment before: such a
process has a mark in its environment, and the guard finds it by the mark where there is a /proc.
The guard runs as a script, by path, so that it starts at once and needs the standard library alone.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

LOOK_SECONDS = 1.0
"""How often the guard looks whether the run is gone.

The pipe says so at once, unless another child of the run still holds it open.
"""
BEGINNING_SECONDS = 10.0
"""How long the guard waits, once the run is gone, for a forked child to begin its program."""
MARK = "SCALING_GUARDED_BY"
_LOOKS_SECONDS = (0.0, 0.05, 0.2, 1.0)
_END = b"."


@dataclass(slots=True)
class OrphanGuard:
    """Knows the process groups of a run, and kills them when this process is gone."""

    groups: set[int] = field(default_factory=set[int])
    _name: str = field(default_factory=lambda: f"{os.getpid()}-{secrets.token_hex(8)}")
    _process: subprocess.Popen[bytes] | None = None

    @property
    def mark(self) -> Mapping[str, str]:
        """The variable that each guarded process has in its environment from its start on."""
        return {MARK: self._name}

    def watch(self, group: int) -> None:
        """Have this process group killed where this process ends before it. Raises OSError."""
        self.groups.add(group)
        self._tell(f"+{group}\n")

    def forget(self, group: int) -> None:
        """Leave a process group alone that has ended: the system may use its number again."""
        self.groups.discard(group)
        self._tell(f"-{group}\n")

    def start(self) -> None:
        """Start the guarding process, ahead of the first group. Raises OSError."""
        # The guard of a run that another run started must not have that run's mark: it would be
        # killed by it, and has to outlive its own run.
        unmarked = {name: value for name, value in os.environ.items() if name != MARK}
        self._process = subprocess.Popen(  # noqa: S603 - this file
            [sys.executable, "-I", "-S", __file__, str(os.getpid()), self._name],
            env=unmarked,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            bufsize=0,
        )

    def close(self) -> None:
        """End the guarding process, which kills the groups that are left first."""
        process, self._process = self._process, None
        if process is not None and process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # it has been killed
                process.stdin.write(_END + b"\n")
                process.stdin.close()
            process.wait()

    def _tell(self, line: str) -> None:
        process = self._process
        if process is not None and process.stdin is not None:
            try:
                process.stdin.write(line.encode())
            except BrokenPipeError:  # somebody killed it
                process.wait()
            else:
                return
        self.start()
        for group in self.groups:
            self._tell(f"+{group}\n")


def main() -> None:
    """Read from the pipe which groups exist until the run is gone; kill those that are left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    run, name = int(sys.argv[1]), sys.argv[2]
    groups, is_killed = _groups_left_by(run)
    for group in groups:
        # The group has ended, and its number is free, or is another user's now.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
    for pause in _LOOKS_SECONDS if is_killed else ():
        time.sleep(pause)
        _kill_marked(name)


def _groups_left_by(run: int) -> tuple[set[int], bool]:
    """Wait until the run is gone; return the groups that are left, and whether it was killed.

    The pipe ends when nobody holds it: neither the run, nor a child that the run has forked just
    now. Such a child has not begun its program, and so has no mark yet.
    """
    groups, unfinished = set[int](), b""
    waits_until = float("inf")
    while time.monotonic() < waits_until:
        if os.getppid() != run and waits_until == float("inf"):
            waits_until = time.monotonic() + BEGINNING_SECONDS
        if not select.select([0], [], [], LOOK_SECONDS)[0]:
            continue
        more = os.read(0, 65536)
        if not more:
            break
        *lines, unfinished = (unfinished + more).split(b"\n")
        if _END in lines:
            return groups, False
        for line in lines:
            (groups.add if line[:1] == b"+" else groups.discard)(int(line[1:]))
    return groups, True


def _kill_marked(name: str) -> None:
    wanted = f"{MARK}={name}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        # The process has ended meanwhile, or is another user's.
        with contextlib.suppress(OSError):
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                os.kill(int(folder.name), signal.SIGKILL)


if __name__ == "__main__":
    main()
