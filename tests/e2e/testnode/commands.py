"""Programs of the host that build what a node needs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[3]
BUILD_SECONDS = 1800


class BuildFailed(Exception):
    """Something could not be built; the message ends with what the program said."""


def run(*command: str) -> str:
    """Run a program behind everything else and return what it printed; it ends with us.

    Raises BuildFailed.
    """
    done = subprocess.run(
        ["setpriv", "--pdeathsig", "KILL", "nice", "-n", "10", *command],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        said = f"{done.stdout[-1000:]}{done.stderr[-2000:]}"
        message = f"{command[0]} ended with {done.returncode}: {said}"
        raise BuildFailed(message)
    return done.stdout


def uv(*arguments: str) -> str:
    """Run uv, the project's or the one on the PATH, and return what it printed."""
    own = ROOT / ".uv" / "bin" / "uv"
    return run(os.environ.get("UV") or (str(own) if own.exists() else "uv"), *arguments)
