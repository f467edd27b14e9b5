"""End a control plane when the process that wanted it is gone: `python reaper.py FOLDER`.

It waits until its standard input closes, which the system does for a process that dies, however it
dies. Then it ends the processes whose command line names the folder, and removes the folder.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from pathlib import Path

PATIENCE_SECONDS = 15.0


def processes_of(folder: Path) -> tuple[int, ...]:
    """Ids of the processes whose command line names something in the folder; not our own."""
    process_ids: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_bytes().decode(errors="replace")
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue  # it ended meanwhile, or belongs to someone else
            if f"{folder}/" in command:
                process_ids.append(int(entry.name))
    return tuple(process_ids)


def stop(folder: Path) -> None:
    """End the control plane of the folder, kindly at first, and remove the folder."""
    started = time.monotonic()
    while alive := processes_of(folder):
        kind = time.monotonic() - started < PATIENCE_SECONDS
        for process in alive:
            _send(process, signal.SIGTERM if kind else signal.SIGKILL)
        time.sleep(0.1)
    shutil.rmtree(folder, ignore_errors=True)


def _send(process: int, sign: signal.Signals) -> None:
    try:
        os.kill(process, sign)
    except ProcessLookupError:
        return  # it ended meanwhile


if __name__ == "__main__":
    sys.stdin.read()
    stop(Path(sys.argv[1]))
