"""A machine within the machine, as the tests see it: programs are run and started in it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from testnode import namespaces

START_SECONDS = 20.0


class MachineFailed(Exception):
    """A program in the machine failed; the message is what it said."""


@dataclass(slots=True)
class Machine:
    """Namespaces whose first process has the id `init`; `folder` holds their files."""

    folder: Path
    init: int
    started: dict[str, subprocess.Popen[bytes]] = field(
        default_factory=dict[str, "subprocess.Popen[bytes]"]
    )

    def connect(self, outer: str, inner: str) -> None:
        """Lay a cable to the host, with an address at each end; it vanishes with the machine."""
        name = f"scaling{self.init}"
        ends = ("type", "veth", "peer", "name", "host0", "netns", str(self.init))
        _do("ip", "link", "add", name, *ends)
        _do("ip", "address", "add", f"{outer}/30", "dev", name)
        _do("ip", "link", "set", name, "up")
        self.run("ip", "address", "add", f"{inner}/30", "dev", "host0")
        self.run("ip", "link", "set", "host0", "up")

    def run(self, *command: str, stdin: int | None = None, seconds: float = 60) -> str:
        """Run a program in the machine, return what it printed. Raises MachineFailed."""
        done = subprocess.run(
            [*self._enter, *command],
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        if done.returncode != 0:
            message = f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-2000:]}"
            raise MachineFailed(message)
        return done.stdout

    def start(self, name: str, *command: str) -> None:
        """Start a program in the machine; its output goes to a file of its own."""
        with self.log(name).open("ab") as log:
            self.started[name] = subprocess.Popen(
                [*self._enter, *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the tests
            )

    def stop(self, name: str, seconds: float = 10) -> None:
        """End a started program with SIGTERM."""
        process = self.started.pop(name)
        for within in _children(process.pid) if process.poll() is None else ():
            os.kill(within, signal.SIGTERM)
        process.wait(seconds)

    def check(self) -> None:
        """Raise MachineFailed where a started program has ended, with the end of its output."""
        for name, process in self.started.items():
            if process.poll() is not None:
                message = f"{name} ended with {process.returncode}:\n{self.log_end(name)}"
                raise MachineFailed(message)

    def wait(self, *command: str, seconds: float) -> str:
        """Run a program until it succeeds, return what it printed. Raises MachineFailed."""
        deadline = time.monotonic() + seconds
        while True:
            self.check()
            try:
                return self.run(*command)
            except MachineFailed:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.1)

    def log(self, name: str) -> Path:
        """File with the output of a program."""
        return self.folder / f"{name}.log"

    def log_end(self, name: str, characters: int = 2000) -> str:
        """The last that a program wrote."""
        return self.log(name).read_text(errors="replace")[-characters:]

    @property
    def _enter(self) -> tuple[str, ...]:
        return ("nsenter", "--target", str(self.init), "--net", "--mount", "--pid", "--")


@contextmanager
def running(folder: Path) -> Generator[Machine]:
    """Make namespaces whose files lie in `folder`, a new one, which is removed at the end."""
    folder.mkdir(parents=True)
    keeper = subprocess.Popen(
        [sys.executable, namespaces.__file__, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    machine = None
    try:
        machine = Machine(folder, _first_process(keeper))
        yield machine
    finally:
        keeper.communicate(timeout=namespaces.TIDY_SECONDS * 3)
        for process in machine.started.values() if machine else ():
            process.wait(10)


def _first_process(keeper: subprocess.Popen[bytes]) -> int:
    """Wait until the machine is ready, and find its first process: keeper > unshare > it."""
    assert keeper.stdout is not None
    if not keeper.stdout.readline().strip():
        message = "no namespaces: the reason is on standard error"
        raise MachineFailed(message)
    (unshare,) = _children(keeper.pid)
    (first,) = _children(unshare)
    return first


def _children(process: int) -> list[int]:
    return [
        int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()
    ]


def _do(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        message = f"{' '.join(command)}: {done.stderr}"
        raise MachineFailed(message)
