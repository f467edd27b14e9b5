"""Ends a run's processes where the run itself is killed and can end nothing: a process beside it.

It is told which process groups there are, over a pipe; when the run is gone it kills those that are
left. It runs as a script, by path, so that it starts at once and needs the standard library alone.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
from dataclasses import dataclass, field

LOOK_SECONDS = 1.0
"""The pipe tells of the end at once, but for one that another child of the run holds open."""


@dataclass(slots=True)
class Guard:
    """Knows the process groups of a run, and kills them when this process is gone."""

    groups: set[int] = field(default_factory=set[int])
    _process: subprocess.Popen[bytes] | None = None

    def watch(self, group: int) -> None:
        """Kill this process group where this process ends without it. Raises OSError."""
        self.groups.add(group)
        self._tell(f"+{group}\n")

    def forget(self, group: int) -> None:
        """Leave alone a process group that has ended: its number may be given to others."""
        self.groups.discard(group)
        self._tell(f"-{group}\n")

    def start(self) -> None:
        """Start the guarding process, ahead of the first group. Raises OSError."""
        self._process = subprocess.Popen(  # noqa: S603 - this file
            [sys.executable, "-I", "-S", __file__, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            bufsize=0,
        )

    def close(self) -> None:
        """End the guarding process, which ends the groups that are left."""
        process, self._process = self._process, None
        if process is not None and process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # it has been killed
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
    """Hear which groups there are until the run is gone; kill those that are left."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    run, groups, heard = int(sys.argv[1]), set[int](), b""
    while os.getppid() == run:
        if not select.select([0], [], [], LOOK_SECONDS)[0]:
            continue
        more = os.read(0, 65536)
        if not more:
            break
        *lines, heard = (heard + more).split(b"\n")
        for line in lines:
            (groups.add if line[:1] == b"+" else groups.discard)(int(line[1:]))
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # it has ended, and others
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
