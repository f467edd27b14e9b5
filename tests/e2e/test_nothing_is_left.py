"""Whatever ends a test run, nothing of the machine that it made outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from testnode.debian import obstacle
from testnode.namespaces import CGROUPS, cgroup_of

SECONDS = 10.0
# A run: a machine with a cable and a mount, in which an orphan lives in a control group.
RUN = """
import signal, sys, time
from pathlib import Path
from testnode import machine, namespaces
# What a shell starts in the background does not hear it.
signal.signal(signal.SIGINT, signal.default_int_handler)
folder = Path(sys.argv[1])
with machine.running(folder) as made:
    made.connect("198.51.100.5", "198.51.100.6")
    made.run("mount", "-t", "tmpfs", "tmpfs", "/mnt")
    group = namespaces.cgroup_of(folder)
    made.run("sh", "-c", f'''
        for each in /sys/fs/cgroup/{group} /sys/fs/cgroup/*/{group}; do
            test -d $each && mkdir $each/pod && echo $$ > $each/pod/cgroup.procs || true
        done
        setsid sleep 1000 > /dev/null 2>&1 &
    ''')
    print(made.init, flush=True)
    time.sleep(1000)
"""


@pytest.fixture
def run(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    if reason := obstacle():
        pytest.skip(reason)
    folder = tmp_path / "machine"
    paths = os.pathsep.join(path for path in sys.path if path)
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, str(folder)],
        env=os.environ | {"PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        text=True,
    )
    yield process, folder
    process.kill()
    process.communicate()


@pytest.mark.parametrize(
    "sign",
    [
        pytest.param(signal.SIGKILL, id="killed without a goodbye"),
        pytest.param(signal.SIGINT, id="interrupted at the keyboard"),
    ],
)
def test_nothing_is_left_of_a_run_that_ends(
    sign: signal.Signals, run: tuple[subprocess.Popen[str], Path]
) -> None:
    process, folder = run
    assert process.stdout is not None
    first = int(process.stdout.readline())
    space = _space_of(first)
    group = cgroup_of(folder)
    assert len(_traces(space, first, group, folder)) >= 4, "the run is to have something to leave"
    process.send_signal(sign)
    deadline = time.monotonic() + SECONDS
    while left := _traces(space, first, group, folder):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def _traces(space: str, first: int, group: str, folder: Path) -> list[str]:
    """What is there of a run: processes, the cable, control groups, files."""
    processes: list[str] = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if _space_of(entry.name) == space:
                processes.append(f"process {entry.name}")
    cables = Path("/sys/class/net").glob(f"scaling{first}")
    groups = (*CGROUPS.glob(group), *CGROUPS.glob(f"*/{group}"))
    return [*processes, *(str(path) for path in (*cables, *groups, folder) if path.exists())]


def _space_of(process: int | str) -> str:
    return str(Path(f"/proc/{process}/ns/pid").readlink())
