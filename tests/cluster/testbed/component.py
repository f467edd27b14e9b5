"""End and start single programs of a control plane that the tests started."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from testbed.binaries import cache_folder, locked
from testbed.cluster import Cluster, Refused

END_SECONDS = 30.0


@dataclass(slots=True)
class Component:
    """One program, such as `kube-apiserver`; it goes on with the same arguments after `start`."""

    name: str
    pid: int
    command: list[str]
    environment: dict[str, str]
    log: Path

    @classmethod
    def of(cls, cluster: Cluster, name: str) -> Component:
        """Find a running program of the cluster."""
        plane = cluster.control_plane
        pid = int((plane / "pids" / f"{name}.pid").read_text())
        process = Path(f"/proc/{pid}")
        command = (process / "cmdline").read_text().rstrip("\0").split("\0")
        pairs = (process / "environ").read_text().rstrip("\0").split("\0")
        environment = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
        return cls(name, pid, command, environment, plane / "logs" / f"{name}.log")

    def end(self, sign: signal.Signals = signal.SIGKILL) -> None:
        """End it, and wait until it is gone."""
        os.kill(self.pid, sign)
        deadline = time.monotonic() + END_SECONDS
        while _is_alive(self.pid):
            assert time.monotonic() < deadline, f"{self.name} does not end"
            time.sleep(0.05)

    def start(self, cluster: Cluster) -> None:
        """Start it again; the reaper of the control plane knows it by its arguments."""
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                self.command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        # The reaper of the control plane ends it; nobody here waits for it.
        process.returncode = 0
        self.pid = process.pid
        (cluster.control_plane / "pids" / f"{self.name}.pid").write_text(str(process.pid))


@contextmanager
def down(cluster: Cluster, name: str) -> Generator[None]:
    """Have a program of the control plane killed for the length of the block.

    No other control plane starts meanwhile: it would take the free port for its own.
    """
    with locked(cache_folder() / "start.lock"):
        component = Component.of(cluster, name)
        component.end()
        yield
        component.start(cluster)
        wait_for_api(cluster)


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def wait_for_api(cluster: Cluster, seconds: float = 60.0) -> None:
    """Wait until the API server says that it is ready."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            cluster.kubectl("get", "--raw", "/readyz", seconds=5)
        except (Refused, subprocess.TimeoutExpired):
            assert time.monotonic() < deadline, "the API server does not become ready"
            time.sleep(0.2)
        else:
            return
