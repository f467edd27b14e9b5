"""The operator as a process of its own, which can be killed, paused and started again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

READY_SECONDS = 30.0
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used so far."""

    cpu_seconds: float
    peak_bytes: int


@dataclass(slots=True)
class OperatorProcess:
    """One operator. `options` are of the command `scaling-operator`; ports are chosen here."""

    kubeconfig: Path
    log: Path
    options: Sequence[str] = ()
    name: str = "operator-0"
    health_port: int = field(default_factory=free_port)
    metrics_port: int = field(default_factory=free_port)
    report_port: int = field(default_factory=free_port)
    starts: int = 0
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> OperatorProcess:
        """Start it; it may be started again once it has ended."""
        assert not self.is_alive, f"{self.name} runs already"
        command = [
            *(str(Path(sys.executable).with_name("scaling-operator")), "--name", self.name),
            *("--kubeconfig", str(self.kubeconfig), "--health-port", str(self.health_port)),
            *("--metrics-port", str(self.metrics_port), "--report-port", str(self.report_port)),
            *("--address", "127.0.0.1"),
            *self.options,
        ]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self.starts += 1
        return self

    def wait_ready(self, seconds: float = READY_SECONDS) -> OperatorProcess:
        """Wait until /readyz says yes. Fails with the end of the log."""
        deadline = time.monotonic() + seconds
        while self.probe("readyz") != 200:
            assert self.is_alive, f"{self.name} ended:\n{self.log_end()}"
            assert time.monotonic() < deadline, f"{self.name} is not ready:\n{self.log_end()}"
            time.sleep(0.05)
        return self

    def probe(self, name: str, seconds: float = 2.0) -> int:
        """Ask `healthz` or `readyz` and return HTTP's code; 0 where nobody answers."""
        try:
            url = f"http://127.0.0.1:{self.health_port}/{name}"
            with urllib.request.urlopen(url, timeout=seconds) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except (urllib.error.URLError, OSError):
            return 0

    def metrics(self) -> str:
        """Read what Prometheus would."""
        url = f"http://127.0.0.1:{self.metrics_port}/metrics"
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.read().decode()

    @property
    def is_alive(self) -> bool:
        """Whether the process runs, or is paused."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """End it with SIGKILL: no goodbye of any kind. One that has ended stays so."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)

    def stop(self, seconds: float = 20.0) -> int:
        """End it with SIGTERM, as a kubelet does, and return its exit code; -9 if it was late."""
        assert self._process is not None
        self._process.terminate()
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return self._process.wait(0)

    def pause(self) -> None:
        """Freeze it, as a node without CPU time does."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, sign: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(sign)

    def usage(self) -> Usage:
        """CPU time and most memory so far, of the process and of those that work for it now."""
        assert self._process is not None
        used = [_used(process) for process in (self._process.pid, *self._children())]
        return Usage(
            sum(process_usage.cpu_seconds for process_usage in used),
            sum(process_usage.peak_bytes for process_usage in used),
        )

    def memory_bytes(self) -> int:
        """Memory that it holds now with all that work for it: what they share is counted once."""
        assert self._process is not None
        return sum(_held_bytes(process) for process in (self._process.pid, *self._children()))

    def _children(self) -> list[int]:
        assert self._process is not None
        folder = Path(f"/proc/{self._process.pid}/task/{self._process.pid}")
        return [int(process) for process in (folder / "children").read_text().split()]

    def log_end(self, characters: int = 4000) -> str:
        """The last lines that it wrote."""
        return self.log.read_text(errors="replace")[-characters:]


def _held_bytes(process: int) -> int:
    """Read the proportional set size of a process; one that has just ended holds nothing."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    held = next((line for line in lines if line.startswith("Pss:")), "Pss: 0 kB")
    return int(held.split()[1]) * 1024


def _used(process: int) -> Usage:
    """Read what one process has used; one that has just ended has used nothing."""
    folder = Path(f"/proc/{process}")
    try:
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        status = (folder / "status").read_text().splitlines()
    except OSError:
        return Usage(0.0, 0)
    peak = next((line for line in status if line.startswith("VmHWM:")), "VmHWM: 0 kB")
    cpu_seconds = (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND
    return Usage(cpu_seconds, int(peak.split()[1]) * 1024)
