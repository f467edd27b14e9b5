"""However a run ends, its trainers end with it, and the same command goes on."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

SCALING = [sys.executable, "-c", "from scaling_operator.cli.main import main; main()"]
# It notes its number and that of a child of its own; it hears no signal but the last one.
STUBBORN = """
trap '' HUP INT TERM
sleep 300 &
echo $$$$ >> pids; echo $! >> pids
if [ -e finish ]; then kill -9 $!; echo '{"value": 1}' > "$SCALING_RESULT_FILE"; exit 0; fi
wait
sleep 300
"""


@pytest.fixture(autouse=True)
def _hang_ups_are_heard() -> Generator[None]:
    """Tests that themselves run under nohup would hand its deafness on to what they start."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def experiment(trainer: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "scaling-operator.dev/v1alpha1",
        "kind": "ScalingExperiment",
        "metadata": {"name": "test"},
        "spec": {
            "objective": {"metric": "loss", "direction": "minimize"},
            "search": {
                "parameters": {"x": {"type": "float", "low": -1, "high": 1}},
                "algorithm": {"name": "random", "seed": 7},
            },
            "trials": {"max": 2, "parallel": 2},
            "trainer": trainer,
        },
    }


def command(folder: Path, trainer: dict[str, Any]) -> list[str]:
    path = folder / "experiment.json"
    path.write_text(json.dumps(experiment(trainer)))
    return [*SCALING, "run", str(path), "--out", str(folder / "out")]


def wait(until: Callable[[], object], seconds: float, message: str) -> None:
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline, message
        time.sleep(0.05)


def lives(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def pids(folder: Path) -> list[int]:
    path = folder / "pids"
    return [int(word) for word in path.read_text().split()] if path.exists() else []


@contextlib.contextmanager
def in_a_terminal(words: list[str], folder: Path) -> Generator[tuple[subprocess.Popen[bytes], int]]:
    """Start a command as the first process of a terminal of its own."""
    our_end, child_end = pty.openpty()
    code = (
        "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words],
        cwd=folder,
        stdin=child_end,
        stdout=child_end,
        stderr=child_end,
    )
    os.close(child_end)
    try:
        yield process, our_end
    finally:
        process.kill()
        process.wait()


def drain(terminal: int) -> None:
    """Read what was printed, so that nobody waits to print more."""
    os.set_blocking(terminal, False)
    with contextlib.suppress(BlockingIOError):
        while os.read(terminal, 65536):
            pass


def close_the_terminal(folder: Path, words: list[str], begun: Callable[[], object]) -> int:
    with in_a_terminal(words, folder) as (process, terminal):

        def ready() -> object:
            drain(terminal)
            return begun()

        wait(ready, 120, "no trial began")
        os.close(terminal)
        return process.wait(timeout=60)


def signalled(how: signal.Signals) -> Callable[[Path, list[str], Callable[[], object]], int]:
    def end(folder: Path, words: list[str], begun: Callable[[], object]) -> int:
        with subprocess.Popen(
            words, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as process:
            wait(begun, 120, "no trial began")
            process.send_signal(how)
            _, said = process.communicate(timeout=60)
        assert "Traceback" not in said
        return process.returncode

    return end


ENDS = [
    pytest.param(close_the_terminal, 130, id="the terminal is closed"),
    pytest.param(signalled(signal.SIGHUP), 130, id="a hang-up alone"),
    pytest.param(signalled(signal.SIGTERM), 130, id="a termination"),
    pytest.param(signalled(signal.SIGINT), 130, id="Ctrl-C"),
    pytest.param(signalled(signal.SIGKILL), -9, id="killed at once"),
]


@pytest.mark.parametrize(("end", "code"), ENDS)
def test_all_processes_of_a_command_end_and_the_same_command_goes_on(
    tmp_path: Path, end: Callable[[Path, list[str], Callable[[], object]], int], code: int
) -> None:
    words = command(tmp_path, {"container": {"command": ["sh", "-c", STUBBORN]}})
    assert end(tmp_path, words, lambda: len(pids(tmp_path)) == 4) == code
    wait(lambda: not any(map(lives, pids(tmp_path))), 30, "a process was left behind")
    (tmp_path / "finish").touch()
    ended = subprocess.run(
        words, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )
    assert ended.returncode == 0, ended.stderr
    assert "2 succeeded" in ended.stdout


@pytest.mark.parametrize("end", [close_the_terminal, signalled(signal.SIGKILL)])
def test_the_built_in_trainer_ends_in_the_middle_of_a_trial(
    tmp_path: Path, end: Callable[[Path, list[str], Callable[[], object]], int]
) -> None:
    built_in = {
        "task": "classification",
        "dataset": {"name": "digits"},
        "model": {"name": "mlp", "width": 32},
        "epochs": 10_000,
    }
    document = experiment({"builtIn": built_in})
    document["spec"]["objective"] = {"metric": "val_loss", "direction": "minimize"}
    name = "optimizer.learning_rate"
    document["spec"]["search"]["parameters"] = {name: {"type": "float", "low": 0.01, "high": 0.1}}
    path = tmp_path / "experiment.json"
    path.write_text(json.dumps(document))
    words = [*SCALING, "run", str(path), "--out", str(tmp_path / "out")]
    workers: list[int] = []

    def begun() -> bool:
        workers[:] = workers_of(tmp_path)
        return len(workers) == 2

    end(tmp_path, words, begun)
    assert workers
    wait(lambda: not any(map(lives, workers)), 30, "a worker was left behind")


def workers_of(folder: Path) -> list[int]:
    """Processes whose log lies below a folder."""
    processes: list[int] = []
    for place in Path("/proc").glob("[0-9]*/fd/1"):
        with contextlib.suppress(OSError):
            if str(place.readlink()).startswith(str(folder)):
                processes.append(int(place.parts[2]))
    return processes


def test_a_run_under_nohup_outlives_its_terminal(tmp_path: Path) -> None:
    words = command(tmp_path, {"container": {"command": ["sh", "-c", STUBBORN]}})
    (tmp_path / "finish").touch()
    ignored = "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); "
    code = ignored + "os.execv(sys.argv[1], sys.argv[1:])"
    with subprocess.Popen(
        [sys.executable, "-c", code, *words], cwd=tmp_path, stdout=subprocess.DEVNULL
    ) as process:
        wait(lambda: pids(tmp_path), 120, "no trial began")
        process.send_signal(signal.SIGHUP)
        assert process.wait(timeout=120) == 0
