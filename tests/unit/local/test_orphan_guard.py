"""What a killed run has started just before is ended too, also what its guard never heard of."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/environ").exists(), reason="there is no /proc to find processes by"
)
# Each says the number of a process that ignores all but SIGKILL, and is killed without having told
# its guard.
PRELUDE = """
import os, signal, subprocess, sys, threading, time
from scaling_operator.local.orphan_guard import OrphanGuard

guard = OrphanGuard()
guard.start()
words = ["sh", "-c", "trap '' HUP INT TERM; sleep 300"]
marked = {**os.environ, **guard.mark}
"""
BEGUN = """
process = subprocess.Popen(words, env=marked, start_new_session=True)
print(process.pid, flush=True)
"""
STARTED = BEGUN + "os.kill(os.getpid(), signal.SIGKILL)"
# The child waits between its fork and its program until the run has been killed for a while.
FORKED = """
def wait():
    os.write(1, b"%d\\n" % os.getpid())
    time.sleep(2.5)

def start():
    subprocess.Popen(words, env=marked, start_new_session=True, preexec_fn=wait)

threading.Thread(target=start, daemon=True).start()
time.sleep(0.5)
os.kill(os.getpid(), signal.SIGKILL)
"""
# A daemon leaves its group and its session; its parent has ended.
DAEMON = """
words = ["sh", "-c", "setsid sh -c 'echo $$; exec sleep 300' & wait"]
process = subprocess.Popen(words, env=marked, start_new_session=True)
time.sleep(0.5)
os.kill(os.getpid(), signal.SIGKILL)
"""


def state(pid: int) -> str:
    """Give the state of a process as /proc has it; empty where there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


@pytest.mark.slow
@pytest.mark.parametrize(
    "story",
    [
        pytest.param(STARTED, id="a process that was just started"),
        pytest.param(FORKED, id="one that was forked and has not begun its program"),
        pytest.param(DAEMON, id="one that has left its group"),
    ],
)
@pytest.mark.timeout(120)
def test_what_the_guard_was_not_told_of_ends_too(story: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PRELUDE + story], stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        started = int(run.stdout.readline())
        assert run.wait(timeout=60) == -9

    while state(started) not in ("", "Z"):
        time.sleep(0.05)


@pytest.mark.timeout(120)
def test_the_guard_of_a_run_within_a_run_outlives_it() -> None:
    """It has no mark of the outer run: it ends the inner one's processes when that is killed."""
    inner = PRELUDE + BEGUN + "time.sleep(300)"
    outer = f"""
words = [sys.executable, "-c", {inner!r}]
run = subprocess.Popen(words, env=marked, stdout=subprocess.PIPE, start_new_session=True)
print(run.stdout.readline().decode(), end="", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    words = [sys.executable, "-c", PRELUDE + outer]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        started = int(run.stdout.readline())
        assert run.wait(timeout=60) == -9

    while state(started) not in ("", "Z"):
        time.sleep(0.05)


def test_a_run_that_ends_in_order_waits_for_nothing() -> None:
    """What it has started ends by its own hand: the guard need not look for it."""
    story = PRELUDE + BEGUN + "guard.close()"
    with subprocess.Popen([sys.executable, "-c", story], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        started = int(run.stdout.readline())
        assert run.wait(timeout=60) == 0

    assert state(started) not in ("", "Z"), "it was not told of, and the run was not killed"
    os.kill(started, signal.SIGKILL)
